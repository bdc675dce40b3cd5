//! Images as the console lists them: with counters, and in an order by which people look for them.

use identity::{Authorized, Micros};
use meta::image_summaries::{
    self, ImageListQuery, ImageSummaryPosition, ImageSummaryRow, ListedImage,
};
use meta::images::{self, ManifestDetails};
use meta::{Id, MetaError, Tx, image_counters, packages, repository_summaries, tags};
use model::artifact_name::PackageName;
use model::list_filter::SortDirection;
use model::name::RepositoryName;
use model::permission::Permission;
use model::permissions::artifactregistry;

use crate::artifacts::listing::{RowFilter, read_page};
use crate::artifacts::manifest_list::{ImageOrder, ListScope, TimeList, read_page_by_time};
use crate::artifacts::tag_table::is_fallback;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::page::{ListPage, PageRequest, SortOrder, merge_lists};
use crate::tags::tag_write::package_unknown;
use crate::upstream_set::ListedRepositories;

pub use meta::image_summaries::ImageSummaryOrder;

/// The number of days whose pulls a summary counts, today among them.
const DAYS_OF_PULLS: i64 = 30;

/// The length of a day in microseconds.
pub(crate) const DAY: Micros = 24 * 3600 * 1_000_000;

/// The most references to blobs that are added up for an image that was not measured yet.
const MAX_BLOBS_ADDED: i64 = 200;

/// An image with its counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// The name of the image.
    pub name: String,
    /// The tag that was set last.
    pub newest_tag: Option<String>,
    /// The counters, or `None` if the image was not counted yet.
    pub counters: Option<ImageCounters>,
    /// The time of the last push of a manifest, or of the creation of the image if no push is known.
    pub last_push: Micros,
    /// The pulls of the last 30 days. A pull of an index and of a manifest that it names is one.
    pub pulls_30_days: i64,
    /// The id of the policy of the upstream whose image this is. `None` if it is the repository's own.
    pub upstream: Option<String>,
}

/// The numbers of entries that the lists of an image show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageListSizes {
    /// The number of tags.
    pub tags: i64,
    /// The number of tags without those by which clients attach artifacts. `None` if these are many.
    pub usual_tags: Option<i64>,
    /// The number of versions.
    pub versions: i64,
    /// The number of untagged versions.
    pub untagged: i64,
}

/// The counters of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageCounters {
    /// The number of tags.
    pub tags: i64,
    /// The number of versions.
    pub versions: i64,
    /// The number of versions without a tag and without a subject that no index of the image names.
    pub untagged: i64,
    /// The bytes of the manifests and of the stored blobs that they name, each once. They are those of the last
    /// measurement: half a minute ago at most, and for an image with very many versions some hours.
    pub stored_bytes: i64,
}

/// The images whose names a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ImageNameFilter {
    /// All images.
    #[default]
    All,
    /// The images whose names begin with this text.
    Prefix(String),
    /// The images whose names contain this text.
    Contains(String),
}

/// A query for images with their counters.
#[derive(Debug, Clone)]
pub struct ImageSummaryList {
    /// The images that are shown.
    pub names: ImageNameFilter,
    /// The order. A list in the order of a counter may be half a minute behind the counters that it shows.
    pub order: SortOrder<ImageSummaryOrder>,
    /// The page.
    pub page: PageRequest,
}

impl ImageNameFilter {
    fn decide(&self, image: &ListedImage, order: SortOrder<ImageSummaryOrder>) -> RowFilter {
        let ascending =
            SortOrder { field: ImageSummaryOrder::Name, direction: SortDirection::Ascending };
        let name = image.name.as_str();
        let matches = match self {
            Self::All => true,
            Self::Prefix(prefix) if order == ascending && name > prefix.as_str() => {
                match name.starts_with(prefix.as_str()) {
                    true => true,
                    false => return RowFilter::Stop,
                }
            }
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
            Self::Contains(part) => name.contains(part.as_str()),
        };
        RowFilter::include_if(matches, 500 + name.len())
    }

    /// Returns the position from which the first page of a list begins.
    fn first_position(&self, order: SortOrder<ImageSummaryOrder>) -> String {
        let name = match (self, order.direction) {
            // The name before the first one that begins with the prefix; a name of that length sorts after it.
            (Self::Prefix(prefix), SortDirection::Ascending) => {
                match prefix.as_bytes().split_last() {
                    Some((last @ b'!'..=b'~', before)) => {
                        let before = String::from_utf8_lossy(before);
                        format!("{before}{}~", char::from(last - 1))
                    }
                    _ => String::new(),
                }
            }
            (_, SortDirection::Ascending) => String::new(),
            (Self::Prefix(prefix), SortDirection::Descending) => format!("{prefix}~"),
            (_, SortDirection::Descending) => "~".to_owned(),
        };
        let (value, id) = match order.direction {
            SortDirection::Ascending => (i64::MIN, [0; 16]),
            SortDirection::Descending => (i64::MAX, [u8::MAX; 16]),
        };
        format!("{value} {} {name}", Id::from(id))
    }
}

/// A position in a list: the value by which it is ordered, the id and the name of an image.
struct Position {
    value: i64,
    package: Id,
    name: String,
}

impl Position {
    fn parse(text: &str) -> Result<Self, EngineError> {
        let mut parts = text.splitn(3, ' ');
        let position = (|| {
            let (value, package) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            Some(Self { value, package, name: parts.next()?.to_owned() })
        })();
        position.ok_or_else(|| EngineError::invalid("page", "is no position in a list of images"))
    }
}

impl Engine {
    /// Lists the images of a repository with their counters. A virtual repository lists those of its upstreams, in the
    /// order of their names alone.
    pub async fn image_summaries(
        &self,
        authorized: &Authorized,
        repository: &RepositoryName,
        list: ImageSummaryList,
    ) -> Result<ListPage<ImageSummary>, EngineError> {
        authorized.require_repository(artifactregistry::PACKAGES_LIST, repository)?;
        let repositories = self.repositories_of_list(repository).await?;
        let ImageSummaryList { names, order, page: PageRequest { start, limit } } = list;
        if repositories.ids.len() != 1 && order.field != ImageSummaryOrder::Name {
            let problem = "the images of several repositories are ordered by name only";
            return Err(EngineError::invalid("order_by", problem));
        }
        let since_day = self.first_day();
        self.read(move |tx| {
            let start = match start.as_str() {
                "" => names.first_position(order),
                start => start.to_owned(),
            };
            let read_rows = |tx: &mut Tx<'_>, last: &str, limit: i64| {
                let last = Position::parse(last)?;
                let range = SummaryRange { repositories: &repositories, order, limit };
                Ok(range.read(tx, &last)?)
            };
            let page = read_page(
                PageRequest { start, limit },
                |last, limit| read_rows(tx, last, limit),
                |image| format!("{} {} {}", image.position, image.id, image.name),
                |image| names.decide(image, order),
            )?;
            let entries = read_summaries(tx, &repositories, &page.entries, since_day)?;
            Ok(ListPage { entries, first: page.first, next: page.next })
        })
        .await
    }

    /// Returns the number of images that a list of a repository shows, or `None` if it is not known without counting,
    /// as for a virtual repository.
    pub async fn image_list_size(
        &self,
        authorized: &Authorized,
        repository: &RepositoryName,
    ) -> Result<Option<i64>, EngineError> {
        authorized.require_repository(artifactregistry::PACKAGES_LIST, repository)?;
        let repositories = self.repositories_of_list(repository).await?;
        self.read_by_key(move |tx| {
            let Some(own) = repositories.own() else { return Ok(None) };
            let found = repository_summaries::read(tx, &[own])?;
            Ok(found.first().map(|summary| summary.images))
        })
        .await
    }

    /// Returns the numbers of entries that the lists of an image show. `permission` is the one to list its tags or its
    /// versions. Returns `None` if they are not known without counting, as for an image of several upstreams.
    pub async fn image_list_sizes(
        &self,
        authorized: &Authorized,
        permission: Permission,
        name: &PackageName,
    ) -> Result<Option<ImageListSizes>, EngineError> {
        let context = self.image_context(authorized, permission, name).await?;
        let (packages, since_day) = (self.packages_of_list(&context).await?, self.first_day());
        self.read_by_key(move |tx| {
            let [only] = packages.as_slice() else { return Ok(None) };
            let found = image_summaries::read(tx, &[*only], since_day)?;
            let Some(row) = found.first().filter(|row| row.is_counted) else { return Ok(None) };
            let hidden = count_fallback_tags(tx, only)?;
            Ok(Some(ImageListSizes {
                tags: row.tags,
                usual_tags: hidden.map(|hidden| row.tags - hidden),
                versions: row.versions,
                untagged: row.untagged,
            }))
        })
        .await
    }

    /// Returns one image with its counters.
    pub async fn image_summary(
        &self,
        authorized: &Authorized,
        name: &PackageName,
    ) -> Result<ImageSummary, EngineError> {
        let context = self.image_context(authorized, artifactregistry::PACKAGES_GET, name).await?;
        let (source, since_day) = (self.source_of(&context).await?, self.first_day());
        self.read(move |tx| {
            let row = source.find(tx, |tx, holding| {
                let found = packages::find(tx, &holding.repository.id, holding.image())?;
                let ids: Vec<Id> = found.into_iter().collect();
                Ok(image_summaries::read(tx, &ids, since_day)?.pop())
            })?;
            Ok(summary(tx, row.ok_or_else(|| package_unknown(&context))?)?)
        })
        .await
    }

    /// Lists the versions of an image without a tag and without a subject that no index of the image names, in the order
    /// of their pushes. Versions that were not counted yet are left out.
    pub async fn untagged_versions(
        &self,
        authorized: &Authorized,
        name: &PackageName,
        direction: SortDirection,
        page: PageRequest,
    ) -> Result<ListPage<ManifestDetails>, EngineError> {
        let context = self.image_context(authorized, artifactregistry::VERSIONS_LIST, name).await?;
        let packages = self.packages_of_list(&context).await?;
        let order = SortOrder { field: ImageOrder::Uploaded, direction };
        self.read(move |tx| {
            let scope = ListScope::Packages(&packages);
            let list = TimeList { rows: images::UNTAGGED_BY_UPLOAD, scope, order };
            let bytes = |version: &ManifestDetails| {
                700 + version.platforms.len() + version.annotations.len()
            };
            read_page_by_time(tx, list, &page, |version| RowFilter::Include(bytes(version)))
        })
        .await
    }

    /// Returns the first of the days whose pulls a summary counts.
    pub(crate) fn first_day(&self) -> i64 {
        self.clock.now() / DAY - DAYS_OF_PULLS + 1
    }
}

/// The rows that a step of a list reads.
struct SummaryRange<'a> {
    repositories: &'a ListedRepositories,
    order: SortOrder<ImageSummaryOrder>,
    limit: i64,
}

impl SummaryRange<'_> {
    /// Reads the next images of all repositories. Images that a repository is not asked for are left out.
    fn read(&self, tx: &mut Tx<'_>, last: &Position) -> Result<Vec<ListedImage>, MetaError> {
        let mut lists = Vec::new();
        for repository in &self.repositories.ids {
            lists.push(self.read_shown(tx, repository, last)?);
        }
        let direction = self.order.direction;
        let mut images = match self.repositories.ids.len() {
            1 => lists.pop().unwrap_or_default(),
            _ => merge_lists(lists, |a, b| direction.order(a.name.cmp(&b.name))),
        };
        images.truncate(self.limit as usize);
        Ok(images)
    }

    fn read_shown(
        &self,
        tx: &mut Tx<'_>,
        repository: &Id,
        last: &Position,
    ) -> Result<Vec<ListedImage>, MetaError> {
        let SortOrder { field: order, direction } = self.order;
        let (mut shown, mut last) = (Vec::new(), Position { name: last.name.clone(), ..*last });
        loop {
            let query = ImageListQuery {
                repository,
                order,
                direction,
                last: ImageSummaryPosition {
                    name: &last.name,
                    value: last.value,
                    package: &last.package,
                },
                limit: self.limit,
            };
            let images = image_summaries::list(tx, query)?;
            let is_end = (images.len() as i64) < self.limit;
            if let Some(image) = images.last() {
                let (value, package) = (image.position, image.id);
                last = Position { value, package, name: image.name.clone() };
            }
            let is_shown = |image: &ListedImage| self.repositories.shows(repository, &image.name);
            shown.extend(images.into_iter().filter(is_shown));
            if is_end || shown.len() as i64 >= self.limit {
                return Ok(shown);
            }
        }
    }
}

/// Reads the summaries of the images of a page.
fn read_summaries(
    tx: &mut Tx<'_>,
    repositories: &ListedRepositories,
    images: &[ListedImage],
    since_day: i64,
) -> Result<Vec<ImageSummary>, MetaError> {
    let ids: Vec<Id> = images.iter().map(|image| image.id).collect();
    let mut summaries = Vec::new();
    for row in image_summaries::read(tx, &ids, since_day)? {
        let image = images.iter().find(|image| image.id == row.id);
        let upstream =
            image.and_then(|image| repositories.upstream_of(&image.repository, &image.name));
        summaries.push(ImageSummary { upstream: upstream.map(str::to_owned), ..summary(tx, row)? });
    }
    Ok(summaries)
}

/// The most fallback tags of an image that are counted.
const MAX_FALLBACK_TAGS: i64 = 200;

/// Returns the number of tags by which clients attach artifacts to an image, or `None` if they are too many to count.
fn count_fallback_tags(tx: &mut Tx<'_>, package: &Id) -> Result<Option<i64>, MetaError> {
    const BEGINNING: &str = "sha256-";
    let tags = tags::list_with_digests(tx, package, BEGINNING, MAX_FALLBACK_TAGS + 1)?;
    let names = tags.iter().map(|(name, _)| name.as_str());
    let found: Vec<_> = names.take_while(|name| name.starts_with(BEGINNING)).collect();
    let count = found.iter().filter(|name| is_fallback(name)).count();
    Ok((found.len() as i64 <= MAX_FALLBACK_TAGS).then_some(count as i64))
}

/// Makes the summary of an image. The blobs of an image that was not measured yet are added up if they are few.
fn summary(tx: &mut Tx<'_>, row: ImageSummaryRow) -> Result<ImageSummary, MetaError> {
    let stored_bytes = match row.is_measured {
        true => Some(row.stored_bytes),
        false if row.is_counted => {
            let blobs = image_counters::list_blob_sizes(tx, &row.id, "", MAX_BLOBS_ADDED)?;
            let bytes = blobs.iter().map(|(_, size)| size).sum::<i64>() + row.manifest_bytes;
            ((blobs.len() as i64) < MAX_BLOBS_ADDED).then_some(bytes)
        }
        false => None,
    };
    let (tags, versions, untagged) = (row.tags, row.versions, row.untagged);
    let counters =
        stored_bytes.map(|stored_bytes| ImageCounters { tags, versions, untagged, stored_bytes });
    Ok(ImageSummary {
        name: row.name,
        newest_tag: row.newest_tag,
        counters: counters.filter(|_| row.is_counted),
        last_push: row.pushed_at,
        pulls_30_days: row.pulls,
        upstream: None,
    })
}
