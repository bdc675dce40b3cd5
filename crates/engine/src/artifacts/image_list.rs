//! Lists of manifests, images and tags as the APIs show them, and single entries of these lists.

use identity::Authorized;
use meta::images::{self, ManifestDetails};
use meta::packages::{self, PackageDetails};
use meta::{Id, Tx, tags, versions};
use model::artifact_name::{PackageName, TagName, VersionName, escape_slashes};
use model::digest::Digest;
use model::list_filter::{FilterPattern, ListFilter, SortDirection};
use model::name::RepositoryName;
use model::permission::Permission;

use crate::artifacts::annotations::annotations;
use crate::artifacts::listing::{
    MAX_SORTED_ROWS, NameRange, RowFilter, SortKey, read_page, read_sorted_page,
};
use crate::artifacts::manifest_list::{
    ImageOrder, ListScope, ListedManifest, PackageRange, TimeList, hide_tags, list_shown_packages,
    manifests_of, read_page_by_time,
};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::page::{ListPage, ListQuery, PageRequest, SortOrder, merge_lists};
use crate::tags::tag_write::{package_unknown, tag_unknown, version_unknown};
use model::permissions::artifactregistry;

/// The field by which a list of the manifests of an image is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionOrder {
    /// The digest.
    Name,
    /// A time.
    Time(ImageOrder),
}

/// The way in which a list shows the tags of manifests, which may be most of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagDetail {
    /// The tags are left out.
    Hidden,
    /// Each tag is shown with its full name and the full name of its version.
    InFull,
}

/// The field by which a list of named things is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameOrder {
    /// The name.
    Name,
    /// The time of the creation.
    Created,
    /// The time of the last change.
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

/// A tag and the digest that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagTarget {
    /// The name of the tag.
    pub tag: String,
    /// The digest of the version.
    pub digest: Digest,
}

impl Engine {
    /// Lists the manifests of a repository, of all its images.
    pub async fn list_docker_images(
        &self,
        authorized: &Authorized,
        repository: &RepositoryName,
        order: SortOrder<ImageOrder>,
        page: PageRequest,
    ) -> Result<ListPage<ManifestDetails>, EngineError> {
        authorized.require_repository(artifactregistry::DOCKERIMAGES_LIST, repository)?;
        let rows = match order.field {
            ImageOrder::Uploaded => images::OF_REPOSITORY_BY_UPLOAD,
            ImageOrder::Updated => images::OF_REPOSITORY_BY_UPDATE,
        };
        let repositories = self.repositories_of_list(repository).await?;
        self.read(move |tx| {
            let scope = ListScope::Repositories(&repositories);
            // An entry shows the name of the image twice, and each tag once.
            let bytes = |image: &ManifestDetails| {
                2 * image.package.len() + image.tags.iter().map(|tag| tag.len() + 4).sum::<usize>()
            };
            let filter =
                |image: &ManifestDetails| RowFilter::Include(image_bytes(image) + bytes(image));
            read_page_by_time(tx, TimeList { rows, scope, order }, &page, filter)
        })
        .await
    }

    /// Returns one manifest, by the permission to see Docker images.
    pub async fn find_docker_image(
        &self,
        authorized: &Authorized,
        name: &VersionName,
    ) -> Result<ManifestDetails, EngineError> {
        self.find_manifest(authorized, artifactregistry::DOCKERIMAGES_GET, name).await
    }

    /// Returns one manifest, by the permission to see versions.
    pub async fn find_version(
        &self,
        authorized: &Authorized,
        name: &VersionName,
    ) -> Result<ManifestDetails, EngineError> {
        self.find_manifest(authorized, artifactregistry::VERSIONS_GET, name).await
    }

    async fn find_manifest(
        &self,
        authorized: &Authorized,
        permission: Permission,
        name: &VersionName,
    ) -> Result<ManifestDetails, EngineError> {
        let context = self.image_context(authorized, permission, &name.package).await?;
        let (packages, name) = (self.packages_of_list(&context).await?, name.clone());
        self.read_by_key(move |tx| {
            for (position, package) in packages.iter().enumerate() {
                if let Some(mut found) = images::find(tx, package, &name.digest)? {
                    hide_tags(tx, &packages[..position], &mut found)?;
                    return Ok(found);
                }
            }
            Err(version_unknown(&name))
        })
        .await
    }

    /// Lists the manifests of an image whose names match.
    pub async fn list_versions(
        &self,
        authorized: &Authorized,
        name: &PackageName,
        query: ListQuery<SortOrder<VersionOrder>>,
        tags: TagDetail,
    ) -> Result<ListPage<ManifestDetails>, EngineError> {
        let context = self.image_context(authorized, artifactregistry::VERSIONS_LIST, name).await?;
        let (packages, name) = (self.packages_of_list(&context).await?, name.clone());
        let ListQuery { filter, order: SortOrder { field, direction }, page } = query;
        let names = NameRange::new(&filter, &format!("{name}/versions/"));
        let own_bytes = name.to_string().len();
        self.read(move |tx| {
            let scope = ListScope::Packages(&packages);
            let bytes = |image: &ManifestDetails| match tags {
                TagDetail::Hidden => image_bytes(image) + own_bytes,
                TagDetail::InFull => {
                    image.tags.iter().fold(image_bytes(image) + own_bytes, |sum, tag| {
                        sum + tag.len() + 2 * own_bytes + 130
                    })
                }
            };
            let row_filter = |image: &ManifestDetails| {
                let matches = filter.matches(|_| format!("{name}/versions/{}", image.digest))
                    && filter.matches_annotations(|| annotations(&image.annotations));
                RowFilter::include_if(matches, bytes(image))
            };
            match field {
                VersionOrder::Time(field) => {
                    let rows = match field {
                        ImageOrder::Uploaded => images::OF_PACKAGE_BY_UPLOAD,
                        ImageOrder::Updated => images::OF_PACKAGE_BY_UPDATE,
                    };
                    let order = SortOrder { field, direction };
                    let list = TimeList { rows, scope, order };
                    read_page_by_time(tx, list, &page, row_filter)
                }
                VersionOrder::Name => {
                    let page = read_page(
                        names.narrow(page.clone(), direction),
                        |last, step| {
                            let read = |tx: &mut Tx<'_>, package: &Id| {
                                Ok(images::list_of_package(tx, direction, package, last, step)?)
                            };
                            let compare = |a: &ListedManifest, b: &ListedManifest| {
                                direction.order(a.manifest.digest.cmp(&b.manifest.digest))
                            };
                            scope.read_rows(tx, read, compare, step)
                        },
                        |row| row.manifest.digest.to_string(),
                        |row| {
                            let digest = row.manifest.digest.as_str();
                            names.filter(digest, direction, row.filter(row_filter))
                        },
                    )?;
                    Ok(manifests_of(page))
                }
            }
        })
        .await
    }

    /// Lists the images of a repository whose names match.
    pub async fn list_packages(
        &self,
        authorized: &Authorized,
        repository: &RepositoryName,
        query: ListQuery<SortOrder<NameOrder>>,
    ) -> Result<ListPage<PackageDetails>, EngineError> {
        authorized.require_repository(artifactregistry::PACKAGES_LIST, repository)?;
        let (repositories, name) =
            (self.repositories_of_list(repository).await?, repository.clone());
        let ListQuery { filter, order: SortOrder { field, direction }, page } = query;
        let names = NameRange::new(&filter, &format!("{repository}/packages/"));
        self.read(move |tx| {
            let list = |tx: &mut Tx<'_>, direction: SortDirection, last: &str, step: i64| {
                let mut lists = Vec::new();
                for repository in &repositories.ids {
                    lists.push(list_shown_packages(
                        tx,
                        &repositories,
                        PackageRange { repository, direction, last, step },
                    )?);
                }
                let mut rows = merge_lists(lists, |a, b| direction.order(a.name.cmp(&b.name)));
                rows.truncate(step as usize);
                Ok::<_, EngineError>(rows)
            };
            let row_filter = |package: &PackageDetails| {
                let image = escape_slashes(&package.name);
                let matches = filter.matches(|_| format!("{name}/packages/{image}"))
                    && filter.matches_annotations(|| annotations(&package.annotations));
                let bytes = 2 * package.name.len() + package.annotations.len() + 300;
                RowFilter::include_if(matches, bytes)
            };
            if field == NameOrder::Name {
                return read_page(
                    names.narrow(page.clone(), direction),
                    |last, step| list(tx, direction, last, step),
                    |package| package.name.clone(),
                    |package| names.filter(&package.name, direction, row_filter(package)),
                );
            }
            let limit = MAX_SORTED_ROWS as i64 + 1;
            let all = list(tx, SortDirection::Ascending, "", limit)?;
            let sort_key = |package: &PackageDetails| SortKey {
                time: field.time(package.created_at, package.updated_at),
                name: package.name.clone(),
            };
            read_sorted_page(all, sort_key, direction, &page, row_filter)
        })
        .await
    }

    /// Returns one image.
    pub async fn find_package(
        &self,
        authorized: &Authorized,
        name: &PackageName,
    ) -> Result<PackageDetails, EngineError> {
        let context = self.image_context(authorized, artifactregistry::PACKAGES_GET, name).await?;
        let source = self.source_of(&context).await?;
        self.read_by_key(move |tx| {
            let package = source.find(tx, |tx, holding| {
                Ok(packages::find_details(tx, &holding.repository.id, holding.image())?)
            })?;
            package.ok_or_else(|| package_unknown(&context))
        })
        .await
    }

    /// Lists the tags of an image whose names and versions match.
    pub async fn list_tags(
        &self,
        authorized: &Authorized,
        name: &PackageName,
        filter: ListFilter,
        page: PageRequest,
    ) -> Result<ListPage<TagTarget>, EngineError> {
        const DIRECTION: SortDirection = SortDirection::Ascending;
        let context = self.image_context(authorized, artifactregistry::TAGS_LIST, name).await?;
        let names = NameRange::new(&filter, &format!("{name}/tags/"));
        let (page, own_bytes) = (names.narrow(page, DIRECTION), name.to_string().len());
        let (packages, name) = (self.packages_of_list(&context).await?, name.clone());
        self.read(move |tx| {
            // There is an index of the tags of one version.
            let wanted = filter.pattern("version").and_then(FilterPattern::exact_text);
            let version = match (wanted, packages.as_slice()) {
                (Some(version), [package]) => {
                    match find_wanted_version(tx, package, &name, version)? {
                        Some(version) => Some(version),
                        None => return Ok(ListPage::empty()),
                    }
                }
                (_, _) => None,
            };
            let field = |field: &str, tag: &TagTarget| match field {
                "version" => format!("{name}/versions/{}", tag.digest),
                _ => format!("{name}/tags/{}", tag.tag),
            };
            read_page(
                page.clone(),
                |last, step| match &version {
                    Some((id, digest)) => {
                        let tags = tags::list_of_version(tx, id, last, step)?;
                        let target = |tag| TagTarget { tag, digest: digest.clone() };
                        Ok(tags.into_iter().map(target).collect())
                    }
                    None => {
                        let mut lists = Vec::new();
                        for package in &packages {
                            lists.push(tags::list_with_digests(tx, package, last, step)?);
                        }
                        let mut tags = merge_lists(lists, |(a, _), (b, _)| a.cmp(b));
                        tags.truncate(step as usize);
                        let target = |(tag, digest)| TagTarget { tag, digest };
                        Ok(tags.into_iter().map(target).collect())
                    }
                },
                |tag| tag.tag.clone(),
                |tag| {
                    let matches = filter.matches(|name| field(name, tag));
                    let bytes = 2 * (own_bytes + tag.tag.len()) + 130;
                    names.filter(&tag.tag, DIRECTION, RowFilter::include_if(matches, bytes))
                },
            )
        })
        .await
    }

    /// Returns the digest that a tag names.
    pub async fn find_tag(
        &self,
        authorized: &Authorized,
        name: &TagName,
    ) -> Result<Digest, EngineError> {
        let context =
            self.image_context(authorized, artifactregistry::TAGS_GET, &name.package).await?;
        let (packages, name) = (self.packages_of_list(&context).await?, name.clone());
        self.read_by_key(move |tx| {
            for package in &packages {
                if let Some(target) = tags::find(tx, package, name.tag.as_str())? {
                    return Ok(target.digest);
                }
            }
            Err(tag_unknown(&name))
        })
        .await
    }
}

/// Returns how many bytes the entry of a manifest takes at least, without the names and tags in it.
fn image_bytes(image: &ManifestDetails) -> usize {
    const FIELDS: usize = 700;
    FIELDS
        + image.platforms.len()
        + image.annotations.len()
        + image.artifact_type.as_ref().map_or(0, String::len)
}

/// Finds the version of an image that a filter of its tags names.
fn find_wanted_version(
    tx: &mut Tx<'_>,
    package: &Id,
    name: &PackageName,
    version: &str,
) -> Result<Option<(Id, Digest)>, EngineError> {
    match version.parse::<VersionName>() {
        Ok(version) if version.package == *name => {
            let row = versions::find_in_package(tx, package, &version.digest)?;
            Ok(row.map(|(id, _)| (id, version.digest)))
        }
        Ok(_) | Err(_) => Ok(None),
    }
}
