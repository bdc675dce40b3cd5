//! The query of a list: its page, its order and its filter; and the links that keep them.
//!
//! A page begins after an entry or ends before one, so that a long list is never counted. The number of its first row goes
//! along in the links, for the viewer alone: of a list that changes meanwhile, it may be off by some.

use engine::{ListPage, PageRequest, SortOrder};
use model::list_filter::SortDirection;

use crate::links::Link;
use crate::query::Fields;
use crate::request::ConsoleRequest;
use crate::texts::Texts;

/// The numbers of rows of a page, of which the first is the usual one.
const ROW_CHOICES: [usize; 3] = [50, 20, 200];

/// The largest number of a row that a link may name.
const MAX_NUMBER: u64 = 1 << 40;

/// The query of a list.
#[derive(Debug, Clone)]
pub(crate) struct ListRequest<F> {
    /// The order in which the page shows the entries: a field and a direction.
    pub(crate) order: SortOrder<F>,
    /// The text that the entries are filtered by.
    pub(crate) filter: String,
    rows: usize,
    start: PageStart,
    /// The number of the first row, if the address says it.
    number: Option<u64>,
}

/// The place of a page in its list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PageStart {
    First,
    After(String),
    Before(String),
}

/// A column by which a list can be sorted.
#[derive(Debug, Clone)]
pub(crate) struct SortColumn<F> {
    pub(crate) field: F,
    /// The word for the column in a link.
    pub(crate) name: &'static str,
    /// The direction of the first click.
    pub(crate) first: SortDirection,
}

/// The link in the head of a column, and the state that assistive tools tell.
#[derive(Debug, Clone)]
pub(crate) struct SortLink {
    pub(crate) link: Link,
    /// The value of `aria-sort`; empty if the list has another order.
    pub(crate) state: &'static str,
}

/// The entries of a page in the order in which it shows them.
#[derive(Debug)]
pub(crate) struct ShownPage<T> {
    pub(crate) entries: Vec<T>,
    pub(crate) range: PageRange,
}

/// The part of a list that a page shows.
#[derive(Debug)]
pub(crate) struct PageRange {
    /// The position before which the previous page ends.
    previous: Option<String>,
    /// The position after which the next page begins.
    next: Option<String>,
    /// The number of the first row, if it is known.
    number: Option<u64>,
    rows: u64,
}

/// The list to which the links of a page lead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListLinks<'a, F> {
    pub(crate) base: &'a Link,
    pub(crate) columns: &'a [SortColumn<F>],
}

/// The form by which the viewer filters a list. Its order and its length stay as they are.
#[derive(Debug, Clone)]
pub(crate) struct FilterForm {
    pub(crate) label: &'static str,
    pub(crate) value: String,
    /// The fields that the form sends as they came.
    pub(crate) kept: Vec<(&'static str, String)>,
}

impl FilterForm {
    pub(crate) fn of(request: &ConsoleRequest, label: &'static str, value: &str) -> Self {
        const KEPT: [&str; 5] = ["sort", "rows", "attached", "digest", "location"];
        Self { label, value: value.to_owned(), kept: request.query.pairs_of(&KEPT) }
    }
}

/// The links below a list.
#[derive(Debug, Clone)]
pub(crate) struct PageLinks {
    /// The sentence about the rows: `1–50 of 1,204`. Empty if it is not known which rows they are.
    pub(crate) range: String,
    pub(crate) first: Option<Link>,
    pub(crate) previous: Option<Link>,
    pub(crate) next: Option<Link>,
    pub(crate) sizes: Vec<(usize, Link)>,
}

impl<F: Copy + PartialEq> ListRequest<F> {
    /// Reads the query of a list with these columns, of which the first one gives the usual order.
    pub(crate) fn read(query: &Fields, columns: &[SortColumn<F>]) -> Self {
        let usual = &columns[0];
        let wanted = query.get("sort").unwrap_or_default();
        let (name, direction) = match wanted.strip_prefix('-') {
            Some(name) => (name, SortDirection::Descending),
            None => (wanted, SortDirection::Ascending),
        };
        let order = match columns.iter().find(|column| column.name == name) {
            Some(column) => SortOrder { field: column.field, direction },
            None => SortOrder { field: usual.field, direction: usual.first },
        };
        let rows = query.get("rows").and_then(|rows| rows.parse().ok());
        let number = query.get("row").and_then(|number| number.parse().ok());
        Self {
            order,
            filter: query.get("filter").unwrap_or_default().to_owned(),
            rows: rows.filter(|rows| ROW_CHOICES.contains(rows)).unwrap_or(ROW_CHOICES[0]),
            start: match (query.get("after"), query.get("before")) {
                (Some(after), _) => PageStart::After(after.to_owned()),
                (None, Some(before)) => PageStart::Before(before.to_owned()),
                (None, None) => PageStart::First,
            },
            number: number.filter(|number| (1..=MAX_NUMBER).contains(number)),
        }
    }

    /// Returns whether this is the beginning of the list.
    pub(crate) fn is_first_page(&self) -> bool {
        self.start == PageStart::First
    }

    /// Returns the order in which the page is read: that of the list, or the opposite one for a page that ends before an
    /// entry.
    pub(crate) fn reading_order(&self) -> SortOrder<F> {
        let SortOrder { field, direction } = self.order;
        let direction = match self.start {
            PageStart::First | PageStart::After(_) => direction,
            PageStart::Before(_) => direction.opposite(),
        };
        SortOrder { field, direction }
    }

    /// Returns the page to read, in the order of reading.
    pub(crate) fn page(&self) -> PageRequest {
        let start = match &self.start {
            PageStart::First => String::new(),
            PageStart::After(position) | PageStart::Before(position) => position.clone(),
        };
        PageRequest { start, limit: self.rows }
    }

    /// Returns what was read as the page shows it.
    pub(crate) fn shown<T>(&self, read: ListPage<T>) -> ShownPage<T> {
        let ListPage { mut entries, first, next } = read;
        let rows = entries.len() as u64;
        let range = match &self.start {
            PageStart::First => PageRange { previous: None, next, number: Some(1), rows },
            PageStart::After(_) => PageRange { previous: first, next, number: self.number, rows },
            PageStart::Before(_) => {
                entries.reverse();
                let number = if next.is_none() { Some(1) } else { self.number };
                PageRange { previous: next, next: first, number, rows }
            }
        };
        ShownPage { entries, range }
    }

    /// Returns a link to the list with this query, from the first page on.
    fn link(&self, list: ListLinks<'_, F>, order: SortOrder<F>) -> Link {
        let usual = &list.columns[0];
        let is_usual = order.field == usual.field && order.direction == usual.first;
        let column = list.columns.iter().find(|column| column.field == order.field);
        let sort = column.filter(|_| !is_usual).map(|column| match order.direction {
            SortDirection::Ascending => column.name.to_owned(),
            SortDirection::Descending => format!("-{}", column.name),
        });
        let rows = (self.rows != ROW_CHOICES[0]).then(|| self.rows.to_string());
        let filter = Some(self.filter.as_str()).filter(|filter| !filter.is_empty());
        list.base
            .clone()
            .with_some("filter", filter)
            .with_some("sort", sort.as_deref())
            .with_some("rows", rows.as_deref())
    }

    /// Returns the link in the head of a column: a click sorts by it, and another one turns the order around.
    pub(crate) fn sort_link(&self, list: ListLinks<'_, F>, field: F) -> SortLink {
        let columns = list.columns;
        let column = columns.iter().find(|column| column.field == field).unwrap_or(&columns[0]);
        let is_current = self.order.field == field;
        let direction = if is_current { self.order.direction.opposite() } else { column.first };
        let state = match (is_current, self.order.direction) {
            (false, _) => "",
            (true, SortDirection::Ascending) => "ascending",
            (true, SortDirection::Descending) => "descending",
        };
        SortLink { link: self.link(list, SortOrder { field, direction }), state }
    }

    /// Returns the link to the list as a file, with its filter and its order.
    pub(crate) fn file_link(&self, file: Link, list: ListLinks<'_, F>) -> Link {
        self.link(ListLinks { base: &file, ..list }, self.order)
    }

    /// Returns the links below the list. `total` is the number of all its entries, if it is known.
    pub(crate) fn page_links(
        &self,
        t: Texts,
        list: ListLinks<'_, F>,
        range: &PageRange,
        total: Option<i64>,
    ) -> PageLinks {
        let first = self.link(list, self.order);
        let numbered = |link: Link, number: Option<u64>| {
            link.with_some("row", number.map(|number| number.to_string()).as_deref())
        };
        let rows = self.rows as u64;
        let previous = range.previous.as_ref().map(|position| match range.number {
            Some(number) if number <= rows + 1 => first.clone(),
            number => {
                let number = number.map(|number| number.saturating_sub(rows).max(1));
                numbered(first.clone().with("before", position), number)
            }
        });
        let next = range.next.as_ref().map(|position| {
            let number = range.number.map(|number| number + range.rows);
            numbered(first.clone().with("after", position), number)
        });
        let size = |rows: usize| (rows, Self { rows, ..self.clone() }.link(list, self.order));
        PageLinks {
            range: range.text(t, total.filter(|_| self.filter.is_empty())),
            previous,
            next,
            sizes: ROW_CHOICES.into_iter().filter(|rows| *rows != self.rows).map(size).collect(),
            first: (!self.is_first_page()).then_some(first),
        }
    }
}

impl PageRange {
    /// Returns the sentence about the rows of the page.
    fn text(&self, t: Texts, total: Option<i64>) -> String {
        let Some(first) = self.number.filter(|_| self.rows > 0) else { return String::new() };
        let last = first + self.rows - 1;
        let total = match (&self.next, total) {
            // The last page knows how many there are.
            (None, _) => Some(last),
            (Some(_), Some(total)) => Some(last.max(total.max(0) as u64)),
            (Some(_), None) => None,
        };
        t.rows_of(first, last, total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [SortColumn<char>; 2] = [
        SortColumn { field: 'p', name: "pushed", first: SortDirection::Descending },
        SortColumn { field: 'n', name: "name", first: SortDirection::Ascending },
    ];

    /// Reads a page of the numbers from 1 to 95 in the order of names, and returns what the page shows and its links.
    fn page(query: &str) -> (Vec<u32>, PageLinks) {
        let list = ListRequest::read(&Fields::parse(query.as_bytes()), &COLUMNS);
        let PageRequest { start, limit } = list.page();
        let mut all: Vec<u32> = (1..=95).collect();
        let start: Option<u32> = start.parse().ok();
        if list.reading_order().direction == SortDirection::Descending {
            all.reverse();
            all.retain(|number| start.is_none_or(|start| *number < start));
        } else {
            all.retain(|number| start.is_none_or(|start| *number > start));
        }
        let next = all.get(limit).map(|_| all[limit - 1].to_string());
        all.truncate(limit);
        let first = all.first().map(u32::to_string);
        let shown = list.shown(ListPage { entries: all, first, next });
        let base = Link::own("list");
        let links = ListLinks { base: &base, columns: &COLUMNS };
        (shown.entries, list.page_links(Texts::English, links, &shown.range, Some(95)))
    }

    fn query_of(link: Option<Link>) -> String {
        let link = link.map(|link| link.to_string()).unwrap_or_default();
        link.split_once('?').map_or(link.clone(), |(_, query)| query.to_owned())
    }

    #[test]
    fn pages_go_forwards_and_backwards_and_keep_their_order() {
        let (entries, links) = page("sort=name&rows=20");
        assert_eq!(entries, (1..=20).collect::<Vec<_>>());
        assert_eq!(links.range, "1–20 of 95");
        assert!(links.first.is_none() && links.previous.is_none());
        let third = query_of(page(&query_of(links.next)).1.next);
        assert_eq!(third, "sort=name&rows=20&after=40&row=41");
        let (entries, links) = page(&third);
        assert_eq!((entries[0], entries[19]), (41, 60));
        let second = query_of(links.previous);
        assert_eq!(second, "sort=name&rows=20&before=41&row=21");
        let (entries, links) = page(&second);
        assert_eq!(entries, (21..=40).collect::<Vec<_>>());
        assert_eq!(links.range, "21–40 of 95");
        assert_eq!(query_of(links.next), third);
        // Before the second page, there is the first one.
        assert_eq!(query_of(links.previous), "sort=name&rows=20");
        let (entries, links) = page("sort=name&rows=20&after=80&row=81");
        assert_eq!((entries.len(), links.range.as_str()), (15, "81–95 of 95"));
        assert!(links.next.is_none());
    }

    #[test]
    fn pages_of_an_address_without_numbers_say_none() {
        let (_, links) = page("sort=name&rows=20&after=33");
        assert_eq!(links.range, "");
        assert_eq!(query_of(links.next), "sort=name&rows=20&after=53");
        assert_eq!(query_of(links.previous), "sort=name&rows=20&before=34");
        // Fewer entries than fill a page are before this one: it is the beginning of the list.
        let (entries, links) = page("sort=name&rows=20&before=6&row=900");
        assert_eq!((entries.len(), links.range.as_str()), (5, "1–5 of 95"));
        assert!(links.previous.is_none() && links.first.is_some());
    }

    #[test]
    fn a_filtered_list_does_not_say_the_number_of_all() {
        let (_, links) = page("sort=name&rows=20&filter=x");
        assert_eq!(links.range, "1–20");
        assert_eq!(query_of(links.next), "filter=x&sort=name&rows=20&after=20&row=21");
    }
}
