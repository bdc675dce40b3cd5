//! Reading of pages: their beginning and end, and the choice of their rows.

use model::artifact_name::unescape_slashes;
use model::list_filter::{ListFilter, SortDirection};

use crate::error::EngineError;
use crate::page::{ListPage, PageRequest};

/// The largest number of rows that one page reads where few of them match.
const MAX_ROWS_READ: usize = 5_000;
/// The number of rows that are read at once.
const ROWS_AT_ONCE: usize = 1_000;

/// The largest number of rows that are sorted in an order without an index.
pub(crate) const MAX_SORTED_ROWS: usize = 10_000;

/// The longest page in bytes: less than the 4 MiB that clients of gRPC take.
const MAX_PAGE_BYTES: usize = 3 << 20;

/// A text that sorts after all names and digests.
const AFTER_ALL_NAMES: &str = "~";

/// The range of names that can match a filter: one name, or all that begin with a text.
pub(crate) struct NameRange {
    prefix: String,
    is_exact: bool,
}

impl NameRange {
    /// Returns the range for a filter. `parent` is the text that all full names of the list begin with.
    pub(crate) fn new(filter: &ListFilter, parent: &str) -> Self {
        let any = Self { prefix: String::new(), is_exact: false };
        let Some(pattern) = filter.pattern("name") else { return any };
        let Some(wanted) = pattern.prefix().strip_prefix(parent) else { return any };
        let is_exact = pattern.exact_text().is_some();
        // A cut-off escape at the end does not tell how the name goes on.
        let wanted = wanted.strip_suffix("%2").or(wanted.strip_suffix('%')).unwrap_or(wanted);
        Self { prefix: unescape_slashes(wanted), is_exact }
    }

    /// Lets the first page begin right before the first name that can match.
    pub(crate) fn narrow(&self, page: PageRequest, direction: SortDirection) -> PageRequest {
        let start = match (page.start.as_str(), direction) {
            ("", SortDirection::Ascending) => {
                let mut before = self.prefix.clone();
                match before.pop() {
                    Some(last @ '!'..='~') => {
                        before.push(char::from(last as u8 - 1));
                        before.push_str(AFTER_ALL_NAMES);
                        before
                    }
                    // No name contains another character, and without a text to begin with all names can match.
                    Some(_) | None => before,
                }
            }
            ("", SortDirection::Descending) => format!("{}{AFTER_ALL_NAMES}", self.prefix),
            (start, _) => start.to_owned(),
        };
        PageRequest { start, ..page }
    }

    /// Returns [`RowFilter::Stop`] for a row whose name is past the range, and otherwise `filter`.
    pub(crate) fn filter(
        &self,
        name: &str,
        direction: SortDirection,
        filter: RowFilter,
    ) -> RowFilter {
        let is_past = match direction {
            SortDirection::Ascending if self.is_exact => name > self.prefix.as_str(),
            SortDirection::Ascending => {
                name > self.prefix.as_str() && !name.starts_with(&self.prefix)
            }
            SortDirection::Descending => name < self.prefix.as_str(),
        };
        if is_past { RowFilter::Stop } else { filter }
    }
}

/// The fields by which the rows of a list without an index are sorted.
pub(crate) struct SortKey {
    pub(crate) time: i64,
    pub(crate) name: String,
}

/// Returns a page of a list in an order by time that has no index. All rows are read and sorted, if they are not too
/// many.
pub(crate) fn read_sorted_page<T>(
    mut rows: Vec<T>,
    sort_key: impl Fn(&T) -> SortKey,
    direction: SortDirection,
    page: &PageRequest,
    filter: impl Fn(&T) -> RowFilter,
) -> Result<ListPage<T>, EngineError> {
    if rows.len() > MAX_SORTED_ROWS {
        let problem = format!("a list of more than {MAX_SORTED_ROWS} is ordered by name only");
        return Err(EngineError::InvalidArgument { field: "order_by", problem });
    }
    // Twenty digits make texts sort like times. No time is before 1970.
    let position = |row: &T| {
        let SortKey { time, name } = sort_key(row);
        format!("{time:020} {name}")
    };
    rows.sort_by_cached_key(&position);
    if direction == SortDirection::Descending {
        rows.reverse();
    }
    let start = page.start.as_str();
    let is_after_start = |row: &T| match direction {
        SortDirection::Ascending => position(row).as_str() > start,
        SortDirection::Descending => start.is_empty() || position(row).as_str() < start,
    };
    let mut rows: Vec<T> = rows.into_iter().filter(is_after_start).collect();
    let next_rows =
        |_: &str, count: i64| Ok(rows.drain(..rows.len().min(count as usize)).collect());
    read_page(page.clone(), next_rows, position, filter)
}

/// The decision about one row of a list.
pub(crate) enum RowFilter {
    /// The row is on the page, and takes about so many bytes.
    Include(usize),
    /// The row is not on the page.
    Skip,
    /// Neither the row nor any after it is on the page.
    Stop,
}

impl RowFilter {
    pub(crate) fn include_if(matches: bool, bytes: usize) -> Self {
        if matches { Self::Include(bytes) } else { Self::Skip }
    }
}

/// Reads the rows after a position until the page has `limit` matching ones. `read_rows` reads up to a number of rows
/// after a position, and `position` is the position of a row.
pub(crate) fn read_page<T>(
    request: PageRequest,
    mut read_rows: impl FnMut(&str, i64) -> Result<Vec<T>, EngineError>,
    position: impl Fn(&T) -> String,
    filter: impl Fn(&T) -> RowFilter,
) -> Result<ListPage<T>, EngineError> {
    let PageRequest { start, limit } = request;
    let mut page = ListPage::empty();
    let (mut last, mut step) = (start, limit + 1);
    let (mut rows_read, mut bytes) = (0, 0);
    loop {
        let rows = read_rows(&last, step as i64)?;
        let is_end = rows.len() < step;
        rows_read += rows.len();
        for row in rows {
            match filter(&row) {
                RowFilter::Stop => return Ok(page),
                RowFilter::Include(row_bytes) => {
                    bytes += row_bytes;
                    let is_full = page.entries.len() == limit || bytes > MAX_PAGE_BYTES;
                    if is_full && !page.entries.is_empty() {
                        page.next = Some(last);
                        return Ok(page);
                    }
                    last = position(&row);
                    page.first.get_or_insert_with(|| last.clone());
                    page.entries.push(row);
                }
                RowFilter::Skip => last = position(&row),
            }
        }
        if is_end {
            return Ok(page);
        }
        if rows_read >= MAX_ROWS_READ {
            page.next = Some(last);
            return Ok(page);
        }
        step = ROWS_AT_ONCE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that are wanted of those below a bound, a page after the other.
    fn pages(below: usize, limit: usize, wanted: impl Fn(usize) -> bool) -> (Vec<usize>, usize) {
        let (mut all, mut start, mut count) = (Vec::new(), String::new(), 0);
        loop {
            let page = read_page(
                PageRequest { start, limit },
                |last, step| {
                    let from = last.parse().map_or(0, |last: usize| last + 1);
                    Ok((from..below).take(step as usize).collect())
                },
                usize::to_string,
                |number| RowFilter::include_if(wanted(*number), 1),
            );
            let page = page.expect("nothing fails");
            assert!(page.entries.len() <= limit);
            all.extend(page.entries);
            count += 1;
            match page.next {
                Some(next) => start = next,
                None => return (all, count),
            }
        }
    }

    #[test]
    fn pages_hold_everything_once() {
        for below in [0, 1, 9, 10, 11, 99, 100, 101] {
            let (all, count) = pages(below, 10, |_| true);
            assert_eq!(all, (0..below).collect::<Vec<_>>());
            assert_eq!(count, below.div_ceil(10).max(1), "pages of {below}");
        }
        let (thirds, _) = pages(10_000, 10, |number| number % 3 == 0);
        assert_eq!(thirds, (0..10_000).step_by(3).collect::<Vec<_>>());
    }

    #[test]
    fn the_entries_before_a_page_begin_at_its_first_one() {
        let wanted = |number: &usize| RowFilter::include_if(number.is_multiple_of(2), 1);
        let forwards = read_page(
            PageRequest { start: "50".to_owned(), limit: 10 },
            |last, step| {
                let from = last.parse().map_or(0, |last: usize| last + 1);
                Ok((from..100).take(step as usize).collect())
            },
            usize::to_string,
            wanted,
        );
        let start = forwards.expect("nothing fails").first.expect("an entry");
        let backwards = read_page(
            PageRequest { start, limit: 10 },
            |last, step| {
                let below = last.parse().expect("a number");
                Ok((0..below).rev().take(step as usize).collect())
            },
            usize::to_string,
            wanted,
        );
        let backwards = backwards.expect("nothing fails");
        assert_eq!(backwards.entries, (32..=50).rev().step_by(2).collect::<Vec<_>>());
        assert_eq!(backwards.first.as_deref(), Some("50"));
        // The next page begins after the last row that was looked at.
        assert_eq!(backwards.next.as_deref(), Some("31"));
    }

    #[test]
    fn a_page_looks_at_no_more_than_so_many_rows() {
        let (found, count) = pages(20_000, 10, |number| number == 19_999);
        assert_eq!(found, [19_999]);
        assert!(count > 2, "{count} pages");
    }

    #[test]
    fn a_page_is_no_longer_than_clients_take() {
        let lengths = [MAX_PAGE_BYTES / 2, MAX_PAGE_BYTES / 2, 1, MAX_PAGE_BYTES * 2, 1, 1];
        let (mut start, mut pages) = (String::new(), Vec::new());
        loop {
            let page = read_page(
                PageRequest { start, limit: 10 },
                |last, step| {
                    let from = last.parse().map_or(0, |last: usize| last + 1);
                    Ok((from..lengths.len()).take(step as usize).collect())
                },
                usize::to_string,
                |number| RowFilter::Include(lengths[*number]),
            );
            let page = page.expect("nothing fails");
            pages.push(page.entries);
            match page.next {
                Some(next) => start = next,
                None => break,
            }
        }
        assert_eq!(pages, [vec![0, 1], vec![2], vec![3], vec![4, 5]]);
    }

    /// Compares the start of the first page, and the decision about each name: `i`nclude, `s`kip or the `e`nd.
    #[track_caller]
    fn check_names(filter: &str, expected_start: &str, expected_rows: &str) {
        let filter = ListFilter::parse(filter, &["name", "version"]).expect("valid");
        let names = NameRange::new(&filter, "r/packages/");
        let rows: String = ["a", "ab", "abc", "ac", "b"]
            .iter()
            .map(|name| match names.filter(name, SortDirection::Ascending, RowFilter::Include(1)) {
                RowFilter::Include(_) => 'i',
                RowFilter::Skip => 's',
                RowFilter::Stop => 'e',
            })
            .collect();
        let first = PageRequest { start: String::new(), limit: 1 };
        let start = names.narrow(first, SortDirection::Ascending).start;
        assert_eq!((start.as_str(), rows.as_str()), (expected_start, expected_rows));
        for name in ["a", "ab", "abc", "ac", "b"] {
            let matches = filter.matches(|_| format!("r/packages/{name}"));
            assert!(!matches || *name > *start, "{name} is before {start}");
        }
    }

    #[test]
    fn names_that_can_match() {
        check_names("", "", "iiiii");
        check_names(r#"name="r/packages/ab*""#, "aa~", "iiiee");
        check_names(r#"name="r/packages/ab""#, "aa~", "iieee");
        check_names(r#"name="r/packages/a%2Fb""#, "a/a~", "ieeee");
        check_names(r#"name="r/packages/a%2*""#, "`~", "iiiie");
        check_names(r#"name="r/packages/a%*""#, "`~", "iiiie");
        check_names(r#"name="*ab""#, "", "iiiii");
        check_names(r#"name="x/packages/ab""#, "", "iiiii");
    }
}
