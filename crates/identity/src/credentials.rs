//! Credentials as clients hold them: key files, JSON Web Tokens, and the keys behind both.

pub(crate) mod account_key;
pub(crate) mod assertions;
pub(crate) mod crypto;
pub(crate) mod jwt;
pub(crate) mod key_file;
