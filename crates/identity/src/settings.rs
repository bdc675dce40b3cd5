//! The settings of an [`Identity`](crate::Identity).

use std::sync::Arc;
use std::time::Duration;

use model::principal::PolicyMember;

/// The settings of an [`Identity`](crate::Identity).
#[derive(Debug, Clone)]
pub struct IdentitySettings {
    /// The lifetime of a registry token, unless the credential that it is made from ends sooner.
    pub registry_token_lifetime: Duration,
    /// The lengths of sessions.
    pub sessions: SessionLimits,
    /// The people and service accounts that administer everything.
    pub admins: Arc<[PolicyMember]>,
}

/// The times after which a session of a person ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// The time without a use after which a session ends.
    pub idle: Duration,
    /// The time after the sign-in at which a session ends, however much it is used.
    pub lifetime: Duration,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            registry_token_lifetime: HOUR,
            sessions: SessionLimits { idle: 12 * HOUR, lifetime: 7 * 24 * HOUR },
            admins: Arc::default(),
        }
    }
}
