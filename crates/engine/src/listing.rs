//! Pages of lists: where they begin and end, and which rows come on them.

use model::filter::{Direction, Filter, Pattern};

use crate::EngineError;

/// How many rows one page looks at where few of them are wanted..
const MOST_LOOKED_AT: usize = 5_000;
/// ..and how many it reads at once.
const STEP: usize = 1_000;

/// What stands behind all names and digests.
const BEHIND_ALL: &str = "~";

/// A page of a list.
#[derive(Debug)]
pub struct ListPage<T> {
    /// What is on it.
    pub found: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// Where a list begins that has no place yet.
pub(crate) fn first(start: &str, direction: Direction) -> String {
    match (start, direction) {
        ("", Direction::Down) => BEHIND_ALL.to_owned(),
        (start, _) => start.to_owned(),
    }
}

/// The names that can match a filter: those that begin with a text.
pub(crate) struct Names(String);

impl Names {
    /// `parent` is what all full names of the list begin with.
    pub(crate) fn new(filter: &Filter, parent: &str) -> Self {
        let wanted = filter.pattern("name").map_or("", Pattern::beginning);
        Self(wanted.strip_prefix(parent).unwrap_or_default().replace("%2F", "/"))
    }

    /// Where a page begins: the first one not before the first name that can match.
    pub(crate) fn start(&self, start: &str, direction: Direction) -> String {
        match (start, direction) {
            // The name itself stands behind what it is without its last character.
            ("", Direction::Up) => {
                let mut before = self.0.clone();
                before.pop();
                before
            }
            ("", Direction::Down) => format!("{}{BEHIND_ALL}", self.0),
            (start, _) => start.to_owned(),
        }
    }

    pub(crate) fn look(&self, name: &str, direction: Direction, matches: bool) -> Look {
        let is_past = match direction {
            Direction::Up => name > self.0.as_str() && !name.starts_with(&self.0),
            Direction::Down => name < self.0.as_str(),
        };
        if is_past { Look::Behind } else { Look::wanted(matches) }
    }
}

/// What a row is to a page.
pub(crate) enum Look {
    /// It comes on it.
    Wanted,
    /// It does not.
    Other,
    /// Neither it nor any that follows.
    Behind,
}

impl Look {
    pub(crate) fn wanted(wanted: bool) -> Self {
        if wanted { Self::Wanted } else { Self::Other }
    }
}

/// A page of at most `limit` rows that are wanted, of those that stand after a place. `rows` reads some of them.
pub(crate) fn fill<T>(
    (start, limit): (String, usize),
    mut rows: impl FnMut(&str, i64) -> Result<Vec<T>, EngineError>,
    place: impl Fn(&T) -> String,
    look: impl Fn(&T) -> Look,
) -> Result<ListPage<T>, EngineError> {
    let mut page = ListPage { found: Vec::new(), next: None };
    let (mut from, mut step, mut looked_at) = (start, limit + 1, 0);
    loop {
        let some = rows(&from, step as i64)?;
        let is_last = some.len() < step;
        looked_at += some.len();
        for row in some {
            match look(&row) {
                Look::Behind => return Ok(page),
                Look::Wanted if page.found.len() == limit => {
                    page.next = Some(from);
                    return Ok(page);
                }
                Look::Wanted => {
                    from = place(&row);
                    page.found.push(row);
                }
                Look::Other => from = place(&row),
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
            let page = fill(
                (start, limit),
                |last, step| {
                    let from = last.parse().map_or(0, |last: usize| last + 1);
                    Ok((from..below).take(step as usize).collect())
                },
                usize::to_string,
                |number| Look::wanted(wanted(*number)),
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

    #[track_caller]
    fn check_names(filter: &str, expected: (&str, &str, &str)) {
        let filter = Filter::parse(filter, &["name", "version"]).expect("valid");
        let names = Names::new(&filter, "r/packages/");
        let looks: String = ["a", "ab", "abc", "ac", "b"]
            .iter()
            .map(|name| match names.look(name, Direction::Up, true) {
                Look::Wanted => 'w',
                Look::Other => 'o',
                Look::Behind => 'b',
            })
            .collect();
        let start = names.start("", Direction::Up);
        assert_eq!((start.as_str(), names.0.as_str(), looks.as_str()), expected);
    }

    #[test]
    fn names_that_can_match() {
        check_names("", ("", "", "wwwww"));
        check_names(r#"name="r/packages/ab*""#, ("a", "ab", "wwwbb"));
        check_names(r#"name="r/packages/a%2Fb""#, ("a/", "a/b", "wbbbb"));
        check_names(r#"name="*ab""#, ("", "", "wwwww"));
        check_names(r#"name="x/packages/ab""#, ("", "", "wwwww"));
    }
}
