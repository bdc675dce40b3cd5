//! Images as the APIs show them: lists of manifests, of images and of tags, and each of these.

use identity::Authorized;
use meta::images::{self, ManifestDetails, TimeOrderedList, TimeOrderedQuery, TimePosition};
use meta::packages::{self, PackageDetails};
use meta::{Id, Tx, tags};
use model::artifact_name::{PackageName, TagName, VersionName, escape_slashes};
use model::digest::Digest;
use model::list_filter::{FilterPattern, ListFilter, SortDirection};
use model::name::RepositoryName;
use model::permission::Permission;

use crate::access::find_repository;
use crate::artifacts::annotations::annotations;
use crate::artifacts::listing::{
    ListPage, MAX_SORTED, NameRange, RowFilter, read_page, read_sorted_page,
};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::tag_write::{find_package, find_tag, package_unknown, version_unknown};
use model::permissions::artifactregistry;

/// What a list of manifests goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageOrder {
    /// When they came.
    Uploaded,
    /// When they came or were last tagged.
    Updated,
}

/// What a list of an image's manifests goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionOrder {
    /// Their digests.
    Name,
    /// A time.
    Time(ImageOrder),
}

/// Whether what is listed shows its tags in full, which may be the most of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagDetail {
    /// Not at all.
    Hidden,
    /// Each with its own name and the name of what it names.
    InFull,
}

/// What a list of named things goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameOrder {
    /// Their names.
    Name,
    /// When they were created.
    Created,
    /// When they last changed.
    Updated,
}

impl NameOrder {
    pub(crate) fn time(self, created_at: i64, updated_at: i64) -> i64 {
        match self {
            Self::Name => 0,
            Self::Created => created_at,
            Self::Updated => updated_at,
        }
    }
}

/// A tag, and what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagTarget {
    /// The tag.
    pub tag: String,
    /// The digest.
    pub digest: Digest,
}

impl Engine {
    /// The manifests of a repository, whatever their images.
    pub async fn docker_images(
        &self,
        admitted: &Authorized,
        repository: &RepositoryName,
        (order, direction): (ImageOrder, SortDirection),
        (start, limit): (&str, usize),
    ) -> Result<ListPage<ManifestDetails>, EngineError> {
        admitted.require_repository(artifactregistry::DOCKERIMAGES_LIST, repository)?;
        let list = match order {
            ImageOrder::Uploaded => images::OF_REPOSITORY_BY_UPLOAD,
            ImageOrder::Updated => images::OF_REPOSITORY_BY_UPDATE,
        };
        let (name, start) = (repository.clone(), start.to_owned());
        self.meta
            .read(move |tx| {
                let repository = find_repository(tx, &name)?.id;
                // The name is shown twice, and tags as they are.
                let bytes = |image: &ManifestDetails| {
                    2 * image.package.len()
                        + image.tags.iter().map(|tag| tag.len() + 4).sum::<usize>()
                };
                let look =
                    |image: &ManifestDetails| RowFilter::Wanted(image_bytes(image) + bytes(image));
                by_time(tx, (list, order, direction), &repository, (&start, limit), look)
            })
            .await
    }

    /// One manifest, by the permission to see Docker images.
    pub async fn docker_image(
        &self,
        admitted: &Authorized,
        name: &VersionName,
    ) -> Result<ManifestDetails, EngineError> {
        self.image(admitted, artifactregistry::DOCKERIMAGES_GET, name).await
    }

    /// One manifest, by the permission to see versions.
    pub async fn version(
        &self,
        admitted: &Authorized,
        name: &VersionName,
    ) -> Result<ManifestDetails, EngineError> {
        self.image(admitted, artifactregistry::VERSIONS_GET, name).await
    }

    async fn image(
        &self,
        admitted: &Authorized,
        permission: Permission,
        name: &VersionName,
    ) -> Result<ManifestDetails, EngineError> {
        let at = self.image_context(admitted, permission, &name.package).await?;
        let name = name.clone();
        self.meta
            .read_by_key(move |tx| {
                let package = find_package(tx, &at)?;
                images::find(tx, &package, &name.digest)?.ok_or_else(|| version_unknown(&name))
            })
            .await
    }

    /// The manifests of an image whose names match.
    pub async fn versions(
        &self,
        admitted: &Authorized,
        name: &PackageName,
        (filter, order, direction, tags): (&ListFilter, VersionOrder, SortDirection, TagDetail),
        (start, limit): (&str, usize),
    ) -> Result<ListPage<ManifestDetails>, EngineError> {
        let at = self.image_context(admitted, artifactregistry::VERSIONS_LIST, name).await?;
        let (name, filter, start) = (name.clone(), filter.clone(), start.to_owned());
        let names = NameRange::new(&filter, &format!("{name}/versions/"));
        let own_bytes = name.to_string().len();
        self.meta
            .read(move |tx| {
                let package = find_package(tx, &at)?;
                let shown = |image: &ManifestDetails| format!("{name}/versions/{}", image.digest);
                let bytes = |image: &ManifestDetails| match tags {
                    TagDetail::Hidden => image_bytes(image) + own_bytes,
                    TagDetail::InFull => {
                        image.tags.iter().fold(image_bytes(image) + own_bytes, |sum, tag| {
                            sum + tag.len() + 2 * own_bytes + 130
                        })
                    }
                };
                let look = |image: &ManifestDetails| {
                    let matches = filter.matches(|_| shown(image))
                        && filter.matches_annotations(|| annotations(&image.annotations));
                    RowFilter::wanted(matches, bytes(image))
                };
                match order {
                    VersionOrder::Time(order) => {
                        let list = match order {
                            ImageOrder::Uploaded => images::OF_PACKAGE_BY_UPLOAD,
                            ImageOrder::Updated => images::OF_PACKAGE_BY_UPDATE,
                        };
                        let list = (list, order, direction);
                        by_time(tx, list, &package, (&start, limit), look)
                    }
                    VersionOrder::Name => read_page(
                        (names.start(&start, direction), limit),
                        |last, step| {
                            Ok(images::list_of_package(tx, direction, &package, last, step)?)
                        },
                        |image| image.digest.to_string(),
                        |image| names.look(image.digest.as_str(), direction, look(image)),
                    ),
                }
            })
            .await
    }

    /// The images of a repository whose names match.
    pub async fn packages(
        &self,
        admitted: &Authorized,
        repository: &RepositoryName,
        (filter, order, direction): (&ListFilter, NameOrder, SortDirection),
        (start, limit): (&str, usize),
    ) -> Result<ListPage<PackageDetails>, EngineError> {
        admitted.require_repository(artifactregistry::PACKAGES_LIST, repository)?;
        let (name, filter, start) = (repository.clone(), filter.clone(), start.to_owned());
        let range = NameRange::new(&filter, &format!("{repository}/packages/"));
        self.meta
            .read(move |tx| {
                let id = find_repository(tx, &name)?.id;
                let look = |package: &PackageDetails| {
                    let image = escape_slashes(&package.name);
                    let matches = filter.matches(|_| format!("{name}/packages/{image}"))
                        && filter.matches_annotations(|| annotations(&package.annotations));
                    RowFilter::wanted(
                        matches,
                        2 * package.name.len() + package.annotations.len() + 300,
                    )
                };
                let own_name = |package: &PackageDetails| package.name.clone();
                if order == NameOrder::Name {
                    return read_page(
                        (range.start(&start, direction), limit),
                        |last, step| Ok(packages::list(tx, direction, &id, last, step)?),
                        own_name,
                        |package| range.look(&package.name, direction, look(package)),
                    );
                }
                let all =
                    packages::list(tx, SortDirection::Ascending, &id, "", MAX_SORTED as i64 + 1)?;
                let time =
                    |package: &PackageDetails| order.time(package.created_at, package.updated_at);
                read_sorted_page(all, (time, own_name), direction, ((&start, limit), look))
            })
            .await
    }

    /// One image.
    pub async fn package(
        &self,
        admitted: &Authorized,
        name: &PackageName,
    ) -> Result<PackageDetails, EngineError> {
        let at = self.image_context(admitted, artifactregistry::PACKAGES_GET, name).await?;
        self.meta
            .read_by_key(move |tx| {
                let found = packages::find_details(tx, &at.repository().id, at.image_name())?;
                found.ok_or_else(|| package_unknown(&at))
            })
            .await
    }

    /// The tags of an image whose names, and what they name, match.
    pub async fn tags_of(
        &self,
        admitted: &Authorized,
        name: &PackageName,
        filter: &ListFilter,
        (start, limit): (&str, usize),
    ) -> Result<ListPage<TagTarget>, EngineError> {
        let at = self.image_context(admitted, artifactregistry::TAGS_LIST, name).await?;
        let range = NameRange::new(filter, &format!("{name}/tags/"));
        let own_bytes = name.to_string().len();
        let start = range.start(start, SortDirection::Ascending);
        let (name, filter) = (name.clone(), filter.clone());
        // Of one version there is an index.
        let version =
            filter.pattern("version").and_then(FilterPattern::exact_text).map(str::to_owned);
        self.meta
            .read(move |tx| {
                let package = find_package(tx, &at)?;
                let of_version = match &version {
                    None => None,
                    Some(version) => match version.parse::<VersionName>() {
                        Ok(version) if version.package == name => {
                            meta::versions::find_in_package(tx, &package, &version.digest)?
                                .map(|(id, _)| (id, version.digest))
                        }
                        Ok(_) | Err(_) => None,
                    },
                };
                if version.is_some() && of_version.is_none() {
                    return Ok(ListPage { found: Vec::new(), next: None });
                }
                let shown = |field: &str, tag: &TagTarget| match field {
                    "version" => format!("{name}/versions/{}", tag.digest),
                    _ => format!("{name}/tags/{}", tag.tag),
                };
                read_page(
                    (start.clone(), limit),
                    |last, step| match &of_version {
                        Some((id, digest)) => {
                            let names = tags::list_of_version(tx, id, last, step)?;
                            let tag = |tag| TagTarget { tag, digest: digest.clone() };
                            Ok(names.into_iter().map(tag).collect())
                        }
                        None => {
                            let names = tags::list_with_digests(tx, &package, last, step)?;
                            Ok(names
                                .into_iter()
                                .map(|(tag, digest)| TagTarget { tag, digest })
                                .collect())
                        }
                    },
                    |tag| tag.tag.clone(),
                    |tag| {
                        let matches = filter.matches(|field| shown(field, tag));
                        let look =
                            RowFilter::wanted(matches, 2 * (own_bytes + tag.tag.len()) + 130);
                        range.look(&tag.tag, SortDirection::Ascending, look)
                    },
                )
            })
            .await
    }

    /// What a tag names.
    pub async fn tag(&self, admitted: &Authorized, name: &TagName) -> Result<Digest, EngineError> {
        let at = self.image_context(admitted, artifactregistry::TAGS_GET, &name.package).await?;
        let name = name.clone();
        self.meta
            .read_by_key(move |tx| {
                let package = find_package(tx, &at)?;
                Ok(find_tag(tx, &package, &name)?.digest)
            })
            .await
    }
}

/// How long an image is on a list at least, besides its own names and tags.
fn image_bytes(image: &ManifestDetails) -> usize {
    const FIELDS: usize = 700;
    FIELDS
        + image.platforms.len()
        + image.annotations.len()
        + image.artifact_type.as_ref().map_or(0, String::len)
}

/// A page of a list by time: its places are a time and an id.
fn by_time(
    tx: &mut Tx<'_>,
    (list, order, direction): (TimeOrderedList, ImageOrder, SortDirection),
    scope: &Id,
    (start, limit): (&str, usize),
    look: impl Fn(&ManifestDetails) -> RowFilter,
) -> Result<ListPage<ManifestDetails>, EngineError> {
    let place = |image: &ManifestDetails| {
        let time = match order {
            ImageOrder::Uploaded => image.uploaded_at,
            ImageOrder::Updated => image.updated_at,
        };
        format!("{time} {}", image.id)
    };
    let edge = match direction {
        SortDirection::Descending => format!("{} {}", i64::MAX, Id::from([u8::MAX; 16])),
        SortDirection::Ascending => format!("{} {}", i64::MIN, Id::from([0; 16])),
    };
    let start = if start.is_empty() { edge } else { start.to_owned() };
    let rows = |last: &str, step| {
        let broken = || EngineError::Internal("a place in a list by time".to_owned());
        let (time, id) = last.split_once(' ').ok_or_else(broken)?;
        let time: i64 = time.parse().map_err(|_| broken())?;
        let version: Id = id.parse().map_err(|_| broken())?;
        let last = TimePosition { time, version };
        let query = TimeOrderedQuery { list, direction, scope, last, limit: step };
        Ok(images::list_by_time(tx, query)?)
    };
    read_page((start, limit), rows, place, look)
}
