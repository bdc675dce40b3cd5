//! Policies: the decision whether a caller has a permission, and its caches.

pub(crate) mod access_epoch;
pub(crate) mod cached;
pub(crate) mod epoch_cache;
pub(crate) mod evaluate;
pub(crate) mod recent_grants;
pub(crate) mod role_permissions;
