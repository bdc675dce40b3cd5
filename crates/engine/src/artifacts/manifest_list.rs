//! Lists of manifests over several repositories: those that a virtual repository reads. A list of one repository or
//! image is the simple case.

use std::cmp::Ordering;
use std::mem::take;
use std::sync::Arc;

use meta::images::{self, ManifestDetails, TimeOrderedList, TimeOrderedQuery, TimePosition};
use meta::packages::{self, PackageDetails};
use meta::{Id, MetaError, Tx, tags, versions};
use model::list_filter::SortDirection;
use model::name::RepositoryName;

use crate::access::{ImageContext, find_repository};
use crate::artifacts::listing::{RowFilter, read_page};
use crate::content::tag_list::find_packages;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::page::{ListPage, PageRequest, SortOrder, merge_lists};
use crate::tags::tag_write::package_unknown;
use crate::upstream_set::ListedRepositories;

/// The time by which a list of manifests is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageOrder {
    /// The time of the push.
    Uploaded,
    /// The time of the push or of the last tagging.
    Updated,
}

impl Engine {
    /// Returns the repositories whose rows a list of the repository shows.
    pub(crate) async fn repositories_of_list(
        &self,
        name: &RepositoryName,
    ) -> Result<ListedRepositories, EngineError> {
        let wanted = name.clone();
        let repository = self.read_by_key(move |tx| find_repository(tx, &wanted)).await?;
        self.listed_repositories(name, &repository).await
    }

    /// Returns the ids of the image in the repositories whose rows a list of the image shows.
    pub(crate) async fn packages_of_list(
        &self,
        image: &Arc<ImageContext>,
    ) -> Result<Vec<Id>, EngineError> {
        let packages = self.listed_packages(image).await?;
        Ok(packages.into_iter().map(|package| package.id).collect())
    }

    /// Returns the image in the repositories whose rows a list of the image shows, in the order in which they are asked.
    pub(crate) async fn listed_packages(
        &self,
        image: &Arc<ImageContext>,
    ) -> Result<Vec<ListedPackage>, EngineError> {
        let (source, image) = (self.source_of(image).await?, image.clone());
        self.read_by_key(move |tx| {
            let mut listed = Vec::new();
            for repository in &source.repositories()? {
                let found = packages::find(tx, repository, image.image_name())?;
                let upstream = source.upstream_of(repository).map(str::to_owned);
                listed.extend(found.map(|id| ListedPackage { id, upstream }));
            }
            if listed.is_empty() { Err(package_unknown(&image)) } else { Ok(listed) }
        })
        .await
    }
}

/// An image in one of the repositories whose rows a list shows.
#[derive(Debug, Clone)]
pub(crate) struct ListedPackage {
    pub(crate) id: Id,
    /// The id of the policy of the upstream that the rows belong to. `None` if the rows are the repository's own.
    pub(crate) upstream: Option<String>,
}

/// The rows that a list of manifests shows: those of one repository or image, or of the upstreams of a virtual one.
#[derive(Clone, Copy)]
pub(crate) enum ListScope<'a> {
    /// All images of repositories, which are asked in this order.
    Repositories(&'a ListedRepositories),
    /// One image in several repositories, which are asked in this order.
    Packages(&'a [Id]),
}

/// A row of a list of manifests.
pub(crate) struct ListedManifest {
    pub(crate) manifest: ManifestDetails,
    /// `true` if the list shows the manifest from a repository that is asked before, or if this one is not asked for it.
    is_hidden: bool,
}

impl ListedManifest {
    pub(crate) fn filter(&self, filter: impl Fn(&ManifestDetails) -> RowFilter) -> RowFilter {
        if self.is_hidden { RowFilter::Skip } else { filter(&self.manifest) }
    }
}

pub(crate) fn manifests_of(page: ListPage<ListedManifest>) -> ListPage<ManifestDetails> {
    page.map(|row| row.manifest)
}

impl ListScope<'_> {
    /// Reads up to `step` rows of all repositories or images, in the order of the list.
    pub(crate) fn read_rows(
        self,
        tx: &mut Tx<'_>,
        mut read: impl FnMut(&mut Tx<'_>, &Id) -> Result<Vec<ManifestDetails>, EngineError>,
        compare: impl Fn(&ListedManifest, &ListedManifest) -> Ordering,
        step: i64,
    ) -> Result<Vec<ListedManifest>, EngineError> {
        let ids = match self {
            Self::Repositories(repositories) => &repositories.ids,
            Self::Packages(ids) => ids,
        };
        let mut lists = Vec::new();
        for (position, id) in ids.iter().enumerate() {
            let mut rows = Vec::new();
            for mut manifest in read(tx, id)? {
                let before = self.packages_before(tx, position, &manifest.package)?;
                let mut is_hidden = !self.asks(id, &manifest.package);
                for package in &before {
                    let found = versions::find_in_package(tx, package, &manifest.digest)?;
                    is_hidden |= found.is_some();
                }
                hide_tags(tx, &before, &mut manifest)?;
                rows.push(ListedManifest { manifest, is_hidden });
            }
            lists.push(rows);
        }
        let mut rows = merge_lists(lists, compare);
        rows.truncate(step as usize);
        Ok(rows)
    }

    /// Returns whether a pull of an image may be answered by the repository with this id.
    fn asks(self, id: &Id, image: &str) -> bool {
        match self {
            Self::Repositories(repositories) => repositories.shows(id, image),
            Self::Packages(_) => true,
        }
    }

    /// Returns the ids of an image in the repositories that are asked before the one at this position.
    fn packages_before(
        self,
        tx: &mut Tx<'_>,
        position: usize,
        image: &str,
    ) -> Result<Vec<Id>, MetaError> {
        match self {
            Self::Repositories(repositories) => {
                let before = repositories.ids[..position].iter();
                let asked = before.filter(|id| repositories.shows(id, image)).copied();
                find_packages(tx, &asked.collect::<Vec<_>>(), image)
            }
            Self::Packages(ids) => Ok(ids[..position].to_vec()),
        }
    }
}

/// Takes out those tags of a manifest that name a version of a repository that is asked before.
pub(crate) fn hide_tags(
    tx: &mut Tx<'_>,
    before: &[Id],
    manifest: &mut ManifestDetails,
) -> Result<(), MetaError> {
    for package in before {
        let mut shown = Vec::new();
        for tag in take(&mut manifest.tags) {
            if tags::find(tx, package, &tag)?.is_none() {
                shown.push(tag);
            }
        }
        manifest.tags = shown;
    }
    Ok(())
}

/// A list of manifests by time.
pub(crate) struct TimeList<'a> {
    pub(crate) rows: TimeOrderedList,
    pub(crate) scope: ListScope<'a>,
    pub(crate) order: SortOrder<ImageOrder>,
}

/// Reads a page of a list by time. A position in it is a time and an id.
pub(crate) fn read_page_by_time(
    tx: &mut Tx<'_>,
    list: TimeList<'_>,
    page: &PageRequest,
    filter: impl Fn(&ManifestDetails) -> RowFilter,
) -> Result<ListPage<ManifestDetails>, EngineError> {
    let TimeList { rows, scope, order: SortOrder { field, direction } } = list;
    let time = |image: &ManifestDetails| match field {
        ImageOrder::Uploaded => image.uploaded_at,
        ImageOrder::Updated => image.updated_at,
    };
    let compare = |a: &ListedManifest, b: &ListedManifest| {
        let (a, b) = (&a.manifest, &b.manifest);
        direction.order((time(a), a.id).cmp(&(time(b), b.id)))
    };
    let edge = match direction {
        SortDirection::Descending => format!("{} {}", i64::MAX, Id::from([u8::MAX; 16])),
        SortDirection::Ascending => format!("{} {}", i64::MIN, Id::from([0; 16])),
    };
    let start = if page.start.is_empty() { edge } else { page.start.clone() };
    let read_rows = |last: &str, step| {
        let broken = || EngineError::Internal("a position in a list by time".to_owned());
        let (time, id) = last.split_once(' ').ok_or_else(broken)?;
        let time: i64 = time.parse().map_err(|_| broken())?;
        let id: Id = id.parse().map_err(|_| broken())?;
        let last = TimePosition { time, version: id };
        let read = |tx: &mut Tx<'_>, scope: &Id| {
            let query = TimeOrderedQuery { list: rows, direction, scope, last, limit: step };
            Ok(images::list_by_time(tx, query)?)
        };
        scope.read_rows(tx, read, compare, step)
    };
    let request = PageRequest { start, limit: page.limit };
    let position = |row: &ListedManifest| format!("{} {}", time(&row.manifest), row.manifest.id);
    let read = read_page(request, read_rows, position, |row| row.filter(&filter));
    Ok(manifests_of(read?))
}

/// A range of the images of one repository.
pub(crate) struct PackageRange<'a> {
    pub(crate) repository: &'a Id,
    pub(crate) direction: SortDirection,
    /// The name after which the range begins.
    pub(crate) last: &'a str,
    /// The largest number of images.
    pub(crate) step: i64,
}

/// Returns images of one repository, without those that it is not asked for.
pub(crate) fn list_shown_packages(
    tx: &mut Tx<'_>,
    repositories: &ListedRepositories,
    range: PackageRange<'_>,
) -> Result<Vec<PackageDetails>, MetaError> {
    let PackageRange { repository, direction, last, step } = range;
    let (mut shown, mut last) = (Vec::new(), last.to_owned());
    loop {
        let rows = packages::list(tx, direction, repository, &last, step)?;
        let is_end = rows.len() < step as usize;
        if let Some(row) = rows.last() {
            last.clone_from(&row.name);
        }
        shown.extend(rows.into_iter().filter(|row| repositories.shows(repository, &row.name)));
        if is_end || shown.len() >= step as usize {
            shown.truncate(step as usize);
            return Ok(shown);
        }
    }
}
