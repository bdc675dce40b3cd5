//! Service accounts and their keys, projects, custom roles, and the first owner.

pub(crate) mod custom_roles;
pub(crate) mod first_owner;
pub(crate) mod projects;
pub(crate) mod sealed_keys;
pub(crate) mod secrets;
pub(crate) mod service_account_keys;
pub(crate) mod service_accounts;
