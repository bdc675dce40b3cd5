//! A policy as this process remembers it.

use std::sync::Arc;

use model::policy::Policy;

/// A resource's policy as this process remembers it.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) policy: Arc<Policy>,
    /// Whether the resource is a project whose end was asked for.
    pub(crate) gone: bool,
}
