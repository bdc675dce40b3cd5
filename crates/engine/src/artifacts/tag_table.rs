//! The table of an image's tags, as the console shows it.

use std::cmp::Ordering;

use identity::Authorized;
use meta::tag_table::{self, TagDetails, TagPosition, TagScope, TagTableOrder, TagTableQuery};
use meta::{Id, MetaError, Tx, tags, versions};
use model::artifact_name::PackageName;
use model::digest::Digest;
use model::list_filter::{ListFilter, SortDirection};
use model::permissions::artifactregistry;
use model::reference::Tag;

use crate::artifacts::listing::{NameRange, RowFilter, read_page};
use crate::artifacts::manifest_list::ListedPackage;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::page::{ListPage, PageRequest, SortOrder, merge_lists};

/// The number of days whose pulls the table shows.
pub(crate) const PULL_DAYS: i64 = 30;

/// The length of a day in microseconds.
pub(crate) const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// The treatment of the tags by which clients attach artifacts to an image: `sha256-HEX`, perhaps with an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FallbackTags {
    /// The list has them.
    Shown,
    /// The list leaves them out.
    Hidden,
}

pub(crate) fn is_fallback(tag: &str) -> bool {
    tag.parse::<Tag>().is_ok_and(|tag| tag.is_referrers_fallback())
}

/// A query for rows of the table.
#[derive(Debug, Clone)]
pub struct TagTableList {
    /// The filter of names. An empty one matches all tags.
    pub names: ListFilter,
    /// The version that the tags name. The list of its tags is in the order of their names only.
    pub version: Option<Digest>,
    /// The treatment of fallback tags.
    pub fallback_tags: FallbackTags,
    /// The order of the rows.
    pub order: SortOrder<TagTableOrder>,
    /// The page.
    pub page: PageRequest,
}

/// A row of the table.
#[derive(Debug, Clone)]
pub struct ListedTag {
    /// The tag with its version.
    pub tag: TagDetails,
    /// The id of the policy of the upstream whose tag this is. `None` if it is the repository's own.
    pub upstream: Option<String>,
}

impl Engine {
    /// Lists the tags of an image that match, each with its version. Of tags with one name in several upstreams, the list
    /// has the one that a pull gets.
    pub async fn list_tag_table(
        &self,
        authorized: &Authorized,
        name: &PackageName,
        list: TagTableList,
    ) -> Result<ListPage<ListedTag>, EngineError> {
        let context = self.image_context(authorized, artifactregistry::TAGS_LIST, name).await?;
        let packages = self.listed_packages(&context).await?;
        let TagTableList { names: filter, version, fallback_tags, order, page } = list;
        let SortOrder { field, direction } = order;
        if version.is_some() && field != TagTableOrder::Name {
            return Err(EngineError::invalid(
                "order_by",
                "the tags of one version are ordered by name only",
            ));
        }
        let names = NameRange::new(&filter, &format!("{name}/tags/"));
        let page = match field {
            TagTableOrder::Name => names.narrow(page, direction),
            TagTableOrder::Updated => page,
        };
        let since_day = self.clock.now() / DAY_MICROS - (PULL_DAYS - 1);
        let name = name.clone();
        self.read(move |tx| {
            let read_rows = |last: &str, step| {
                let last = parse_position(last, field, direction)?;
                let version = version.as_ref();
                let rows = TableRows { order, version, last: &last, since_day, step };
                rows.read(tx, &packages)
            };
            let row_filter = |row: &ListedTag| {
                let tag = &row.tag;
                let is_shown = fallback_tags == FallbackTags::Shown || !is_fallback(&tag.name);
                let matches = is_shown && filter.matches(|_| format!("{name}/tags/{}", tag.name));
                let filter = RowFilter::include_if(matches, 500 + tag.platforms.len());
                match field {
                    TagTableOrder::Name => names.filter(&tag.name, direction, filter),
                    TagTableOrder::Updated => filter,
                }
            };
            read_page(page.clone(), read_rows, |row| position_of(&row.tag, field), row_filter)
        })
        .await
    }
}

/// Returns the position of a row in the list.
fn position_of(row: &TagDetails, order: TagTableOrder) -> String {
    match order {
        TagTableOrder::Name => row.name.clone(),
        TagTableOrder::Updated => format!("{} {}", row.updated_at, row.name),
    }
}

fn parse_position(
    text: &str,
    order: TagTableOrder,
    direction: SortDirection,
) -> Result<TagPosition, EngineError> {
    let broken = || EngineError::invalid("after", "is no position in this list");
    match (order, direction, text) {
        (TagTableOrder::Name, _, name) => Ok(TagPosition { updated_at: 0, name: name.to_owned() }),
        (TagTableOrder::Updated, SortDirection::Ascending, "") => {
            Ok(TagPosition { updated_at: i64::MIN, name: String::new() })
        }
        (TagTableOrder::Updated, SortDirection::Descending, "") => {
            Ok(TagPosition { updated_at: i64::MAX, name: String::new() })
        }
        (TagTableOrder::Updated, _, text) => {
            let (time, name) = text.split_once(' ').ok_or_else(broken)?;
            let updated_at = time.parse().map_err(|_| broken())?;
            Ok(TagPosition { updated_at, name: name.to_owned() })
        }
    }
}

/// The rows after a position, of an image in all repositories that answer for it.
struct TableRows<'a> {
    order: SortOrder<TagTableOrder>,
    /// The only version whose tags are shown.
    version: Option<&'a Digest>,
    last: &'a TagPosition,
    since_day: i64,
    step: i64,
}

impl TableRows<'_> {
    fn read(
        &self,
        tx: &mut Tx<'_>,
        packages: &[ListedPackage],
    ) -> Result<Vec<ListedTag>, EngineError> {
        let SortOrder { field, direction } = self.order;
        let mut lists = Vec::new();
        for (position, package) in packages.iter().enumerate() {
            let mut rows = Vec::new();
            for tag in self.read_package(tx, &package.id)? {
                if !is_tag_of_any(tx, &packages[..position], &tag.name)? {
                    rows.push(ListedTag { tag, upstream: package.upstream.clone() });
                }
            }
            lists.push(rows);
        }
        let mut rows = merge_lists(lists, |a, b| direction.order(compare(&a.tag, &b.tag, field)));
        rows.truncate(self.step as usize);
        Ok(rows)
    }

    fn read_package(&self, tx: &mut Tx<'_>, package: &Id) -> Result<Vec<TagDetails>, MetaError> {
        let SortOrder { field: order, direction } = self.order;
        let version = match self.version {
            Some(digest) => match versions::find_in_package(tx, package, digest)? {
                Some((version, _)) => Some(version),
                None => return Ok(Vec::new()),
            },
            None => None,
        };
        let scope = version.as_ref().map_or(TagScope::Image(package), TagScope::Version);
        let (last, since_day, limit) = (self.last, self.since_day, self.step);
        tag_table::list(tx, TagTableQuery { order, direction, scope, last, since_day, limit })
    }
}

/// Returns whether one of these images, which are asked before another one, has a tag of this name.
fn is_tag_of_any(
    tx: &mut Tx<'_>,
    packages: &[ListedPackage],
    name: &str,
) -> Result<bool, MetaError> {
    for package in packages {
        if tags::find(tx, &package.id, name)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn compare(a: &TagDetails, b: &TagDetails, order: TagTableOrder) -> Ordering {
    match order {
        TagTableOrder::Name => a.name.cmp(&b.name),
        TagTableOrder::Updated => (a.updated_at, &a.name).cmp(&(b.updated_at, &b.name)),
    }
}
