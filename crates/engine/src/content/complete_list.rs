//! The complete list of an image, for clients that do not follow the link to a next page. It is read part by part, as
//! the client reads.
//!
//! Each part is a transaction of its own, and begins after the key with which the last one ended. However long the
//! list and however slow its reader, only one part is in memory, and nothing in the database waits. Changes during
//! the list may or may not be in it; a version and its tags are read together.

use std::collections::HashSet;
use std::mem::take;

use identity::Caller;
use meta::complete_list::{FIRST_TAGS, TaggedVersion, list_versions};
use meta::repositories;
use meta::{Id, MetaError, Tx, packages, tags};
use model::name::RepositoryName;

use crate::access::{Pull, RepoAccess};
use crate::content::source::ContentSource;
use crate::content::tag_list::{ImagesBelow, find_packages};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::upstream_set::ListedRepositories;

/// The length in bytes at which a part ends, so that a reader holds little memory. The row that reaches it is still
/// in the part.
const MAX_PART_BYTES: usize = 64 << 10;
/// The largest number of names that a part reads.
const MAX_NAMES: usize = 500;
/// The largest number of versions that a part reads.
const MAX_VERSIONS: usize = 200;

/// The complete list of an image, or of a repository.
pub struct CompleteList {
    engine: Engine,
    repository: RepositoryName,
    scope: ListScope,
    position: Option<ListPosition>,
}

/// The image or repository that is listed.
#[derive(Debug, Clone)]
struct ListScope {
    /// The repositories that answer: one, or the upstreams of a virtual repository.
    repositories: ListedRepositories,
    /// The name of the image, and the id of its row. There is no row if the image has no manifests itself and other
    /// images are below its name.
    image: Option<(String, Option<Id>)>,
}

/// The position at which the next part begins.
#[derive(Debug, Clone)]
enum ListPosition {
    /// A position among the images below. `from` is the next name to read, and `last` the last child of the list.
    Children { from: String, last: String },
    /// The position after a tag.
    Tags(String),
    /// The position after a digest.
    Versions(String),
    /// The position after a tag of the version with which the last part ended.
    TagsOfVersion { version: Id, digest: String, last: String },
}

/// A part of a complete list. The variants are in the order in which they come.
#[derive(Debug)]
pub enum ListPart {
    /// The children of the image: the next segments of the names below it, in byte order.
    Children(Vec<String>),
    /// Tags, in byte order.
    Tags(Vec<String>),
    /// Versions in the order of their digests, with their tags.
    Versions(Vec<TaggedVersion>),
    /// More tags of the version that came last.
    MoreTags(Vec<String>),
}

impl RepoAccess<Pull> {
    /// Begins the complete list of this image: the images below it, its tags and its versions. Returns `None` for an
    /// image of a virtual repository, which is listed in pages only.
    pub async fn open_complete_list(&self) -> Result<Option<CompleteList>, EngineError> {
        let ContentSource::Local(holding) = self.source().await? else { return Ok(None) };
        let (repository, path) = (holding.repository.id, self.image.target.path.path());
        let image = holding.image().to_owned();
        let package = self
            .engine
            .read(move |tx| {
                let package = packages::find(tx, &holding.repository.id, holding.image())?;
                let prefix = format!("{}/", holding.image());
                let repositories = ListedRepositories::of_one(holding.repository.id);
                let below = ImagesBelow { repositories: &repositories, prefix };
                if package.is_none() && below.is_empty(tx)? {
                    return Err(EngineError::ImageUnknown(path.clone()));
                }
                Ok(package)
            })
            .await?;
        let scope = ListScope {
            repositories: ListedRepositories::of_one(repository),
            image: Some((image, package)),
        };
        let name = self.image.repository_name.clone();
        Ok(Some(CompleteList::new(self.engine.clone(), name, scope)))
    }
}

impl Engine {
    /// Begins the complete list of the first segments of the names of a repository's images.
    pub async fn open_complete_image_list(
        &self,
        caller: &Caller,
        name: &RepositoryName,
    ) -> Result<CompleteList, EngineError> {
        let repository = self.authorize::<Pull>(caller, name, &name.path()).await?;
        let Some(repository) = repository else {
            return Err(self.missing_error(name.clone()).await);
        };
        let repositories = self.listed_repositories(name, &repository).await?;
        let scope = ListScope { repositories, image: None };
        Ok(CompleteList::new(self.clone(), name.clone(), scope))
    }
}

impl CompleteList {
    fn new(engine: Engine, repository: RepositoryName, scope: ListScope) -> Self {
        let from = scope.images_below().prefix;
        let position = Some(ListPosition::Children { from, last: String::new() });
        Self { engine, repository, scope, position }
    }

    /// Returns the next part, or `None` at the end. After an error the list has ended.
    pub async fn next(&mut self) -> Result<Option<ListPart>, EngineError> {
        let Some(position) = take(&mut self.position) else { return Ok(None) };
        let (scope, repository) = (self.scope.clone(), self.repository.clone());
        let read = self.engine.read(move |tx| {
            scope.check_unchanged(tx, &repository)?;
            Ok(scope.read_part(tx, &position)?)
        });
        let (part, next) = read.await?;
        self.position = next;
        Ok(Some(part))
    }
}

impl ListScope {
    /// Fails if the repository or the image was deleted since the list began, so that the list cannot go on with
    /// another object of the same name.
    fn check_unchanged(
        &self,
        tx: &mut Tx<'_>,
        repository: &RepositoryName,
    ) -> Result<(), EngineError> {
        for id in &self.repositories.ids {
            if !repositories::is_live(tx, id)? {
                return Err(EngineError::RepositoryUnknown(repository.clone()));
            }
        }
        match &self.image {
            Some((image, Some(package)))
                if find_packages(tx, &self.repositories.ids, image)?.first() != Some(package) =>
            {
                Err(EngineError::ImageUnknown(format!("{}/{image}", repository.path())))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn images_below(&self) -> ImagesBelow<'_> {
        let prefix = self.image.as_ref().map(|(image, _)| format!("{image}/"));
        ImagesBelow { repositories: &self.repositories, prefix: prefix.unwrap_or_default() }
    }

    fn package(&self) -> Option<&Id> {
        self.image.as_ref().and_then(|(_, package)| package.as_ref())
    }

    fn read_part(
        &self,
        tx: &mut Tx<'_>,
        position: &ListPosition,
    ) -> Result<(ListPart, Option<ListPosition>), MetaError> {
        let package = self.package();
        match (position, package) {
            (ListPosition::Children { from, last }, _) => {
                let (children, next) = self.images_below().list_children_after(tx, from, last)?;
                let next = next.map(|(from, last)| ListPosition::Children { from, last });
                let tags = package.map(|_| ListPosition::Tags(String::new()));
                Ok((ListPart::Children(children), next.or(tags)))
            }
            (_, None) => Ok((ListPart::Tags(Vec::new()), None)),
            (ListPosition::Tags(last), Some(package)) => {
                let names = tags::list_with_digests(tx, package, last, MAX_NAMES as i64)?;
                let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
                let next = match names.last() {
                    Some(last) if names.len() == MAX_NAMES => ListPosition::Tags(last.clone()),
                    Some(_) | None => ListPosition::Versions(String::new()),
                };
                Ok((ListPart::Tags(names), Some(next)))
            }
            (ListPosition::Versions(last), Some(package)) => read_versions_after(tx, package, last),
            (ListPosition::TagsOfVersion { version, digest, last }, Some(_)) => {
                let names = tags::list_of_version(tx, version, last, MAX_NAMES as i64)?;
                let (version, digest) = (*version, digest.clone());
                let next = match names.last().cloned() {
                    Some(last) if names.len() == MAX_NAMES => {
                        ListPosition::TagsOfVersion { version, digest, last }
                    }
                    Some(_) | None => ListPosition::Versions(digest),
                };
                Ok((ListPart::MoreTags(names), Some(next)))
            }
        }
    }
}

/// Reads versions with their tags. If the last one has very many tags, they go on in the next part.
fn read_versions_after(
    tx: &mut Tx<'_>,
    package: &Id,
    last: &str,
) -> Result<(ListPart, Option<ListPosition>), MetaError> {
    let rows = list_versions(tx, package, last, MAX_VERSIONS as i64)?;
    let is_last = rows.len() < MAX_VERSIONS;
    let (mut part, mut bytes) = (Vec::new(), 0);
    let length = |tags: &[String]| tags.iter().map(|tag| tag.len() + 3).sum::<usize>();
    for mut row in rows {
        let mut count = row.tags.len();
        bytes += 250 + length(&row.tags);
        let mut step = FIRST_TAGS;
        while count == step && bytes < MAX_PART_BYTES {
            step = MAX_NAMES;
            let after = row.tags.last().map_or("", String::as_str);
            let more = tags::list_of_version(tx, &row.id, after, MAX_NAMES as i64)?;
            count = more.len();
            bytes += length(&more);
            row.tags.extend(more);
        }
        let (version, digest) = (row.id, row.version.digest.to_string());
        let last_tag = row.tags.last().filter(|_| count == step).cloned();
        part.push(row);
        if let Some(last) = last_tag {
            let next = ListPosition::TagsOfVersion { version, digest, last };
            return Ok((ListPart::Versions(part), Some(next)));
        }
        if bytes >= MAX_PART_BYTES {
            return Ok((ListPart::Versions(part), Some(ListPosition::Versions(digest))));
        }
    }
    let next = part.last().filter(|_| !is_last).map(|row| row.version.digest.to_string());
    Ok((ListPart::Versions(part), next.map(ListPosition::Versions)))
}

/// Some children, and the name and the last child with which the next part begins.
type ChildSlice = (Vec<String>, Option<(String, String)>);

impl ImagesBelow<'_> {
    /// Returns children after `last`, reading the names from `from` on.
    ///
    /// Names come in byte order, in which `a/x` stands after `a-b`. So a child `a` can have its first name after that
    /// of `a-b`. Therefore, before a child is listed, the shorter children that it begins with are looked for, and a
    /// child that is not after the last one is not listed again.
    fn list_children_after(
        &self,
        tx: &mut Tx<'_>,
        from: &str,
        last: &str,
    ) -> Result<ChildSlice, MetaError> {
        let names = self.list_names(tx, from, MAX_NAMES)?;
        let is_last = names.len() < MAX_NAMES;
        let (mut children, mut bytes) = (Vec::new(), 0);
        let (mut last, mut from) = (last.to_owned(), String::new());
        let (mut current, mut looked_for) = (String::new(), HashSet::new());
        for name in names {
            let rest = &name[self.prefix.len()..];
            let child = rest.split_once('/').map_or(rest, |(child, _)| child);
            // The next name to read is after all images below the child, if this name is one of them, and else after
            // the image itself.
            from = self.name_after(if child == rest { rest } else { &rest[..=child.len()] });
            if child == current {
                continue;
            }
            child.clone_into(&mut current);
            for (end, _) in child.match_indices(['-', '.']) {
                let shorter = &child[..end];
                if shorter <= last.as_str() || !looked_for.insert(shorter.to_owned()) {
                    continue;
                }
                // A lookup takes time, and counts like some bytes.
                bytes += 50;
                if self.has_images_below(tx, shorter)? {
                    shorter.clone_into(&mut last);
                    children.push(shorter.to_owned());
                }
            }
            if child > last.as_str() {
                child.clone_into(&mut last);
                bytes += child.len() + 3;
                children.push(child.to_owned());
            }
            if bytes >= MAX_PART_BYTES {
                return Ok((children, Some((from, last))));
            }
        }
        Ok((children, (!is_last).then_some((from, last))))
    }

    fn has_images_below(&self, tx: &mut Tx<'_>, child: &str) -> Result<bool, MetaError> {
        let prefix = format!("{}{child}/", self.prefix);
        let below = ImagesBelow { repositories: self.repositories, prefix };
        Ok(!below.is_empty(tx)?)
    }
}
