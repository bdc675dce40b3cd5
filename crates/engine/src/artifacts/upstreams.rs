//! The upstreams of virtual repositories as they are administered: added with the settings of the virtual repository,
//! seen and stopped by the administrators of the upstream.

use std::collections::{BTreeSet, HashSet};

use identity::Authorized;
use meta::events::{self, EventAction};
use meta::repositories;
use meta::upstreams::{self, UpstreamRow, UpstreamStop, VirtualReader};
use meta::{Id, Tx, epochs};
use model::name::RepositoryName;
use model::permissions::artifactregistry;
use model::repository::{ModeName, RepositoryMode};
use model::secret::SecretName;

use crate::access::find_repository;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::remote_credentials::store_secret_use;

/// The field that errors about upstreams name.
const FIELD: &str = "repository";

/// The largest number of repositories that are looked at to find a circle of upstreams.
const MAX_REPOSITORIES_WALKED: usize = 1_000;

/// The largest number of virtual repositories that the list of an upstream's readers shows.
const MAX_READERS: i64 = 1_000;

/// The upstreams that a request adds to a repository.
#[derive(Debug, Clone)]
pub struct NewUpstreams {
    /// The mode that the settings of the request describe.
    pub mode: RepositoryMode,
    /// The upstreams that the caller was found to have the permission to read.
    pub readable: HashSet<RepositoryName>,
    /// The secret of the credentials, which the repository was found to have the right to use.
    pub secret: Option<SecretName>,
}

/// A change of what a virtual repository reads, by the administrators of its upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderChange {
    /// The virtual repository.
    pub reader: RepositoryName,
    /// `false` to stop it, and `true` to let it read again.
    pub may_read: bool,
}

impl Engine {
    /// Returns those upstreams of a repository that a request would add. The caller needs the permission to read them,
    /// because the repository shows their content to other callers.
    pub async fn upstreams_to_add(
        &self,
        repository: &RepositoryName,
        mode: &RepositoryMode,
    ) -> Result<Vec<RepositoryName>, EngineError> {
        let (repository, mode) = (repository.clone(), mode.clone());
        self.read(move |tx| {
            let added = match repositories::find(tx, &repository)? {
                Some(row) => upstreams::list(tx, &row.id)?,
                None => Vec::new(),
            };
            let mut new = Vec::new();
            for upstream in mode.own_upstreams() {
                if !is_added(tx, &added, upstream)? {
                    new.push(upstream.clone());
                }
            }
            Ok(new)
        })
        .await
    }

    /// Lists the repositories that read a repository.
    pub async fn list_virtual_readers(
        &self,
        authorized: &Authorized,
        name: &RepositoryName,
    ) -> Result<Vec<VirtualReader>, EngineError> {
        authorized.require_repository(artifactregistry::REPOSITORIES_UPDATE, name)?;
        let name = name.clone();
        self.read(move |tx| {
            let id = find_repository(tx, &name)?.id;
            Ok(upstreams::list_readers(tx, &id, MAX_READERS)?)
        })
        .await
    }

    /// Stops a virtual repository from reading a repository, or lets it read again.
    pub async fn set_virtual_reader(
        &self,
        authorized: &Authorized,
        name: &RepositoryName,
        change: ReaderChange,
    ) -> Result<(), EngineError> {
        authorized.require_repository(artifactregistry::REPOSITORIES_UPDATE, name)?;
        let ReaderChange { reader, may_read } = change;
        let (authorized, name) = (authorized.clone(), name.clone());
        let now = self.clock.now();
        self.write(move |tx| {
            let id = find_repository(tx, &name)?.id;
            let unknown = || {
                EngineError::ResourceUnknown(format!(
                    "A virtual repository {reader} that reads {name}"
                ))
            };
            let reading = repositories::find(tx, &reader)?.ok_or_else(unknown)?.id;
            let by = authorized.caller().principal.to_string();
            let stop = (!may_read).then_some(UpstreamStop { by, at: now });
            if upstreams::set_stop(tx, &reading, &id, stop.as_ref())? == 0 {
                return Err(unknown());
            }
            epochs::bump(tx, epochs::ACCESS)?;
            let event = authorized.event(EventAction::Update, &name.to_string(), now);
            Ok(events::insert(tx, &event.in_repository(id))?)
        })
        .await?;
        self.identity.poll_epoch().await?;
        Ok(())
    }
}

/// Returns whether this very repository is an upstream already. One that was deleted is, too.
fn is_added(
    tx: &mut Tx<'_>,
    added: &[UpstreamRow],
    upstream: &RepositoryName,
) -> Result<bool, EngineError> {
    let Some(row) = added.iter().find(|row| row.upstream == *upstream) else { return Ok(false) };
    let found = repositories::find(tx, upstream)?;
    Ok(found.is_none_or(|found| found.id == row.upstream_id))
}

/// Makes the rows of a repository's upstreams agree with its settings. Upstreams that stay keep their rows.
pub(crate) fn store_upstreams(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    new: &NewUpstreams,
    added_by: &str,
    now: i64,
) -> Result<(), EngineError> {
    let repository = find_repository(tx, name)?;
    store_secret_use(tx, &repository.id, new.secret.as_ref(), added_by, now)?;
    let added = upstreams::list(tx, &repository.id)?;
    let wanted: HashSet<&RepositoryName> = new.mode.own_upstreams().into_iter().collect();
    // A stop stays: the administrators of the virtual repository could lift it otherwise, by adding the upstream anew.
    for row in added.iter().filter(|row| row.stop.is_none() && !wanted.contains(&row.upstream)) {
        upstreams::delete(tx, &repository.id, &row.upstream)?;
    }
    for upstream in wanted {
        if is_added(tx, &added, upstream)? || !new.readable.contains(upstream) {
            continue;
        }
        let upstream_id = check_upstream(tx, name, new.mode.name(), upstream)?;
        upstreams::delete(tx, &repository.id, upstream)?;
        let (upstream, added_by) = (upstream.clone(), added_by.to_owned());
        let row = UpstreamRow { upstream, upstream_id, added_by, added_at: now, stop: None };
        upstreams::insert(tx, &repository.id, &row)?;
    }
    Ok(())
}

/// Checks that a repository can be an upstream of another, and returns its id.
fn check_upstream(
    tx: &mut Tx<'_>,
    reader: &RepositoryName,
    mode: ModeName,
    upstream: &RepositoryName,
) -> Result<Id, EngineError> {
    let refused = |problem: &str| {
        EngineError::invalid(FIELD, format!("the upstream repository {upstream} {problem}"))
    };
    if upstream == reader {
        return Err(refused("is this repository itself"));
    }
    let Some(found) = repositories::find(tx, upstream)? else {
        return Err(refused("does not exist"));
    };
    if mode == ModeName::Virtual {
        if upstream.location != reader.location {
            return Err(refused(&format!(
                "is in another location: it has to be in {}",
                reader.location
            )));
        }
        if found.mode == ModeName::Virtual {
            return Err(refused(
                "is a virtual one: an upstream is a standard or a remote repository",
            ));
        }
    }
    if reads(tx, found.id, reader)? {
        return Err(refused("reads this repository itself, directly or through others"));
    }
    Ok(found.id)
}

/// Returns whether a repository reads another one, directly or through others.
fn reads(tx: &mut Tx<'_>, from: Id, wanted: &RepositoryName) -> Result<bool, EngineError> {
    let (mut waiting, mut seen) = (vec![from], BTreeSet::from([from]));
    while let Some(id) = waiting.pop() {
        let Some(mode) = repositories::find_mode(tx, &id)? else { continue };
        for upstream in mode.own_upstreams() {
            if upstream == wanted || seen.len() > MAX_REPOSITORIES_WALKED {
                return Ok(true);
            }
            if let Some(row) = repositories::find(tx, upstream)?
                && seen.insert(row.id)
            {
                waiting.push(row.id);
            }
        }
    }
    Ok(false)
}
