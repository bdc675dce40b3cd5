//! How lists are asked for: filters and orders, as Google's APIs write them.

use std::collections::BTreeMap;

/// Which way a list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the least on.
    Up,
    /// From the greatest on.
    Down,
}

impl Direction {
    /// The first of two for the one way, the second for the other.
    pub fn choose<T>(self, [up, down]: [T; 2]) -> T {
        match self {
            Self::Up => up,
            Self::Down => down,
        }
    }
}

/// Why a filter was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A field that this list is not filtered by.
    #[error("cannot filter by {field:?}; this list is filtered by {known}")]
    Field {
        /// What was asked for.
        field: String,
        /// What there is.
        known: String,
    },
    /// Its shape.
    #[error("is not of the form FIELD=\"VALUE\", with AND between several")]
    Shape,
    /// More than anybody needs.
    #[error("has more than {MAX_LENGTH} bytes")]
    TooLong,
}

/// The longest filter.
const MAX_LENGTH: usize = 4_096;

/// Terms that must all hold: `name="projects/…/tags/v1*" AND version="…"`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    terms: Vec<Term>,
    annotations: Vec<Annotation>,
}

/// The field that holds texts under keys: `annotations:*`, `annotations.KEY`, `annotations.KEY:VALUE`.
const ANNOTATIONS: &str = "annotations";

/// There is one with such a key and such a value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Annotation {
    key: Pattern,
    value: Pattern,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    field: String,
    pattern: Pattern,
}

/// A text, with a `*` at either end for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    begins_anyhow: bool,
    ends_anyhow: bool,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let (text, begins_anyhow) = match text.strip_prefix('*') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (text, ends_anyhow) = match text.strip_suffix('*') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        Self { text: text.to_owned(), begins_anyhow, ends_anyhow }
    }

    fn matches(&self, text: &str) -> bool {
        match (self.begins_anyhow, self.ends_anyhow) {
            (false, false) => text == self.text,
            (false, true) => text.starts_with(&self.text),
            (true, false) => text.ends_with(&self.text),
            (true, true) => text.contains(&self.text),
        }
    }

    /// The one text that it matches, if it is just one.
    pub fn exact(&self) -> Option<&str> {
        (!self.begins_anyhow && !self.ends_anyhow).then_some(self.text.as_str())
    }

    /// What every text that it matches begins with.
    pub fn beginning(&self) -> &str {
        if self.begins_anyhow { "" } else { &self.text }
    }
}

impl Filter {
    /// Reads a filter of these fields.
    pub fn parse(text: &str, fields: &[&str]) -> Result<Self, FilterError> {
        if text.len() > MAX_LENGTH {
            return Err(FilterError::TooLong);
        }
        // No name holds one, and PostgreSQL takes no NUL.
        if text.contains(char::is_control) {
            return Err(FilterError::Shape);
        }
        let mut filter = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let after = match fields.contains(&ANNOTATIONS).then(|| take_annotation(rest)).flatten()
            {
                Some(taken) => {
                    let (annotation, after) = taken?;
                    filter.annotations.push(annotation);
                    after
                }
                None => {
                    let (term, after) = take_term(rest, fields)?;
                    filter.terms.push(term);
                    after
                }
            };
            rest = after.trim_start();
            if !rest.is_empty() {
                let (and, next) = rest.split_once(char::is_whitespace).ok_or(FilterError::Shape)?;
                rest = next.trim_start();
                if !and.eq_ignore_ascii_case("AND") || rest.is_empty() {
                    return Err(FilterError::Shape);
                }
            }
        }
        Ok(filter)
    }

    /// Whether everything matches it.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty() && self.annotations.is_empty()
    }

    /// What is asked of a field first.
    pub fn pattern(&self, field: &str) -> Option<&Pattern> {
        self.terms.iter().find(|term| term.field == field).map(|term| &term.pattern)
    }

    /// Whether something matches it whose fields have these values.
    pub fn matches(&self, value: impl Fn(&str) -> String) -> bool {
        self.terms.iter().all(|term| term.pattern.matches(&value(&term.field)))
    }

    /// Whether something matches it that has these annotations, which are read where they are asked for.
    pub fn matches_annotations(&self, read: impl FnOnce() -> BTreeMap<String, String>) -> bool {
        if self.annotations.is_empty() {
            return true;
        }
        let all = read();
        self.annotations.iter().all(|wanted| {
            all.iter().any(|(key, value)| wanted.key.matches(key) && wanted.value.matches(value))
        })
    }
}

/// A term at the beginning of a text, and what follows it.
fn take_term<'a>(text: &'a str, fields: &[&str]) -> Result<(Term, &'a str), FilterError> {
    let (field, value) = text.split_once('=').ok_or(FilterError::Shape)?;
    let field = field.trim_end();
    let known = fields.iter().find(|known| is_same_field(known, field));
    let field = known.copied().ok_or_else(|| FilterError::Field {
        field: field.chars().take(100).collect(),
        known: fields.join(", "),
    })?;
    let (value, after) = take_value(value.trim_start())?;
    Ok((Term { field: field.to_owned(), pattern: Pattern::new(value) }, after))
}

/// What is asked of annotations at the beginning of a text, with what follows it; perhaps in quotes as a whole.
fn take_annotation(text: &str) -> Option<Result<(Annotation, &str), FilterError>> {
    let (text, quote) = match text.strip_prefix('"') {
        Some(text) => (text, "\""),
        None => (text, ""),
    };
    let (field, rest) = text.split_at_checked(ANNOTATIONS.len())?;
    let is_it = field.eq_ignore_ascii_case(ANNOTATIONS)
        && (rest.is_empty() || rest.starts_with(['.', ':', '=', ' ', '"']));
    is_it.then(|| {
        let (key, rest) = match rest.strip_prefix('.') {
            Some(rest) => take_word(rest)?,
            None => ("*", rest),
        };
        let (value, rest) = match rest.strip_prefix([':', '=']) {
            Some(rest) => take_word(rest)?,
            None => ("*", rest),
        };
        let rest = rest.strip_prefix(quote).ok_or(FilterError::Shape)?;
        Ok((Annotation { key: Pattern::new(key), value: Pattern::new(value) }, rest))
    })
}

/// A key or a value, which in backticks or quotes may hold everything but these.
fn take_word(text: &str) -> Result<(&str, &str), FilterError> {
    for quote in ['`', '"'] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote).ok_or(FilterError::Shape);
        }
    }
    let is_end = |c: char| c.is_whitespace() || matches!(c, ':' | '=' | '"' | '`');
    let (word, rest) = text.split_at(text.find(is_end).unwrap_or(text.len()));
    if word.is_empty() { Err(FilterError::Shape) } else { Ok((word, rest)) }
}

/// A value at the beginning of a text, in quotes or up to the next space, and what follows it.
fn take_value(text: &str) -> Result<(&str, &str), FilterError> {
    if let Some(quoted) = text.strip_prefix('"') {
        // No name of ours holds a quote.
        return quoted.split_once('"').ok_or(FilterError::Shape);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (value, rest) = text.split_at(end);
    if value.is_empty() || value.contains(['"', '=']) {
        Err(FilterError::Shape)
    } else {
        Ok((value, rest))
    }
}

/// `update_time`, `updateTime` and `UPDATE_TIME` are one field.
fn is_same_field(known: &str, wanted: &str) -> bool {
    let letters = |text: &str| -> String {
        text.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
    };
    letters(known) == letters(wanted)
}

/// Why an order was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot order by {wanted:?}; this list is ordered by one of {known}, with or without asc or desc behind it; others may follow the name"
)]
pub struct OrderError {
    wanted: String,
    known: String,
}

/// Reads an order by one of these fields. `None`: none was asked for. No two of a list have one name, so that what may
/// stand behind it decides nothing.
pub fn order<'a>(
    text: &str,
    fields: &[&'a str],
) -> Result<Option<(&'a str, Direction)>, OrderError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let refused =
        || OrderError { wanted: text.chars().take(100).collect(), known: fields.join(", ") };
    let mut parts = text.split(',').map(|part| order_by_one(part, fields));
    let first = parts.next().flatten().ok_or_else(refused)?;
    let mut rest = parts.peekable();
    let is_served = rest.peek().is_none() || first.0 == "name";
    if is_served && rest.all(|part| part.is_some()) { Ok(Some(first)) } else { Err(refused()) }
}

fn order_by_one<'a>(text: &str, fields: &[&'a str]) -> Option<(&'a str, Direction)> {
    let mut words = text.split_whitespace();
    let field = words.next()?;
    let field = fields.iter().find(|known| is_same_field(known, field))?;
    let direction = match words.next() {
        None => Direction::Up,
        Some(word) if word.eq_ignore_ascii_case("asc") => Direction::Up,
        Some(word) if word.eq_ignore_ascii_case("desc") => Direction::Down,
        Some(_) => return None,
    };
    words.next().is_none().then_some((*field, direction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: &str, name: &str, expected: &str) {
        let actual = match Filter::parse(filter, &["name", "version"]) {
            Ok(filter) => filter.matches(|field| format!("{field}:{name}")).to_string(),
            Err(error) => match error {
                FilterError::Field { field, .. } => format!("no {field}"),
                FilterError::Shape => "shape".to_owned(),
                FilterError::TooLong => "too long".to_owned(),
            },
        };
        assert_eq!(actual, expected, "{filter}");
    }

    #[test]
    fn filters() {
        check("", "a", "true");
        check(r#"name="name:a""#, "a", "true");
        check(r#"name="name:b""#, "a", "false");
        check("name=name:a", "a", "true");
        check(r#" NAME = "name:a" "#, "a", "true");
        check(r#"name="name:*""#, "a", "true");
        check(r#"name="*:a""#, "a", "true");
        check(r#"name="*me*""#, "a", "true");
        check(r#"name="*x*""#, "a", "false");
        check(r#"name="*""#, "a", "true");
        check(r#"name="n*a""#, "na", "false");
        check(r#"name="%""#, "a", "false");
        check(r#"name="name:a" AND version="version:*""#, "a", "true");
        check(r#"name="name:a" AND version="x""#, "a", "false");
        check(r#"name="name:a" AND name="x""#, "a", "false");
        check(r#"name="name:a" and version="version:a""#, "a", "true");
        check("name=\"a\0\"", "a", "shape");
        check("name=\"a\nb\"", "a", "shape");
        check(r#"owner="x""#, "a", "no owner");
        check(r#"name:"x""#, "a", "shape");
        check(r#"name!="x""#, "a", "no name!");
        check(r#"name=""#, "a", "shape");
        check(r#"name="x"#, "a", "shape");
        check(r#"name="x" OR name="y""#, "a", "shape");
        check(r#"name="x" AND"#, "a", "shape");
        check(r#"name="x" ANDname="y""#, "a", "shape");
        check(r#"name="x" name="y""#, "a", "shape");
        check("x", "a", "shape");
        check(&format!("name={}", "x".repeat(MAX_LENGTH)), "a", "too long");
    }

    #[track_caller]
    fn check_annotations(filter: &str, expected: &str) {
        let annotations = || {
            let pairs = [("team", "web"), ("my.key", "https://example.com/a")];
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
        };
        let actual = match Filter::parse(filter, &["name", "annotations"]) {
            Ok(filter) => {
                let none = filter.matches_annotations(BTreeMap::new);
                format!(
                    "{}{}",
                    filter.matches_annotations(annotations),
                    if none { " always" } else { "" }
                )
            }
            Err(error) => format!("{error:?}").chars().take_while(|c| c.is_alphabetic()).collect(),
        };
        assert_eq!(actual, expected, "{filter}");
    }

    #[test]
    fn filters_by_annotations() {
        check_annotations("", "true always");
        check_annotations("annotations:*", "true");
        check_annotations("annotations", "true");
        check_annotations("ANNOTATIONS.team", "true");
        check_annotations("annotations.team:web", "true");
        check_annotations("annotations.team=web", "true");
        check_annotations("annotations.team:api", "false");
        check_annotations("annotations.other", "false");
        check_annotations("annotations.`my.key`:`https://example.com/a`", "true");
        check_annotations("annotations.*key:`*example.com*`", "true");
        check_annotations("annotations.te*:w*", "true");
        check_annotations("\"annotations.team:web\"", "true");
        check_annotations("annotations.team:\"web\"", "true");
        check_annotations("annotations.team:web AND annotations.other", "false");
        check_annotations("annotations.team:web AND annotations.`my.key`", "true");
        check_annotations("name=\"*\" AND annotations.team:web", "true");
        // The key and the value are of the same one.
        check_annotations("annotations.team:https*", "false");
        check_annotations("annotations.team:", "Shape");
        check_annotations("annotations.", "Shape");
        check_annotations("annotations.`team", "Shape");
        check_annotations("\"annotations.team:web", "Shape");
        check_annotations("annotations.team:web:api", "Shape");
        check_annotations("annotations.team:web OR annotations.other", "Shape");
        check_annotations("annotationsx=1", "Field");
        assert!(Filter::parse("annotations:*", &["name"]).is_err());
    }

    #[test]
    fn what_a_pattern_begins_with() {
        let filter = Filter::parse(r#"name="ab*" AND version="*ab""#, &["name", "version"]);
        let filter = filter.expect("valid");
        let name = filter.pattern("name").expect("asked for");
        assert_eq!((name.beginning(), name.exact()), ("ab", None));
        let version = filter.pattern("version").expect("asked for");
        assert_eq!((version.beginning(), version.exact()), ("", None));
        assert_eq!(Pattern::new("ab").exact(), Some("ab"));
    }

    #[track_caller]
    fn check_order(text: &str, expected: Option<&str>) {
        let actual = order(text, &["name", "update_time"]).map(|order| match order {
            Some((field, Direction::Up)) => format!("{field} up"),
            Some((field, Direction::Down)) => format!("{field} down"),
            None => "any".to_owned(),
        });
        assert_eq!(actual.ok().as_deref(), expected, "{text}");
    }

    #[test]
    fn orders() {
        check_order("", Some("any"));
        check_order("name", Some("name up"));
        check_order("NAME asc", Some("name up"));
        check_order("update_time desc", Some("update_time down"));
        check_order("updateTime DESC", Some("update_time down"));
        check_order("UPDATE_TIME  desc ", Some("update_time down"));
        check_order("size", None);
        check_order("name down", None);
        check_order(" ", Some("any"));
        check_order("name,update_time", Some("name up"));
        check_order("name desc , updateTime asc", Some("name down"));
        check_order("update_time,name", None);
        check_order("name,", None);
        check_order(",name", None);
        check_order("name,size", None);
        check_order("name,update_time down", None);
        check_order("name desc update_time", None);
    }
}
