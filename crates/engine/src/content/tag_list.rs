//! Lists of names: the tags of an image, the images of a repository.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use identity::Caller;
use meta::tags::{ListedVersion, TagRow};
use meta::versions::ImageAddress;
use meta::{Id, MetaError, Tx, packages, tags, upstream_tags, versions};
use model::digest::Digest;
use model::name::RepositoryName;

use crate::access::{Pull, RepoAccess};
use crate::content::remote_lists::UpstreamList;
use crate::content::source::ContentSource;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::page::{ListPage, PageRequest, merge_lists};
use crate::upstream_set::ListedRepositories;

/// The number of rows of a list that are read at once.
pub(crate) const ROWS_AT_ONCE: usize = 1_000;

/// The number of versions among which those without a tag are looked for. Cleaners repeat their request, so they find
/// the others later. Every other client that lists tags waits for this search.
const MAX_VERSIONS_SEARCHED: i64 = 1_000;

/// A page of an image's tags.
#[derive(Debug)]
pub struct TagPage {
    /// The names of the tags, in order. Some may belong to versions that a remote repository has not fetched.
    pub names: Vec<String>,
    /// The tags in byte order, with the versions that they name.
    pub tags: Vec<TagRow>,
    /// Versions without a tag, on the first page only.
    pub untagged: Vec<ListedVersion>,
    /// The next segments of the names of images below this one.
    pub children: Vec<String>,
    /// The position at which the next page begins, if there is one.
    pub next: Option<String>,
}

impl TagPage {
    /// Returns the versions that the tags of the page name, each with these tags.
    pub fn versions(&self) -> BTreeMap<&Digest, Vec<&TagRow>> {
        let mut versions: BTreeMap<&Digest, Vec<&TagRow>> = BTreeMap::new();
        for tag in &self.tags {
            versions.entry(&tag.version.digest).or_default().push(tag);
        }
        versions
    }
}

impl RepoAccess<Pull> {
    /// Lists the tags of the image, and the images below it. The page has at most `limit` of each, and both end at
    /// the same position.
    pub async fn list_tags(&self, page: PageRequest) -> Result<TagPage, EngineError> {
        let (source, image) = (self.source().await?, self.image.target.path.image.to_string());
        let (path, PageRequest { start, limit }) = (self.image.target.path.path(), page);
        let problem = Box::pin(source.prepare_list(&self.engine, &UpstreamList::Tags)).await?;
        self.engine
            .read(move |tx| {
                let (repositories, listed) = (source.repositories()?, source.repositories_below()?);
                let below = ImagesBelow { repositories: &listed, prefix: format!("{image}/") };
                let mut children = below.list_children(tx, &start, limit)?;
                let packages = find_packages(tx, &repositories, &image)?;
                let mut names = list_names(tx, &source, &image, &start, limit)?;
                if packages.is_empty() && names.is_empty() && below.is_empty(tx)? {
                    return Err(match &problem {
                        Some(problem) if !problem.is_not_found() => problem.clone().into(),
                        Some(_) | None => EngineError::ImageUnknown(path.clone()),
                    });
                }
                let mut untagged = Vec::new();
                if start.is_empty() {
                    untagged = list_untagged(tx, &packages, limit)?;
                }
                let mut lists = Vec::new();
                for package in &packages {
                    lists.push(tags::list(tx, package, &start, limit as i64 + 1)?);
                }
                let mut tags = merge_lists(lists, |a, b| a.name.cmp(&b.name));
                let more = names.len() > limit;
                names.truncate(limit);
                let last_tag = names.last().filter(|_| more).cloned();
                let next = last_tag.into_iter().chain(children.next()).min();
                if let Some(next) = &next {
                    names.retain(|name| name <= next);
                    children.positions.retain(|position| position <= next);
                }
                tags.retain(|tag| names.binary_search(&tag.name).is_ok());
                Ok(TagPage { names, tags, untagged, children: children.names(), next })
            })
            .await
    }
}

impl Engine {
    /// Lists the first segments of the names of a repository's images.
    pub async fn list_images(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        page: PageRequest,
    ) -> Result<ListPage<String>, EngineError> {
        let repository = self.authorize::<Pull>(caller, name, &name.path()).await?;
        let Some(repository) = repository else {
            return Err(self.missing_error(name.clone()).await);
        };
        let repositories = self.listed_repositories(name, &repository).await?;
        self.read(move |tx| {
            let below = ImagesBelow { repositories: &repositories, prefix: String::new() };
            let children = below.list_children(tx, &page.start, page.limit)?;
            let (next, entries) = (children.next(), children.names());
            Ok(ListPage { first: entries.first().cloned(), next, entries })
        })
        .await
    }
}

/// Returns the ids of an image in those of the repositories that hold it, in their order.
pub(crate) fn find_packages(
    tx: &mut Tx<'_>,
    repositories: &[Id],
    image: &str,
) -> Result<Vec<Id>, MetaError> {
    let packages = repositories.iter().map(|repository| packages::find(tx, repository, image));
    Ok(packages.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Returns up to `limit` + 1 names of tags after `start`. A remote repository of another registry has those that its upstream
/// lists.
fn list_names(
    tx: &mut Tx<'_>,
    source: &ContentSource,
    image: &str,
    start: &str,
    limit: usize,
) -> Result<Vec<String>, EngineError> {
    let (registries, limit) = (source.registry_ids(), limit as i64 + 1);
    let mut lists = Vec::new();
    for repository in &source.repositories()? {
        if registries.contains(repository) {
            let at = ImageAddress { repository, image };
            lists.push(upstream_tags::list_found(tx, at, start, limit)?);
        } else if let Some(package) = packages::find(tx, repository, image)? {
            let tags = tags::list(tx, &package, start, limit)?;
            lists.push(tags.into_iter().map(|tag| tag.name).collect());
        }
    }
    Ok(merge_lists(lists, String::cmp))
}

/// Returns versions without a tag. A version that several repositories hold is the first one's, with or without tags.
fn list_untagged(
    tx: &mut Tx<'_>,
    packages: &[Id],
    limit: usize,
) -> Result<Vec<ListedVersion>, MetaError> {
    let mut untagged = Vec::new();
    for (position, package) in packages.iter().enumerate() {
        let few = limit as i64;
        for version in tags::list_untagged_versions(tx, package, MAX_VERSIONS_SEARCHED, few)? {
            let mut is_first = true;
            for before in &packages[..position] {
                is_first &= versions::find_in_package(tx, before, &version.digest)?.is_none();
            }
            if is_first {
                untagged.push(version);
            }
        }
    }
    untagged.truncate(limit);
    Ok(untagged)
}

/// The images of repositories whose names begin with a prefix. The next segment of such a name, up to a slash, is a
/// child.
pub(crate) struct ImagesBelow<'a> {
    pub(crate) repositories: &'a ListedRepositories,
    /// The common prefix: an empty text, or the name of an image and a slash.
    pub(crate) prefix: String,
}

/// A page of children, each by its position in the order of all names: `a` if there is an image `a`, and else `a/`,
/// which stands after `a-b`.
struct ChildPage {
    positions: BTreeSet<String>,
    more: bool,
}

impl ChildPage {
    fn next(&self) -> Option<String> {
        self.positions.last().filter(|_| self.more).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.positions.iter().map(|position| position.trim_end_matches('/').to_owned()).collect()
    }
}

impl ImagesBelow<'_> {
    /// Returns at most `limit` children whose positions are after `last`.
    fn list_children(
        &self,
        tx: &mut Tx<'_>,
        last: &str,
        limit: usize,
    ) -> Result<ChildPage, MetaError> {
        let begin = self.name_after(last);
        let (mut positions, mut from) = (BTreeSet::new(), begin.clone());
        loop {
            let names = self.list_names(tx, &from, ROWS_AT_ONCE)?;
            let mut position = String::new();
            for name in &names {
                let rest = &name[self.prefix.len()..];
                if position.ends_with('/') && rest.starts_with(&position) {
                    continue;
                }
                position = match rest.split_once('/') {
                    Some((child, _)) => format!("{child}/"),
                    None => rest.to_owned(),
                };
                if !self.is_listed(tx, &position, &begin, &positions)? {
                    positions.insert(position.clone());
                }
            }
            from = self.name_after(&position);
            let more = positions.len() > limit;
            if more || names.len() < ROWS_AT_ONCE {
                let positions = positions.into_iter().take(limit).collect();
                return Ok(ChildPage { positions, more });
            }
        }
    }

    /// Returns whether the child of a position `a/` was listed at `a` already: on this page, or on one before it.
    fn is_listed(
        &self,
        tx: &mut Tx<'_>,
        position: &str,
        begin: &str,
        listed: &BTreeSet<String>,
    ) -> Result<bool, MetaError> {
        let Some(child) = position.strip_suffix('/') else { return Ok(false) };
        let image = format!("{}{child}", self.prefix);
        let before = image.as_str() < begin;
        Ok(listed.contains(child) || (before && self.has_image(tx, &image)?))
    }

    pub(crate) fn is_empty(&self, tx: &mut Tx<'_>) -> Result<bool, MetaError> {
        Ok(self.list_names(tx, &self.prefix, 1)?.is_empty())
    }

    pub(crate) fn list_names(
        &self,
        tx: &mut Tx<'_>,
        from: &str,
        limit: usize,
    ) -> Result<Vec<String>, MetaError> {
        // '0' follows '/' in ASCII, and '~' follows all characters of names.
        let end = match self.prefix.strip_suffix('/') {
            Some(image) => format!("{image}0"),
            None => "~".to_owned(),
        };
        let mut lists = Vec::new();
        for repository in &self.repositories.ids {
            lists.push(self.list_shown_names(tx, repository, from..&end, limit)?);
        }
        let mut names = merge_lists(lists, String::cmp);
        names.truncate(limit);
        Ok(names)
    }

    /// Returns up to `limit` names of one repository, without those of images that it is not asked for.
    fn list_shown_names(
        &self,
        tx: &mut Tx<'_>,
        repository: &Id,
        range: Range<&str>,
        limit: usize,
    ) -> Result<Vec<String>, MetaError> {
        let (mut shown, mut from) = (Vec::new(), range.start.to_owned());
        loop {
            let names =
                packages::list_names_between(tx, repository, &from, range.end, limit as i64)?;
            let is_last = names.len() < limit;
            if let Some(last) = names.last() {
                // No name contains this character, and it stands before all that names contain.
                from = format!("{last}!");
            }
            shown
                .extend(names.into_iter().filter(|name| self.repositories.shows(repository, name)));
            if is_last || shown.len() >= limit {
                shown.truncate(limit);
                return Ok(shown);
            }
        }
    }

    fn has_image(&self, tx: &mut Tx<'_>, image: &str) -> Result<bool, MetaError> {
        for repository in &self.repositories.ids {
            let is_shown = self.repositories.shows(repository, image);
            if is_shown && packages::find(tx, repository, image)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the smallest name after a position. '-' is the smallest character that may go on a name, and '0'
    /// stands after all names that go on with a slash.
    pub(crate) fn name_after(&self, position: &str) -> String {
        match position.strip_suffix('/') {
            Some(child) => format!("{}{child}0", self.prefix),
            None => format!("{}{position}-", self.prefix),
        }
    }
}
