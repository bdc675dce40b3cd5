//! The registry's own tokens: issue, exchange, revocation, and impersonation of accounts.

pub(crate) mod exchange;
pub(crate) mod impersonation;
pub(crate) mod issue;
pub(crate) mod provenance;
pub(crate) mod revocations;
pub(crate) mod revoked;
pub(crate) mod signing_keys;
