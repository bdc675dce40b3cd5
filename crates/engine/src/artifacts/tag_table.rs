//! The table of an image's tags, as the console shows it.

use std::cmp::Ordering;

use identity::Authorized;
use meta::tag_table::{self, TagDetails, TagPosition, TagTableOrder, TagTableQuery};
use meta::{Id, Tx};
use model::artifact_name::PackageName;
use model::list_filter::SortDirection;
use model::permissions::artifactregistry;
use model::reference::Tag;

use crate::artifacts::listing::{NameRange, RowFilter, read_page};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::page::{ListPage, ListQuery, SortOrder, merge_lists};

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

fn is_fallback(tag: &str) -> bool {
    tag.parse::<Tag>().is_ok_and(|tag| tag.is_referrers_fallback())
}

impl Engine {
    /// Lists the tags of an image whose names match, each with its version. Of tags with one name in several upstreams,
    /// the list has the one that a pull gets.
    pub async fn list_tag_table(
        &self,
        authorized: &Authorized,
        name: &PackageName,
        query: ListQuery<SortOrder<TagTableOrder>>,
        fallback_tags: FallbackTags,
    ) -> Result<ListPage<TagDetails>, EngineError> {
        let context = self.image_context(authorized, artifactregistry::TAGS_LIST, name).await?;
        let packages = self.packages_of_list(&context).await?;
        let ListQuery { filter, order: SortOrder { field, direction }, page } = query;
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
                let rows = TableRows { order: field, direction, last: &last, since_day, step };
                rows.read(tx, &packages)
            };
            let row_filter = |row: &TagDetails| {
                let is_shown = fallback_tags == FallbackTags::Shown || !is_fallback(&row.name);
                let matches = is_shown && filter.matches(|_| format!("{name}/tags/{}", row.name));
                let filter = RowFilter::include_if(matches, 500 + row.platforms.len());
                match field {
                    TagTableOrder::Name => names.filter(&row.name, direction, filter),
                    TagTableOrder::Updated => filter,
                }
            };
            read_page(page.clone(), read_rows, |row| position_of(row, field), row_filter)
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
    order: TagTableOrder,
    direction: SortDirection,
    last: &'a TagPosition,
    since_day: i64,
    step: i64,
}

impl TableRows<'_> {
    fn read(&self, tx: &mut Tx<'_>, packages: &[Id]) -> Result<Vec<TagDetails>, EngineError> {
        let Self { order, direction, last, since_day, step } = *self;
        let mut lists = Vec::new();
        for (position, package) in packages.iter().enumerate() {
            let query = TagTableQuery { order, direction, package, last, since_day, limit: step };
            let mut rows = tag_table::list(tx, query)?;
            for before in &packages[..position] {
                let mut shown = Vec::new();
                for row in rows {
                    if meta::tags::find(tx, before, &row.name)?.is_none() {
                        shown.push(row);
                    }
                }
                rows = shown;
            }
            lists.push(rows);
        }
        let mut rows = merge_lists(lists, |a, b| direction.order(compare(a, b, order)));
        rows.truncate(step as usize);
        Ok(rows)
    }
}

fn compare(a: &TagDetails, b: &TagDetails, order: TagTableOrder) -> Ordering {
    match order {
        TagTableOrder::Name => a.name.cmp(&b.name),
        TagTableOrder::Updated => (a.updated_at, &a.name).cmp(&(b.updated_at, &b.name)),
    }
}
