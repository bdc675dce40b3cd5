//! The policy of a resource, as it is in the cache.

use std::sync::Arc;

use model::effective_policy::EffectivePolicy;

/// The policy of a resource, as it is in the cache.
#[derive(Clone)]
pub(crate) struct CachedPolicy {
    pub(crate) policy: Arc<EffectivePolicy>,
    /// True if the resource is a project for which deletion was requested.
    pub(crate) is_project_deleted: bool,
}
