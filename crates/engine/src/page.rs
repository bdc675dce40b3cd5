//! Requests for pages of lists, and the pages.

use model::list_filter::{ListFilter, SortDirection};

/// A request for one page of a list.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// The position after which the page begins: the `next` of the page before, or an empty text for the first page.
    pub start: String,
    /// The largest number of entries of the page.
    pub limit: usize,
}

/// A page of a list.
#[derive(Debug)]
pub struct ListPage<T> {
    /// The entries of the page, in order.
    pub entries: Vec<T>,
    /// The position at which the next page begins, if there is one.
    pub next: Option<String>,
}

impl<T> ListPage<T> {
    /// Returns a page without entries, which is the last one.
    pub(crate) fn empty() -> Self {
        Self { entries: Vec::new(), next: None }
    }
}

/// A field by which a list is ordered, and the direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortOrder<F> {
    /// The field.
    pub field: F,
    /// The direction.
    pub direction: SortDirection,
}

/// A request for the entries of a list that match a filter, in an order, page by page.
#[derive(Debug, Clone)]
pub struct ListQuery<O> {
    /// The filter. An empty one matches all entries.
    pub filter: ListFilter,
    /// The order of the entries.
    pub order: O,
    /// The page.
    pub page: PageRequest,
}
