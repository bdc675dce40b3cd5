//! The policy of a resource, as it is in the cache.

use std::sync::Arc;

use model::iam_policy::IamPolicy;

/// The policy of a resource, as it is in the cache.
#[derive(Clone)]
pub(crate) struct CachedPolicy {
    pub(crate) policy: Arc<IamPolicy>,
    /// True if the resource is a project for which deletion was requested.
    pub(crate) is_project_deleted: bool,
}
