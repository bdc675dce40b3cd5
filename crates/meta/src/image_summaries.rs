//! Images as the console lists them, with their counters: those of the row plus the changes that are not folded yet.
//!
//! A list reads names alone, and the counters of the images that it shows: a filter may pass over very many.

use std::collections::BTreeMap;

use model::list_filter::SortDirection;

use crate::{Id, KeyList, MetaError, SqlParam, SqlRow, Tx, params};

/// The order of a list of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageSummaryOrder {
    /// The name.
    Name,
    /// The time of the last push.
    LastPush,
    /// The bytes that are stored for the image.
    Stored,
    /// The number of tags.
    Tags,
}

/// An image in a list, without its counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedImage {
    /// The id of the image.
    pub id: Id,
    /// The id of the repository.
    pub repository: Id,
    /// The name of the image.
    pub name: String,
    /// The value by which the list is ordered. It is 0 in the order of names.
    pub position: i64,
}

/// An image with its counters.
#[derive(Debug, Clone)]
pub struct ImageSummaryRow {
    /// The id of the image.
    pub id: Id,
    /// The name of the image.
    pub name: String,
    /// The tag that was set last, among the last 20. Tags by which clients attach artifacts are left out.
    pub newest_tag: Option<String>,
    /// False if some versions were not counted yet.
    pub is_counted: bool,
    /// The number of versions.
    pub versions: i64,
    /// The number of tags.
    pub tags: i64,
    /// The number of untagged versions.
    pub untagged: i64,
    /// The sum of the lengths of the manifests.
    pub manifest_bytes: i64,
    /// The bytes of the manifests and of the blobs that they name, each once, as of the last measurement.
    pub stored_bytes: i64,
    /// True if the image was measured.
    pub is_measured: bool,
    /// The time of the last push of a manifest.
    pub pushed_at: i64,
    /// The pulls since the day that the query names.
    pub pulls: i64,
}

/// Makes the expression for a counter: the one of the row, plus the changes that are not folded yet.
macro_rules! counter {
    ($column:literal) => {
        concat!(
            "coalesce(c.", $column, ", 0) + (SELECT CAST(coalesce(sum(d.", $column, "), 0) AS BIGINT)
               FROM usage_deltas d WHERE d.repository_id = p.repository_id AND d.package_id = p.id)"
        )
    };
}

/// The statement of [`read`], up to the list of ids. A test checks its query plan.
pub(crate) const READ_SQL: &str = concat!(
    "SELECT p.id, p.name,
       (SELECT few.name FROM
         (SELECT t.name FROM tags t WHERE t.package_id = p.id ORDER BY t.updated_at DESC, t.name DESC LIMIT 20) few
        WHERE few.name < 'sha256-' OR few.name >= 'sha256.' LIMIT 1),
       NOT EXISTS (SELECT 1 FROM versions v WHERE v.package_id = p.id AND v.untagged IS NULL), ",
    counter!("versions"),
    ", ",
    counter!("tags"),
    ", ",
    counter!("untagged"),
    ", ",
    counter!("manifest_bytes"),
    ", coalesce(c.stored_bytes, 0), coalesce(c.measured_at, 0), coalesce(c.pushed_at, p.created_at),
       (SELECT max(d.pushed_at) FROM usage_deltas d WHERE d.repository_id = p.repository_id AND d.package_id = p.id),
       (SELECT CAST(coalesce(sum(n.pulls), 0) AS BIGINT) FROM image_days n WHERE n.package_id = p.id AND n.day >= ?1)
     FROM packages p LEFT JOIN image_counters c ON c.package_id = p.id WHERE p.id IN"
);

fn read_summary(row: &SqlRow<'_>) -> Result<ImageSummaryRow, MetaError> {
    let pushed_at = row.int(10)?;
    Ok(ImageSummaryRow {
        id: row.id(0)?,
        name: row.text(1)?,
        newest_tag: row.opt_text(2)?,
        is_counted: row.bool(3)?,
        versions: row.int(4)?,
        tags: row.int(5)?,
        untagged: row.int(6)?,
        manifest_bytes: row.int(7)?,
        stored_bytes: row.int(8)?,
        is_measured: row.int(9)? > 0,
        pushed_at: row.opt_int(11)?.map_or(pushed_at, |open| open.max(pushed_at)),
        pulls: row.int(12)?,
    })
}

/// Returns images with their counters, in the order of their ids in `images`. Images that are not there are left out.
pub fn read(
    tx: &mut Tx<'_>,
    images: &[Id],
    since_day: i64,
) -> Result<Vec<ImageSummaryRow>, MetaError> {
    let keys: Vec<_> = images.iter().map(SqlParam::from).collect();
    let list = KeyList { select: READ_SQL, first: since_day.into(), keys: &keys };
    let rows = tx.query_keys(list, read_summary)?;
    let mut found: BTreeMap<Id, ImageSummaryRow> =
        rows.into_iter().map(|row| (row.id, row)).collect();
    Ok(images.iter().filter_map(|id| found.remove(id)).collect())
}

/// Makes the two statements of a list in the order of a counter: ascending and descending.
macro_rules! by_counter {
    ($column:literal) => {
        [by_counter!($column, ">", "ASC"), by_counter!($column, "<", "DESC")]
    };
    ($column:literal, $after:literal, $direction:literal) => {
        concat!(
            "SELECT p.id, p.name, c.",
            $column,
            " FROM image_counters c JOIN packages p ON p.id = c.package_id
             WHERE c.repository_id = ?1 AND (c.",
            $column,
            ", c.package_id) ",
            $after,
            " (?2, ?4) ORDER BY c.",
            $column,
            " ",
            $direction,
            ", c.package_id ",
            $direction,
            " LIMIT ?3"
        )
    };
}

/// The statements of [`list`]: for each order, the ascending and the descending one. A test checks their query plans.
pub(crate) const BY_NAME_SQL: [&str; 2] = [
    "SELECT id, name, 0 FROM packages
     WHERE repository_id = ?1 AND name > '/' AND name > ?2 ORDER BY name LIMIT ?3",
    "SELECT id, name, 0 FROM packages
     WHERE repository_id = ?1 AND name > '/' AND name < ?2 ORDER BY name DESC LIMIT ?3",
];
/// The same in the order of the last push.
pub(crate) const BY_PUSH_SQL: [&str; 2] = by_counter!("pushed_at");
/// The same in the order of the stored bytes.
pub(crate) const BY_SIZE_SQL: [&str; 2] = by_counter!("stored_bytes");
/// The same in the order of the number of tags.
pub(crate) const BY_TAGS_SQL: [&str; 2] = by_counter!("tags");

/// A position in a list of images. A list in the order of names looks only at the name, others at the rest.
#[derive(Debug, Clone, Copy)]
pub struct ImageSummaryPosition<'a> {
    /// The name of the image.
    pub name: &'a str,
    /// The value by which the list is ordered.
    pub value: i64,
    /// The id of the image.
    pub package: &'a Id,
}

/// A query for images in an order.
#[derive(Debug, Clone, Copy)]
pub struct ImageListQuery<'a> {
    /// The id of the repository.
    pub repository: &'a Id,
    /// The order.
    pub order: ImageSummaryOrder,
    /// The direction of the order.
    pub direction: SortDirection,
    /// The position after which the list continues.
    pub last: ImageSummaryPosition<'a>,
    /// The largest number of images to return.
    pub limit: i64,
}

/// Returns images of a repository. The order by a counter is that of the folded counters.
pub fn list(tx: &mut Tx<'_>, query: ImageListQuery<'_>) -> Result<Vec<ListedImage>, MetaError> {
    let ImageListQuery { repository, order, direction, last, limit } = query;
    let read = |row: &SqlRow<'_>| {
        let (id, name, position) = (row.id(0)?, row.text(1)?, row.int(2)?);
        Ok(ListedImage { id, repository: *repository, name, position })
    };
    let sql = match order {
        ImageSummaryOrder::Name => {
            let params = params![repository, last.name, limit];
            return tx.query(direction.choose(BY_NAME_SQL), params, read);
        }
        ImageSummaryOrder::LastPush => BY_PUSH_SQL,
        ImageSummaryOrder::Stored => BY_SIZE_SQL,
        ImageSummaryOrder::Tags => BY_TAGS_SQL,
    };
    let params = params![repository, last.value, limit, last.package];
    tx.query(direction.choose(sql), params, read)
}
