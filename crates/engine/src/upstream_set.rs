//! The upstreams of a virtual repository, or of a remote one that reads a repository of this registry, as they are in
//! the database at one time.

use std::fmt;
use std::sync::Arc;

use meta::repositories::RepositoryRow;
use meta::upstreams::UpstreamRow;
use meta::{Id, MetaError, Tx, repositories, upstreams};
use model::name::RepositoryName;
use model::repository::{
    FailurePolicy, ModeName, RemoteUpstream, RepositoryMode, UpstreamPolicy, VirtualUpstreams,
};

use crate::remote_registry::RemoteRegistry;
use crate::upstream_registry::UpstreamProblemKind;

/// The reason why an upstream cannot answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamFault {
    /// There is no repository of that name any more.
    Deleted,
    /// The repository of that name is not the one that was added.
    Replaced,
    /// A release that did not serve virtual repositories stored the upstream. Nobody was asked whether it may be read.
    AddedUnchecked,
    /// The administrators of the upstream have stopped it.
    Stopped,
    /// The upstream reads, through others, the repository that reads it.
    Circle,
    /// Too many repositories are read through others.
    TooMany,
    /// The upstream is a remote repository, and the registry that it reads gave no answer.
    Unanswered(UpstreamProblemKind),
}

impl fmt::Display for UpstreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deleted => "its repository was deleted",
            Self::Replaced => {
                "its repository was deleted and created anew; set the upstreams again"
            }
            Self::AddedUnchecked => {
                "an older release stored it, and did not check who may add it; set the upstreams again"
            }
            Self::Stopped => "the administrators of its repository have stopped it",
            Self::Circle => "its repository reads itself, through others",
            Self::TooMany => "too many repositories are read through others",
            Self::Unanswered(kind) => match kind {
                UpstreamProblemKind::NotFound => "the registry that it reads has no such image",
                UpstreamProblemKind::Limited { .. } => "the registry that it reads limits its answers",
                UpstreamProblemKind::Failed => "the registry that it reads refused or failed",
                UpstreamProblemKind::Unreachable => {
                    "the registry that it reads was not reached, or did not answer in time"
                }
                UpstreamProblemKind::Wrong => "the registry that it reads sent other content than it should",
                UpstreamProblemKind::NotStored => "nothing can be fetched for it at the moment",
                UpstreamProblemKind::Credentials => "the credentials for the registry that it reads cannot be used",
                UpstreamProblemKind::Offline => "it is offline, and has no copy",
            },
        })
    }
}

/// The places that a repository reads besides its own rows.
#[derive(Debug, Clone)]
pub(crate) enum RepositoryReads {
    /// Nothing.
    Nothing,
    /// Other repositories of this registry.
    Upstreams(Arc<UpstreamSet>),
    /// Another registry.
    Registry(Arc<RemoteRegistry>),
}

/// A remote repository of another registry, as an upstream of other repositories.
#[derive(Debug)]
pub(crate) struct RemoteRepository {
    pub(crate) name: RepositoryName,
    pub(crate) row: RepositoryRow,
    pub(crate) registry: Arc<RemoteRegistry>,
}

impl RepositoryReads {
    /// Reads what a repository reads.
    pub(crate) fn read(
        tx: &mut Tx<'_>,
        name: &RepositoryName,
        repository: &RepositoryRow,
    ) -> Result<Self, MetaError> {
        if let Some(set) = read_set(
            tx,
            name,
            repository,
            &mut UpstreamWalk { readers: Vec::new(), left: MAX_READ },
        )? {
            return Ok(Self::Upstreams(Arc::new(set)));
        }
        let registry = read_registry(tx, repository)?;
        Ok(registry.map_or(Self::Nothing, Self::Registry))
    }
}

/// Reads which registry a remote repository fetches from. Returns `None` for any other repository.
fn read_registry(
    tx: &mut Tx<'_>,
    repository: &RepositoryRow,
) -> Result<Option<Arc<RemoteRegistry>>, MetaError> {
    match repositories::find_mode(tx, &repository.id)? {
        Some(RepositoryMode::Remote(RemoteUpstream::Url(url))) => {
            Ok(Some(Arc::new(RemoteRegistry::read(tx, &repository.id, url)?)))
        }
        Some(_) | None => Ok(None),
    }
}

/// The largest number of repositories that one repository reads, directly and through others.
const MAX_READ: usize = 200;

/// The largest number of repositories that read each other in a row.
const MAX_DEPTH: usize = 8;

/// The way by which the upstreams of a repository are read.
struct UpstreamWalk {
    /// The ids of the repositories that read, through each other, the one that is looked at.
    readers: Vec<Id>,
    /// The number of repositories that may still be read.
    left: usize,
}

/// The id of the one upstream of a remote repository, in place of the id of a policy.
pub(crate) const REMOTE_UPSTREAM_ID: &str = "upstream";

/// The upstreams of a repository.
#[derive(Debug)]
pub(crate) struct UpstreamSet {
    /// The name of the repository.
    pub(crate) name: RepositoryName,
    rules: VirtualUpstreams,
    /// The upstreams, in the order of the policies of `rules`.
    upstreams: Vec<Upstream>,
}

/// One upstream of a repository.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) policy: UpstreamPolicy,
    /// The principal that added the upstream, unless an older release stored it.
    pub(crate) added_by: Option<String>,
    pub(crate) content: UpstreamContent,
}

/// The rows from which an upstream answers.
#[derive(Debug)]
pub(crate) enum UpstreamContent {
    /// The rows of the upstream itself.
    Own(RepositoryRow),
    /// The rows of its own upstreams.
    Upstreams(UpstreamSet),
    /// The rows of a remote repository, after its registry was asked.
    Registry(Arc<RemoteRepository>),
    /// No rows: the upstream cannot answer.
    Fault(UpstreamFault),
}

impl UpstreamSet {
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

/// The repositories whose rows a list shows, in the order in which they are asked.
#[derive(Debug, Clone)]
pub(crate) struct ListedRepositories {
    pub(crate) ids: Vec<Id>,
    /// The upstreams to which the repositories belong.
    set: Option<Arc<UpstreamSet>>,
}

impl ListedRepositories {
    /// Returns the list of one repository.
    pub(crate) fn of_one(id: Id) -> Self {
        Self { ids: vec![id], set: None }
    }

    pub(crate) fn of_upstreams(ids: Vec<Id>, set: Arc<UpstreamSet>) -> Self {
        Self { ids, set: Some(set) }
    }

    /// Returns the id of the repository whose own rows, and no others, the list shows.
    pub(crate) fn own(&self) -> Option<Id> {
        self.ids.first().copied().filter(|_| self.set.is_none())
    }

    /// Returns whether a pull of an image may be answered by one of the repositories. A pin may say that it is not.
    pub(crate) fn shows(&self, id: &Id, image: &str) -> bool {
        self.set.as_ref().is_none_or(|set| set.asks(id, image))
    }

    /// Returns the id of the policy of the upstream that answers for an image from the rows of one of the repositories.
    pub(crate) fn upstream_of(&self, id: &Id, image: &str) -> Option<&str> {
        self.set.as_ref()?.policy_of(id, image)
    }
}

impl UpstreamSet {
    fn asks(&self, id: &Id, image: &str) -> bool {
        self.asked_for(image).iter().any(|upstream| upstream.asks(id, image))
    }

    /// Returns the id of the policy of the first upstream that answers for an image from the rows of a repository.
    pub(crate) fn policy_of(&self, id: &Id, image: &str) -> Option<&str> {
        let upstream = self.asked_for(image).iter().find(|upstream| upstream.asks(id, image))?;
        Some(&upstream.policy.id)
    }
}

impl Upstream {
    /// Returns whether the upstream answers for an image from the rows of a repository.
    fn asks(&self, id: &Id, image: &str) -> bool {
        match &self.content {
            UpstreamContent::Own(row) => row.id == *id,
            UpstreamContent::Upstreams(set) => set.asks(id, image),
            UpstreamContent::Registry(remote) => remote.row.id == *id,
            UpstreamContent::Fault(_) => false,
        }
    }

    /// Adds the ids of the repositories whose own rows may answer for an image.
    pub(crate) fn add_ids(&self, image: &str, ids: &mut Vec<Id>) {
        match &self.content {
            UpstreamContent::Own(row) => ids.push(row.id),
            UpstreamContent::Registry(remote) => ids.push(remote.row.id),
            UpstreamContent::Upstreams(set) => {
                set.asked_for(image).iter().for_each(|upstream| upstream.add_ids(image, ids));
            }
            UpstreamContent::Fault(_) => {}
        }
    }

    /// Returns what `find` finds for the first id that `add_ids` adds and for which it finds something.
    pub(crate) fn find_id<T>(&self, image: &str, find: &dyn Fn(&Id) -> Option<T>) -> Option<T> {
        match &self.content {
            UpstreamContent::Own(row) => find(&row.id),
            UpstreamContent::Registry(remote) => find(&remote.row.id),
            UpstreamContent::Upstreams(set) => {
                set.asked_for(image).iter().find_map(|upstream| upstream.find_id(image, find))
            }
            UpstreamContent::Fault(_) => None,
        }
    }
}

impl UpstreamSet {
    /// Returns the remote repositories of other registries that are asked for an image, in order.
    pub(crate) fn registries(&self, image: &str) -> Vec<Arc<RemoteRepository>> {
        self.asked_for(image).iter().flat_map(|upstream| upstream.registries(image)).collect()
    }

    /// Returns the one of these remote repositories with this id, if it is one of them.
    pub(crate) fn registry_of(&self, id: &Id, image: &str) -> Option<&RemoteRepository> {
        self.asked_for(image).iter().find_map(|upstream| match &upstream.content {
            UpstreamContent::Registry(remote) => (remote.row.id == *id).then_some(&**remote),
            UpstreamContent::Upstreams(set) => set.registry_of(id, image),
            UpstreamContent::Own(_) | UpstreamContent::Fault(_) => None,
        })
    }
}

impl Upstream {
    /// Returns the remote repositories of other registries that this upstream reads an image from, in order.
    pub(crate) fn registries(&self, image: &str) -> Vec<Arc<RemoteRepository>> {
        match &self.content {
            UpstreamContent::Registry(remote) => vec![remote.clone()],
            UpstreamContent::Upstreams(set) => set.registries(image),
            UpstreamContent::Own(_) | UpstreamContent::Fault(_) => Vec::new(),
        }
    }
}

/// Reads the upstreams of a repository. Returns `None` for one that reads no other repository of this registry.
fn read_set(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    repository: &RepositoryRow,
    walk: &mut UpstreamWalk,
) -> Result<Option<UpstreamSet>, MetaError> {
    let rules = match repositories::find_mode(tx, &repository.id)? {
        Some(RepositoryMode::Virtual(rules)) => rules,
        Some(RepositoryMode::Remote(RemoteUpstream::Repository(upstream))) => {
            let id = REMOTE_UPSTREAM_ID.to_owned();
            let policy = UpstreamPolicy { id, repository: upstream, priority: 0 };
            VirtualUpstreams { policies: vec![policy], ..VirtualUpstreams::default() }
        }
        Some(RepositoryMode::Remote(RemoteUpstream::Url(_)) | RepositoryMode::Standard) | None => {
            return Ok(None);
        }
    };
    let added = upstreams::list(tx, &repository.id)?;
    walk.readers.push(repository.id);
    let mut upstreams = Vec::new();
    for policy in &rules.policies {
        let row = added.iter().find(|row| row.upstream == policy.repository);
        let content = read_content(tx, &policy.repository, row, walk)?;
        let added_by = row.map(|row| row.added_by.clone());
        upstreams.push(Upstream { policy: policy.clone(), added_by, content });
    }
    walk.readers.pop();
    Ok(Some(UpstreamSet { name: name.clone(), rules, upstreams }))
}

fn read_content(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    added: Option<&UpstreamRow>,
    walk: &mut UpstreamWalk,
) -> Result<UpstreamContent, MetaError> {
    let fault = |fault| Ok(UpstreamContent::Fault(fault));
    let Some(found) = repositories::find(tx, name)? else { return fault(UpstreamFault::Deleted) };
    let Some(row) = added else { return fault(UpstreamFault::AddedUnchecked) };
    if row.stop.is_some() {
        return fault(UpstreamFault::Stopped);
    }
    if row.upstream_id != found.id {
        return fault(UpstreamFault::Replaced);
    }
    if walk.readers.contains(&found.id) {
        return fault(UpstreamFault::Circle);
    }
    if walk.left == 0 || walk.readers.len() > MAX_DEPTH {
        return fault(UpstreamFault::TooMany);
    }
    walk.left -= 1;
    match found.mode {
        ModeName::Standard => Ok(UpstreamContent::Own(found)),
        ModeName::Remote | ModeName::Virtual => {
            if let Some(set) = read_set(tx, name, &found, walk)? {
                return Ok(UpstreamContent::Upstreams(set));
            }
            let Some(registry) = read_registry(tx, &found)? else {
                return Ok(UpstreamContent::Own(found));
            };
            let remote = RemoteRepository { name: name.clone(), row: found, registry };
            Ok(UpstreamContent::Registry(Arc::new(remote)))
        }
    }
}
