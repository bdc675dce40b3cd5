//! The query of a list: its page, its order and its filter; and the links that keep them.

use engine::{PageRequest, SortOrder};
use model::list_filter::SortDirection;

use crate::links::Link;
use crate::query::Fields;

/// The numbers of rows of a page, of which the first is the usual one.
const ROW_CHOICES: [usize; 3] = [50, 20, 200];

/// The query of a list.
#[derive(Debug, Clone)]
pub(crate) struct ListRequest<F> {
    /// The order: a field and a direction.
    pub(crate) order: SortOrder<F>,
    pub(crate) page: PageRequest,
    /// The text that the entries are filtered by.
    pub(crate) filter: String,
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

/// The links below a list.
#[derive(Debug, Clone)]
pub(crate) struct PageLinks {
    pub(crate) first: Option<Link>,
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
        let limit = rows.filter(|rows| ROW_CHOICES.contains(rows)).unwrap_or(ROW_CHOICES[0]);
        let start = query.get("after").unwrap_or_default().to_owned();
        let filter = query.get("filter").unwrap_or_default().to_owned();
        Self { order, page: PageRequest { start, limit }, filter }
    }

    /// Returns a link to the list `base` with this query, from the first page on.
    fn link(&self, base: &Link, columns: &[SortColumn<F>], order: SortOrder<F>) -> Link {
        let usual = &columns[0];
        let is_usual = order.field == usual.field && order.direction == usual.first;
        let column = columns.iter().find(|column| column.field == order.field);
        let sort = column.filter(|_| !is_usual).map(|column| match order.direction {
            SortDirection::Ascending => column.name.to_owned(),
            SortDirection::Descending => format!("-{}", column.name),
        });
        let rows = (self.page.limit != ROW_CHOICES[0]).then(|| self.page.limit.to_string());
        let filter = Some(self.filter.as_str()).filter(|filter| !filter.is_empty());
        base.clone()
            .with_some("filter", filter)
            .with_some("sort", sort.as_deref())
            .with_some("rows", rows.as_deref())
    }

    /// Returns the link in the head of a column: a click sorts by it, and another one turns the order around.
    pub(crate) fn sort_link(&self, base: &Link, columns: &[SortColumn<F>], field: F) -> SortLink {
        let column = columns.iter().find(|column| column.field == field).unwrap_or(&columns[0]);
        let is_current = self.order.field == field;
        let direction = match (is_current, self.order.direction) {
            (false, _) => column.first,
            (true, SortDirection::Ascending) => SortDirection::Descending,
            (true, SortDirection::Descending) => SortDirection::Ascending,
        };
        let state = match (is_current, self.order.direction) {
            (false, _) => "",
            (true, SortDirection::Ascending) => "ascending",
            (true, SortDirection::Descending) => "descending",
        };
        SortLink { link: self.link(base, columns, SortOrder { field, direction }), state }
    }

    /// Returns the links below the list. `next` is the position at which the next page begins.
    pub(crate) fn page_links(
        &self,
        base: &Link,
        columns: &[SortColumn<F>],
        next: Option<&str>,
    ) -> PageLinks {
        let link = self.link(base, columns, self.order);
        let size = |rows: usize| {
            let page = PageRequest { start: String::new(), limit: rows };
            let sized = Self { page, filter: self.filter.clone(), order: self.order };
            (rows, sized.link(base, columns, self.order))
        };
        PageLinks {
            first: (!self.page.start.is_empty()).then(|| link.clone()),
            next: next.map(|next| link.with("after", next)),
            sizes: ROW_CHOICES
                .into_iter()
                .filter(|rows| *rows != self.page.limit)
                .map(size)
                .collect(),
        }
    }
}
