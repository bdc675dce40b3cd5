//! The complete list of an image, for clients that follow no link to a next page: part by part, as it is read.
//!
//! Each part is a transaction of its own, and begins by the key after which the one before ended: however long the list
//! and however slow its reader, no more than a part is in memory, and nothing in the database waits for it. What changes
//! meanwhile may be in the list or not; a version and its tags are read together.

use std::collections::HashSet;
use std::mem::take;

use identity::Caller;
use meta::complete_list::{FIRST_TAGS, TaggedVersion, list_versions};
use meta::repositories;
use meta::{Id, MetaError, Tx, packages, tags};
use model::name::RepositoryName;

use crate::access::{Pull, RepoAccess};
use crate::content::source::ContentSource;
use crate::content::tag_list::ImagesBelow;
use crate::engine::Engine;
use crate::error::EngineError;

/// A part ends with the row that makes it as long as this, so that what one reader keeps in memory is small.
const PART_BYTES: usize = 64 << 10;
/// How many names a part reads at most..
const NAMES: usize = 500;
/// ..and how many versions.
const VERSIONS: usize = 200;

/// The complete list of an image, or of a repository.
pub struct CompleteList {
    engine: Engine,
    repository: RepositoryName,
    of: ListScope,
    at: Option<ListPosition>,
}

/// Of what it is the list.
#[derive(Debug, Clone)]
struct ListScope {
    repository: Id,
    /// The image's name, and its row if it has manifests and is not only what others are below.
    image: Option<(String, Option<Id>)>,
}

/// Where the next part begins.
#[derive(Debug, Clone)]
enum ListPosition {
    /// Among the names of images below: from this one on, and which child was the last.
    Children { from: String, last: String },
    /// After this tag.
    Tags(String),
    /// After this digest.
    Versions(String),
    /// After this tag of the version that the part before ended with.
    TagsOfVersion { version: Id, digest: String, last: String },
}

/// A part of a complete list, in the order in which they come.
#[derive(Debug)]
pub enum ListPart {
    /// What the names of images below go on with, up to the next slash, in byte order.
    Children(Vec<String>),
    /// Tags, in byte order.
    Tags(Vec<String>),
    /// Versions by their digests, with their tags.
    Versions(Vec<TaggedVersion>),
    /// More tags of the version that came last.
    MoreTags(Vec<String>),
}

impl RepoAccess<Pull> {
    /// All tags, versions and images below this one.
    pub async fn complete_list(&self) -> Result<CompleteList, EngineError> {
        let ContentSource::Local(holding) = self.source()?;
        let (repository, path) = (holding.repository.id, self.image.target.path.path());
        let image = holding.image().to_owned();
        let package = self
            .engine
            .meta
            .read(move |tx| {
                let package = packages::find(tx, &holding.repository.id, holding.image())?;
                let prefix = format!("{}/", holding.image());
                let below = ImagesBelow { repository: &holding.repository.id, prefix };
                if package.is_none() && below.is_empty(tx)? {
                    return Err(EngineError::ImageUnknown(path.clone()));
                }
                Ok(package)
            })
            .await?;
        let of = ListScope { repository, image: Some((image, package)) };
        Ok(CompleteList::new(self.engine.clone(), self.image.repository_name.clone(), of))
    }
}

impl Engine {
    /// What the names of a repository's images begin with, up to the first slash: all of it.
    pub async fn complete_images(
        &self,
        caller: &Caller,
        name: &RepositoryName,
    ) -> Result<CompleteList, EngineError> {
        let repository = self.authorize::<Pull>(caller, name, &name.path()).await?;
        let Some(repository) = repository else { return Err(self.missing(name.clone()).await) };
        let of = ListScope { repository: repository.id, image: None };
        Ok(CompleteList::new(self.clone(), name.clone(), of))
    }
}

impl CompleteList {
    fn new(engine: Engine, repository: RepositoryName, of: ListScope) -> Self {
        let from = of.below().prefix;
        let at = Some(ListPosition::Children { from, last: String::new() });
        Self { engine, repository, of, at }
    }

    /// The next part; `None` when there is no more. A list that has failed does not go on.
    pub async fn next(&mut self) -> Result<Option<ListPart>, EngineError> {
        let Some(place) = take(&mut self.at) else { return Ok(None) };
        let (of, repository) = (self.of.clone(), self.repository.clone());
        let read = self.engine.meta.read(move |tx| {
            of.check(tx, &repository)?;
            Ok::<_, EngineError>(of.part(tx, &place)?)
        });
        let (part, next) = read.await?;
        self.at = next;
        Ok(Some(part))
    }
}

impl ListScope {
    /// Refuses to go on with what was deleted since the list began: what there is of it now is not the list.
    fn check(&self, tx: &mut Tx<'_>, repository: &RepositoryName) -> Result<(), EngineError> {
        if !repositories::is_live(tx, &self.repository)? {
            return Err(EngineError::RepositoryUnknown(repository.clone()));
        }
        match &self.image {
            Some((image, Some(package)))
                if packages::find(tx, &self.repository, image)?.as_ref() != Some(package) =>
            {
                Err(EngineError::ImageUnknown(format!("{}/{image}", repository.path())))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn below(&self) -> ImagesBelow<'_> {
        let prefix = self.image.as_ref().map(|(image, _)| format!("{image}/"));
        ImagesBelow { repository: &self.repository, prefix: prefix.unwrap_or_default() }
    }

    fn package(&self) -> Option<&Id> {
        self.image.as_ref().and_then(|(_, package)| package.as_ref())
    }

    fn part(
        &self,
        tx: &mut Tx<'_>,
        place: &ListPosition,
    ) -> Result<(ListPart, Option<ListPosition>), MetaError> {
        let package = self.package();
        match (place, package) {
            (ListPosition::Children { from, last }, _) => {
                let (children, next) = self.below().children(tx, from, last)?;
                let next = next.map(|(from, last)| ListPosition::Children { from, last });
                let tags = package.map(|_| ListPosition::Tags(String::new()));
                Ok((ListPart::Children(children), next.or(tags)))
            }
            (_, None) => Ok((ListPart::Tags(Vec::new()), None)),
            (ListPosition::Tags(last), Some(package)) => {
                let names = tags::list_with_digests(tx, package, last, NAMES as i64)?;
                let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
                let next = match names.last() {
                    Some(last) if names.len() == NAMES => ListPosition::Tags(last.clone()),
                    Some(_) | None => ListPosition::Versions(String::new()),
                };
                Ok((ListPart::Tags(names), Some(next)))
            }
            (ListPosition::Versions(last), Some(package)) => versions_after(tx, package, last),
            (ListPosition::TagsOfVersion { version, digest, last }, Some(_)) => {
                let names = tags::list_of_version(tx, version, last, NAMES as i64)?;
                let (version, digest) = (*version, digest.clone());
                let next = match names.last().cloned() {
                    Some(last) if names.len() == NAMES => {
                        ListPosition::TagsOfVersion { version, digest, last }
                    }
                    Some(_) | None => ListPosition::Versions(digest),
                };
                Ok((ListPart::MoreTags(names), Some(next)))
            }
        }
    }
}

/// Versions with their tags. Of one that has very many, they go on with the next part.
fn versions_after(
    tx: &mut Tx<'_>,
    package: &Id,
    last: &str,
) -> Result<(ListPart, Option<ListPosition>), MetaError> {
    let rows = list_versions(tx, package, last, VERSIONS as i64)?;
    let is_last = rows.len() < VERSIONS;
    let (mut part, mut bytes) = (Vec::new(), 0);
    let length = |tags: &[String]| tags.iter().map(|tag| tag.len() + 3).sum::<usize>();
    for mut row in rows {
        let mut some = row.tags.len();
        bytes += 250 + length(&row.tags);
        let mut step = FIRST_TAGS;
        while some == step && bytes < PART_BYTES {
            step = NAMES;
            let after = row.tags.last().map_or("", String::as_str);
            let more = tags::list_of_version(tx, &row.id, after, NAMES as i64)?;
            some = more.len();
            bytes += length(&more);
            row.tags.extend(more);
        }
        let (version, digest) = (row.id, row.version.digest.to_string());
        let open = row.tags.last().filter(|_| some == step).cloned();
        part.push(row);
        if let Some(last) = open {
            let next = ListPosition::TagsOfVersion { version, digest, last };
            return Ok((ListPart::Versions(part), Some(next)));
        }
        if bytes >= PART_BYTES {
            return Ok((ListPart::Versions(part), Some(ListPosition::Versions(digest))));
        }
    }
    let next = part.last().filter(|_| !is_last).map(|row| row.version.digest.to_string());
    Ok((ListPart::Versions(part), next.map(ListPosition::Versions)))
}

/// Children, and where the next ones begin.
type ChildSlice = (Vec<String>, Option<(String, String)>);

impl ImagesBelow<'_> {
    /// Children after `last`, of names from `from` on.
    ///
    /// Names come in byte order, in which `a/x` stands after `a-b`: so before a child the shorter ones are looked for
    /// that it begins with, and none comes twice that is not after the last one.
    fn children(&self, tx: &mut Tx<'_>, from: &str, last: &str) -> Result<ChildSlice, MetaError> {
        let names = self.names(tx, from, NAMES)?;
        let is_last = names.len() < NAMES;
        let (mut children, mut bytes) = (Vec::new(), 0);
        let (mut last, mut from) = (last.to_owned(), String::new());
        let (mut current, mut looked_for) = (String::new(), HashSet::new());
        for name in names {
            let rest = &name[self.prefix.len()..];
            let child = rest.split_once('/').map_or(rest, |(child, _)| child);
            // Behind all below a child, where nothing else can stand between them, and else behind the image.
            from = self.after(if child == rest { rest } else { &rest[..=child.len()] });
            if child == current {
                continue;
            }
            child.clone_into(&mut current);
            for (end, _) in child.match_indices(['-', '.']) {
                let shorter = &child[..end];
                if shorter <= last.as_str() || !looked_for.insert(shorter.to_owned()) {
                    continue;
                }
                // To look takes time as well.
                bytes += 50;
                if self.has_below(tx, shorter)? {
                    shorter.clone_into(&mut last);
                    children.push(shorter.to_owned());
                }
            }
            if child > last.as_str() {
                child.clone_into(&mut last);
                bytes += child.len() + 3;
                children.push(child.to_owned());
            }
            if bytes >= PART_BYTES {
                return Ok((children, Some((from, last))));
            }
        }
        Ok((children, (!is_last).then_some((from, last))))
    }

    fn has_below(&self, tx: &mut Tx<'_>, child: &str) -> Result<bool, MetaError> {
        let prefix = format!("{}{child}/", self.prefix);
        let below = ImagesBelow { repository: self.repository, prefix };
        Ok(!below.is_empty(tx)?)
    }
}
