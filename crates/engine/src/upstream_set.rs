//! The upstreams of a virtual repository, as they are in the database at one time.

use std::fmt;

use meta::{Id, MetaError, Tx, repositories, upstreams};
use model::repository::{
    FailurePolicy, ModeName, RepositoryMode, UpstreamPolicy, VirtualUpstreams,
};

/// The reason why an upstream cannot answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamFault {
    /// There is no repository of that name any more.
    Deleted,
    /// The repository of that name is not the one that was added.
    Replaced,
    /// The administrators of the upstream have stopped it.
    Stopped,
    /// The upstream is a remote repository, which are not served yet.
    NotServed,
}

impl UpstreamFault {
    /// Returns the word for it in answers for programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Deleted => "DELETED",
            Self::Replaced => "REPLACED",
            Self::Stopped => "STOPPED",
            Self::NotServed => "NOT_SERVED",
        }
    }
}

impl fmt::Display for UpstreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deleted => "its repository was deleted",
            Self::Replaced => {
                "its repository was deleted and created anew; set the upstream policies again"
            }
            Self::Stopped => "the administrators of its repository have stopped it",
            Self::NotServed => "its repository is a remote one, which are not served yet",
        })
    }
}

/// The upstreams of a virtual repository.
#[derive(Debug)]
pub(crate) struct UpstreamSet {
    rules: VirtualUpstreams,
    /// The upstreams, in the order of the policies of `rules`.
    upstreams: Vec<Upstream>,
}

/// One upstream of a virtual repository.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    pub(crate) policy: UpstreamPolicy,
    /// The principal that added the upstream, unless an older release stored the policy.
    pub(crate) added_by: Option<String>,
    /// The id of the upstream's repository, or the reason why it cannot answer.
    pub(crate) repository: Result<Id, UpstreamFault>,
}

impl UpstreamSet {
    /// Reads the upstreams of the virtual repository with this id.
    pub(crate) fn read(tx: &mut Tx<'_>, repository: &Id) -> Result<Self, MetaError> {
        let rules = match repositories::find_mode(tx, repository)? {
            Some(RepositoryMode::Virtual(rules)) => rules,
            Some(RepositoryMode::Standard | RepositoryMode::Remote(_)) | None => {
                VirtualUpstreams::default()
            }
        };
        let added = upstreams::list(tx, repository)?;
        let mut upstreams = Vec::new();
        for policy in &rules.policies {
            let row = added.iter().find(|row| row.upstream == policy.repository);
            let repository = match (repositories::find(tx, &policy.repository)?, row) {
                (None, _) => Err(UpstreamFault::Deleted),
                (Some(_), Some(row)) if row.stop.is_some() => Err(UpstreamFault::Stopped),
                (Some(found), Some(row)) if found.id == row.upstream_id => match found.mode {
                    ModeName::Standard => Ok(found.id),
                    ModeName::Remote | ModeName::Virtual => Err(UpstreamFault::NotServed),
                },
                (Some(_), _) => Err(UpstreamFault::Replaced),
            };
            let added_by = row.map(|row| row.added_by.clone());
            upstreams.push(Upstream { policy: policy.clone(), added_by, repository });
        }
        Ok(Self { rules, upstreams })
    }

    /// Returns all upstreams, in the order in which they are asked.
    pub(crate) fn all(&self) -> &[Upstream] {
        &self.upstreams
    }

    /// Returns the upstreams that are asked for an image, in order.
    pub(crate) fn asked_for(&self, image: &str) -> &[Upstream] {
        &self.upstreams[self.rules.asked_for(image)]
    }

    /// Returns whether the next upstream answers where one fails.
    pub(crate) fn falls_through(&self) -> bool {
        self.rules.failure_policy == FailurePolicy::FallThrough
    }
}
