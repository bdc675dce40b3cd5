//! People with a password: who they are, how they sign in, and what they are signed in with. Only the operator adds
//! people and disables them.

pub(crate) mod admins;
mod changes;
pub(crate) mod password_hash;
pub(crate) mod password_links;
mod secret_text;
pub(crate) mod sessions;
pub(crate) mod sign_in;
pub(crate) mod sign_in_delays;
pub(crate) mod sign_in_rates;
pub(crate) mod signed_in;
pub(crate) mod users;
