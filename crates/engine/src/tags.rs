//! Lists: the tags of an image, the images of a location.

use std::collections::{BTreeMap, BTreeSet};

use meta::tags::Listed;
use meta::{Id, MetaError, Tx, packages, tags};
use model::digest::Digest;
use model::name::{Location, RepositoryName};
use model::permission::Permission;
use model::resource::Resource;

use crate::{Caller, Engine, EngineError, Pull, RepoAccess};

/// How many images that the caller may not read one page of the catalog passes over.
const CATALOG_LOOKS: usize = 10_000;

/// A page of an image's tags.
#[derive(Debug)]
pub struct TagPage {
    /// The tags, in byte order, with what they name.
    pub tags: Vec<Listed>,
    /// What the names of images below this one go on with.
    pub children: Vec<String>,
    /// Whether there are more tags.
    pub more: bool,
}

impl TagPage {
    /// The versions that the page's tags name, each with its tags.
    pub fn versions(&self) -> BTreeMap<&Digest, Vec<&Listed>> {
        let mut versions: BTreeMap<&Digest, Vec<&Listed>> = BTreeMap::new();
        for tag in &self.tags {
            versions.entry(&tag.digest).or_default().push(tag);
        }
        versions
    }
}

/// A page of the catalog.
#[derive(Debug)]
pub struct CatalogPage {
    /// PROJECT/REPOSITORY/IMAGE, in byte order.
    pub paths: Vec<String>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

impl RepoAccess<Pull> {
    /// The tags after `last`, at most `limit`, and on the first page the images below this one.
    pub async fn tags(&self, last: &str, limit: usize) -> Result<TagPage, EngineError> {
        let (at, last) = (self.at.clone(), last.to_owned());
        self.engine
            .meta
            .read(move |tx| {
                let repository = &at.repository.id;
                let children = if last.is_empty() {
                    children(tx, repository, &format!("{}/", at.image()))?
                } else {
                    Vec::new()
                };
                let package = packages::find(tx, repository, at.image())?;
                let mut tags = match &package {
                    Some(package) => tags::list(tx, package, &last, limit as i64 + 1)?,
                    None if children.is_empty() => {
                        return Err(EngineError::ImageUnknown(at.target.path.path()));
                    }
                    None => Vec::new(),
                };
                let more = tags.len() > limit;
                tags.truncate(limit);
                Ok(TagPage { tags, children, more })
            })
            .await
    }
}

/// What the names that begin with `prefix` go on with, up to their next slash.
fn children(tx: &mut Tx<'_>, repository: &Id, prefix: &str) -> Result<Vec<String>, MetaError> {
    const MOST: usize = 1_000;
    // '0' follows '/' in ASCII, and '~' everything that a name may hold.
    let end = match prefix.strip_suffix('/') {
        Some(image) => format!("{image}0"),
        None => "~".to_owned(),
    };
    let (mut found, mut from) = (BTreeSet::new(), prefix.to_owned());
    loop {
        let names = packages::between(tx, repository, (&from, &end), MOST as i64)?;
        found.extend(names.iter().map(|name| first_component(&name[prefix.len()..]).to_owned()));
        match names.last() {
            Some(last) if names.len() == MOST && found.len() < MOST => {
                // Past everything that shares the last name's component; '-' is the least of what may follow.
                let child = first_component(&last[prefix.len()..]);
                let whole = prefix.len() + child.len() == last.len();
                from = format!("{prefix}{child}{}", if whole { '-' } else { '0' });
            }
            Some(_) | None => break,
        }
    }
    Ok(found.into_iter().take(MOST).collect())
}

fn first_component(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

impl Engine {
    /// What the names of a repository's images begin with, up to the first slash.
    pub async fn images(
        &self,
        caller: &Caller,
        name: &RepositoryName,
    ) -> Result<Vec<String>, EngineError> {
        let repository = self
            .authorize::<Pull>(
                caller,
                name,
                &format!("{}/{}", name.project.path(), name.repository),
            )
            .await?;
        let repository = repository.ok_or_else(|| EngineError::RepositoryUnknown(name.clone()))?;
        self.meta.read(move |tx| Ok(children(tx, &repository.id, "")?)).await
    }

    /// The images of a location that the caller may read, after `last`, at most `limit`.
    pub async fn catalog(
        &self,
        caller: &Caller,
        location: &Location,
        (last, limit): (&str, usize),
    ) -> Result<CatalogPage, EngineError> {
        const STEP: usize = 1_000;
        let mut page = CatalogPage { paths: Vec::new(), next: None };
        let mut last = last.to_owned();
        let mut looked = 0;
        if limit == 0 {
            return Ok(page);
        }
        loop {
            let (place, after) = (location.clone(), last.clone());
            let entries = self
                .meta
                .read(move |tx| {
                    Ok::<_, EngineError>(packages::catalog(tx, &place, &after, STEP as i64)?)
                })
                .await?;
            let end = entries.len() < STEP;
            for entry in entries {
                if page.paths.len() == limit || looked == CATALOG_LOOKS {
                    page.next = Some(last);
                    return Ok(page);
                }
                looked += 1;
                last = entry.path;
                if self.may_list(caller, location, (&entry.project, &entry.repository)).await? {
                    page.paths.push(last.clone());
                }
            }
            if end {
                return Ok(page);
            }
        }
    }

    async fn may_list(
        &self,
        caller: &Caller,
        location: &Location,
        (project, repository): (&str, &str),
    ) -> Result<bool, EngineError> {
        let (Ok(project), Ok(repository)) = (project.parse(), repository.parse()) else {
            return Ok(false);
        };
        let name = RepositoryName { project, location: location.clone(), repository };
        self.may(caller, Permission::DOWNLOAD_ARTIFACTS, &Resource::Repository(name)).await
    }
}
