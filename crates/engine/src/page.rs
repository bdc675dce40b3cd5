//! Requests for pages of lists, and the pages.

use std::cmp::Ordering;

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
    /// The position of the first entry. In the opposite direction, the entries before this page begin after it.
    pub first: Option<String>,
    /// The position at which the next page begins, if there is one.
    pub next: Option<String>,
}

impl<T> ListPage<T> {
    /// Returns a page without entries, which is the last one.
    pub(crate) fn empty() -> Self {
        Self { entries: Vec::new(), first: None, next: None }
    }

    /// Returns the page with each entry changed.
    pub(crate) fn map<U>(self, change: impl FnMut(T) -> U) -> ListPage<U> {
        let Self { entries, first, next } = self;
        ListPage { entries: entries.into_iter().map(change).collect(), first, next }
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

/// Merges sorted lists into one sorted list. Of rows that compare as equal, the one of the first list stays.
pub(crate) fn merge_lists<T>(
    mut lists: Vec<Vec<T>>,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Vec<T> {
    if lists.len() <= 1 {
        return lists.pop().unwrap_or_default();
    }
    // The sort is stable, so that rows which compare as equal stay in the order of their lists.
    let mut merged: Vec<T> = lists.into_iter().flatten().collect();
    merged.sort_by(&compare);
    merged.dedup_by(|later, first| compare(later, first).is_eq());
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lists: &[&[(u32, &str)]], expected: &[(u32, &str)]) {
        let lists: Vec<_> = lists.iter().map(|list| list.to_vec()).collect();
        assert_eq!(merge_lists(lists, |a, b| a.0.cmp(&b.0)), expected);
    }

    #[test]
    fn merged_lists_are_sorted_and_the_first_list_wins() {
        check(&[], &[]);
        check(&[&[(1, "a"), (2, "a")]], &[(1, "a"), (2, "a")]);
        check(
            &[&[(2, "a"), (4, "a")], &[(1, "b"), (2, "b"), (5, "b")], &[(2, "c"), (3, "c")]],
            &[(1, "b"), (2, "a"), (3, "c"), (4, "a"), (5, "b")],
        );
    }
}
