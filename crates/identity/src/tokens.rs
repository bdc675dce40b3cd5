//! Our own tokens: issued, exchanged, revoked, and made by acting as an account.

pub(crate) mod exchange;
pub(crate) mod impersonation;
pub(crate) mod issue;
pub(crate) mod provenance;
pub(crate) mod revocations;
pub(crate) mod revoked;
pub(crate) mod signing_keys;
