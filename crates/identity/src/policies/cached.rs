//! A policy as this process remembers it.

use std::sync::Arc;

use model::iam_policy::IamPolicy;

/// A resource's policy as this process remembers it.
#[derive(Clone)]
pub(crate) struct CachedPolicy {
    pub(crate) policy: Arc<IamPolicy>,
    /// Whether the resource is a project whose end was asked for.
    pub(crate) is_project_deleted: bool,
}
