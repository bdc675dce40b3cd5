//! Lists of names: the tags of an image, the images of a repository.

use std::collections::{BTreeMap, BTreeSet};

use identity::Caller;
use meta::tags::{ListedVersion, TagRow};
use meta::{Id, MetaError, Tx, packages, tags};
use model::digest::Digest;
use model::name::RepositoryName;

use crate::access::{Pull, RepoAccess};
use crate::content::source::ContentSource;
use crate::engine::Engine;
use crate::error::EngineError;

/// How many rows of a list are read at once.
pub(crate) const ROWS_AT_ONCE: usize = 1_000;

/// Among how many versions those without a tag are looked for: cleaners come again. Everybody else who lists tags waits
/// for it, so that it is not more where there are very many.
const MAX_UNTAGGED: i64 = 1_000;

/// A page of an image's tags.
#[derive(Debug)]
pub struct TagPage {
    /// The tags, in byte order, with what they name.
    pub tags: Vec<TagRow>,
    /// On the first page, versions without a tag.
    pub untagged: Vec<ListedVersion>,
    /// What the names of images below this one go on with.
    pub children: Vec<String>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

impl TagPage {
    /// The versions that the page's tags name, each with its tags.
    pub fn versions(&self) -> BTreeMap<&Digest, Vec<&TagRow>> {
        let mut versions: BTreeMap<&Digest, Vec<&TagRow>> = BTreeMap::new();
        for tag in &self.tags {
            versions.entry(&tag.version.digest).or_default().push(tag);
        }
        versions
    }
}

/// A page of names.
#[derive(Debug, Default)]
pub struct NamePage {
    /// The names, in order.
    pub names: Vec<String>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

impl RepoAccess<Pull> {
    /// The tags, and the images below this one, that stand after `last`: of each at most `limit`, and both up
    /// to the same place.
    pub async fn tags(&self, last: &str, limit: usize) -> Result<TagPage, EngineError> {
        let ContentSource::Local(holding) = self.source()?;
        let (path, last) = (self.image.target.path.path(), last.to_owned());
        self.engine
            .meta
            .read(move |tx| {
                let repository = &holding.repository.id;
                let below = ImagesBelow { repository, prefix: format!("{}/", holding.image()) };
                let mut children = below.page(tx, &last, limit)?;
                let mut untagged = Vec::new();
                let mut tags = match packages::find(tx, repository, holding.image())? {
                    Some(package) => {
                        if last.is_empty() {
                            let limit = limit as i64;
                            untagged =
                                tags::list_untagged_versions(tx, &package, MAX_UNTAGGED, limit)?;
                        }
                        tags::list(tx, &package, &last, limit as i64 + 1)?
                    }
                    None if below.is_empty(tx)? => {
                        return Err(EngineError::ImageUnknown(path.clone()));
                    }
                    None => Vec::new(),
                };
                let more = tags.len() > limit;
                tags.truncate(limit);
                let last_tag = tags.last().filter(|_| more).map(|tag| tag.name.clone());
                let next = last_tag.into_iter().chain(children.next()).min();
                if let Some(next) = &next {
                    tags.retain(|tag| tag.name <= *next);
                    children.places.retain(|place| place <= next);
                }
                Ok(TagPage { tags, untagged, children: children.names(), next })
            })
            .await
    }
}

impl Engine {
    /// What the names of a repository's images begin with, up to the first slash: those that stand after
    /// `last`, at most `limit`.
    pub async fn images(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        (last, limit): (&str, usize),
    ) -> Result<NamePage, EngineError> {
        let repository = self.authorize::<Pull>(caller, name, &name.path()).await?;
        let Some(repository) = repository else { return Err(self.missing(name.clone()).await) };
        let last = last.to_owned();
        self.meta
            .read(move |tx| {
                let below = ImagesBelow { repository: &repository.id, prefix: String::new() };
                let children = below.page(tx, &last, limit)?;
                Ok(NamePage { next: children.next(), names: children.names() })
            })
            .await
    }
}

/// The images of a repository whose names begin with a prefix. What these go on with, up to the next slash, is
/// a child.
pub(crate) struct ImagesBelow<'a> {
    pub(crate) repository: &'a Id,
    /// Nothing, or the name of an image and a slash.
    pub(crate) prefix: String,
}

/// A page of children, by the place where each is found first in the order of all names: `a` where there is
/// an image `a`, and else `a/`, which stands after `a-b`.
struct ChildPage {
    places: BTreeSet<String>,
    more: bool,
}

impl ChildPage {
    fn next(&self) -> Option<String> {
        self.places.last().filter(|_| self.more).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.places.iter().map(|place| place.trim_end_matches('/').to_owned()).collect()
    }
}

impl ImagesBelow<'_> {
    /// At most `limit` children whose places are after `last`.
    fn page(&self, tx: &mut Tx<'_>, last: &str, limit: usize) -> Result<ChildPage, MetaError> {
        let begin = self.after(last);
        let (mut places, mut from) = (BTreeSet::new(), begin.clone());
        loop {
            let names = self.names(tx, &from, ROWS_AT_ONCE)?;
            let mut place = String::new();
            for name in &names {
                let rest = &name[self.prefix.len()..];
                if place.ends_with('/') && rest.starts_with(&place) {
                    continue;
                }
                place = match rest.split_once('/') {
                    Some((child, _)) => format!("{child}/"),
                    None => rest.to_owned(),
                };
                if !self.is_listed(tx, &place, (&begin, &places))? {
                    places.insert(place.clone());
                }
            }
            from = self.after(&place);
            let more = places.len() > limit;
            if more || names.len() < ROWS_AT_ONCE {
                let places = places.into_iter().take(limit).collect();
                return Ok(ChildPage { places, more });
            }
        }
    }

    /// Whether what is found at `a/` was found at `a`: on this page, or on one before it.
    fn is_listed(
        &self,
        tx: &mut Tx<'_>,
        place: &str,
        (begin, places): (&str, &BTreeSet<String>),
    ) -> Result<bool, MetaError> {
        let Some(child) = place.strip_suffix('/') else { return Ok(false) };
        let image = format!("{}{child}", self.prefix);
        let before = image.as_str() < begin;
        Ok(places.contains(child)
            || (before && packages::find(tx, self.repository, &image)?.is_some()))
    }

    pub(crate) fn is_empty(&self, tx: &mut Tx<'_>) -> Result<bool, MetaError> {
        Ok(self.names(tx, &self.prefix, 1)?.is_empty())
    }

    pub(crate) fn names(
        &self,
        tx: &mut Tx<'_>,
        from: &str,
        limit: usize,
    ) -> Result<Vec<String>, MetaError> {
        // '0' follows '/' in ASCII, and '~' everything that a name may hold.
        let end = match self.prefix.strip_suffix('/') {
            Some(image) => format!("{image}0"),
            None => "~".to_owned(),
        };
        packages::list_names_between(tx, self.repository, from, &end, limit as i64)
    }

    /// The least name after a place: '-' is the least of what may follow a name, and '0' stands after all that
    /// begin with it and a slash.
    pub(crate) fn after(&self, place: &str) -> String {
        match place.strip_suffix('/') {
            Some(child) => format!("{}{child}0", self.prefix),
            None => format!("{}{place}-", self.prefix),
        }
    }
}
