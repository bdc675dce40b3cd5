//! Pages of lists: the request for one, its beginning and end, and the choice of its rows.

use model::artifact_name::unescape_slashes;
use model::list_filter::{ListFilter, SortDirection};

use crate::error::EngineError;

/// The largest number of rows that one page reads where few of them match.
const MOST_LOOKED_AT: usize = 5_000;
/// The number of rows that are read at once.
const STEP: usize = 1_000;

/// The largest number of rows that are sorted in an order without an index.
pub(crate) const MAX_SORTED: usize = 10_000;

/// The longest page in bytes: less than the 4 MiB that clients of gRPC take.
const PAGE_BYTES: usize = 3 << 20;

/// A text that sorts after all names and digests.
const BEHIND_ALL: &str = "~";

/// A page of a list.
#[derive(Debug)]
pub struct ListPage<T> {
    /// The entries of the page, in order.
    pub found: Vec<T>,
    /// The position at which the next page begins, if there is one.
    pub next: Option<String>,
}

/// The range of names that can match a filter: one name, or all that begin with a text.
pub(crate) struct NameRange {
    beginning: String,
    is_one: bool,
}

impl NameRange {
    /// Returns the range for a filter. `parent` is the text that all full names of the list begin with.
    pub(crate) fn new(filter: &ListFilter, parent: &str) -> Self {
        let any = Self { beginning: String::new(), is_one: false };
        let Some(pattern) = filter.pattern("name") else { return any };
        let Some(wanted) = pattern.prefix().strip_prefix(parent) else { return any };
        let is_one = pattern.exact_text().is_some();
        // A cut-off escape at the end does not tell how the name goes on.
        let wanted = wanted.strip_suffix("%2").or(wanted.strip_suffix('%')).unwrap_or(wanted);
        Self { beginning: unescape_slashes(wanted), is_one }
    }

    /// Returns the position at which a page begins: right before the first name that can match.
    pub(crate) fn start(&self, start: &str, direction: SortDirection) -> String {
        match (start, direction) {
            ("", SortDirection::Ascending) => {
                let mut before = self.beginning.clone();
                match before.pop() {
                    Some(last @ '!'..='~') => {
                        before.push(char::from(last as u8 - 1));
                        before.push_str(BEHIND_ALL);
                        before
                    }
                    // No name contains another character, and without a text to begin with all names can match.
                    Some(_) | None => before,
                }
            }
            ("", SortDirection::Descending) => format!("{}{BEHIND_ALL}", self.beginning),
            (start, _) => start.to_owned(),
        }
    }

    /// Returns [`RowFilter::Stop`] for a row whose name is past the range, and otherwise `filter`.
    pub(crate) fn look(&self, name: &str, direction: SortDirection, look: RowFilter) -> RowFilter {
        let is_past = match direction {
            SortDirection::Ascending if self.is_one => name > self.beginning.as_str(),
            SortDirection::Ascending => {
                name > self.beginning.as_str() && !name.starts_with(&self.beginning)
            }
            SortDirection::Descending => name < self.beginning.as_str(),
        };
        if is_past { RowFilter::Behind } else { look }
    }
}

/// Returns a page of a list in an order by time that has no index. All rows are read and sorted, if they are not too
/// many.
pub(crate) fn read_sorted_page<T>(
    mut rows: Vec<T>,
    (time, name): (impl Fn(&T) -> i64, impl Fn(&T) -> String),
    direction: SortDirection,
    ((start, limit), look): ((&str, usize), impl Fn(&T) -> RowFilter),
) -> Result<ListPage<T>, EngineError> {
    if rows.len() > MAX_SORTED {
        let problem = format!("a list of more than {MAX_SORTED} is ordered by name only");
        return Err(EngineError::InvalidArgument { field: "order_by", problem });
    }
    // Twenty digits make texts sort like times. No time is before 1970.
    let place = |row: &T| format!("{:020} {}", time(row), name(row));
    rows.sort_by_cached_key(&place);
    if direction == SortDirection::Descending {
        rows.reverse();
    }
    let is_behind = |row: &T, start: &str| match direction {
        SortDirection::Ascending => place(row).as_str() > start,
        SortDirection::Descending => start.is_empty() || place(row).as_str() < start,
    };
    let mut rows: Vec<T> = rows.into_iter().filter(|row| is_behind(row, start)).collect();
    let more = |_: &str, step: i64| Ok(rows.drain(..rows.len().min(step as usize)).collect());
    read_page((start.to_owned(), limit), more, place, look)
}

/// The decision about one row of a list.
pub(crate) enum RowFilter {
    /// The row is on the page, and takes about so many bytes.
    Wanted(usize),
    /// The row is not on the page.
    Other,
    /// Neither the row nor any after it is on the page.
    Behind,
}

impl RowFilter {
    pub(crate) fn wanted(wanted: bool, bytes: usize) -> Self {
        if wanted { Self::Wanted(bytes) } else { Self::Other }
    }
}

/// Reads the rows after a position until the page has `limit` matching ones. `read_rows` reads up to a number of rows
/// after a position.
pub(crate) fn read_page<T>(
    (start, limit): (String, usize),
    mut rows: impl FnMut(&str, i64) -> Result<Vec<T>, EngineError>,
    place: impl Fn(&T) -> String,
    look: impl Fn(&T) -> RowFilter,
) -> Result<ListPage<T>, EngineError> {
    let mut page = ListPage { found: Vec::new(), next: None };
    let (mut from, mut step) = (start, limit + 1);
    let (mut looked_at, mut length) = (0, 0);
    loop {
        let some = rows(&from, step as i64)?;
        let is_last = some.len() < step;
        looked_at += some.len();
        for row in some {
            match look(&row) {
                RowFilter::Behind => return Ok(page),
                RowFilter::Wanted(bytes) => {
                    length += bytes;
                    let is_full = page.found.len() == limit || length > PAGE_BYTES;
                    if is_full && !page.found.is_empty() {
                        page.next = Some(from);
                        return Ok(page);
                    }
                    from = place(&row);
                    page.found.push(row);
                }
                RowFilter::Other => from = place(&row),
            }
        }
        if is_last {
            return Ok(page);
        }
        if looked_at >= MOST_LOOKED_AT {
            page.next = Some(from);
            return Ok(page);
        }
        step = STEP;
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
                (start, limit),
                |last, step| {
                    let from = last.parse().map_or(0, |last: usize| last + 1);
                    Ok((from..below).take(step as usize).collect())
                },
                usize::to_string,
                |number| RowFilter::wanted(wanted(*number), 1),
            );
            let page = page.expect("nothing fails");
            assert!(page.found.len() <= limit);
            all.extend(page.found);
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
    fn a_page_looks_at_no_more_than_so_many_rows() {
        let (found, count) = pages(20_000, 10, |number| number == 19_999);
        assert_eq!(found, [19_999]);
        assert!(count > 2, "{count} pages");
    }

    #[test]
    fn a_page_is_no_longer_than_clients_take() {
        let lengths = [PAGE_BYTES / 2, PAGE_BYTES / 2, 1, PAGE_BYTES * 2, 1, 1];
        let (mut start, mut pages) = (String::new(), Vec::new());
        loop {
            let page = read_page(
                (start, 10),
                |last, step| {
                    let from = last.parse().map_or(0, |last: usize| last + 1);
                    Ok((from..lengths.len()).take(step as usize).collect())
                },
                usize::to_string,
                |number| RowFilter::wanted(true, lengths[*number]),
            );
            let page = page.expect("nothing fails");
            pages.push(page.found);
            match page.next {
                Some(next) => start = next,
                None => break,
            }
        }
        assert_eq!(pages, [vec![0, 1], vec![2], vec![3], vec![4, 5]]);
    }

    /// Where the list begins, and which of the names come on it, are passed over, or end it.
    #[track_caller]
    fn check_names(filter: &str, expected: (&str, &str)) {
        let filter = ListFilter::parse(filter, &["name", "version"]).expect("valid");
        let names = NameRange::new(&filter, "r/packages/");
        let looks: String = ["a", "ab", "abc", "ac", "b"]
            .iter()
            .map(|name| {
                match names.look(name, SortDirection::Ascending, RowFilter::wanted(true, 1)) {
                    RowFilter::Wanted(_) => 'w',
                    RowFilter::Other => 'o',
                    RowFilter::Behind => 'b',
                }
            })
            .collect();
        let start = names.start("", SortDirection::Ascending);
        assert_eq!((start.as_str(), looks.as_str()), expected);
        for name in ["a", "ab", "abc", "ac", "b"] {
            let matches = filter.matches(|_| format!("r/packages/{name}"));
            assert!(!matches || *name > *start, "{name} is before {start}");
        }
    }

    #[test]
    fn names_that_can_match() {
        check_names("", ("", "wwwww"));
        check_names(r#"name="r/packages/ab*""#, ("aa~", "wwwbb"));
        check_names(r#"name="r/packages/ab""#, ("aa~", "wwbbb"));
        check_names(r#"name="r/packages/a%2Fb""#, ("a/a~", "wbbbb"));
        check_names(r#"name="r/packages/a%2*""#, ("`~", "wwwwb"));
        check_names(r#"name="r/packages/a%*""#, ("`~", "wwwwb"));
        check_names(r#"name="*ab""#, ("", "wwwww"));
        check_names(r#"name="x/packages/ab""#, ("", "wwwww"));
    }
}
