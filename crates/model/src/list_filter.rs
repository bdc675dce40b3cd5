//! Filters and orders of lists, in the syntax of Google's APIs (the request fields `filter` and `order_by`).

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The direction in which a list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortDirection {
    /// Ascending.
    Ascending,
    /// Descending.
    Descending,
}

impl SortDirection {
    /// Returns the order of two rows in this direction. `ascending` is their order in the ascending one.
    pub fn order(self, ascending: Ordering) -> Ordering {
        match self {
            Self::Ascending => ascending,
            Self::Descending => ascending.reverse(),
        }
    }

    /// Returns the other direction.
    pub fn opposite(self) -> Self {
        self.choose([Self::Descending, Self::Ascending])
    }

    /// Returns the first of two values if the direction is ascending, otherwise the second.
    pub fn choose<T>(self, [up, down]: [T; 2]) -> T {
        match self {
            Self::Ascending => up,
            Self::Descending => down,
        }
    }
}

/// The reasons why a filter is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// This list cannot be filtered by the field.
    #[error("cannot filter by {field:?}; this list can be filtered by {known}")]
    UnknownField {
        /// The field that the filter names.
        field: String,
        /// The fields that the list can be filtered by.
        known: String,
    },
    /// The filter has another syntax.
    #[error("must have the form FIELD=\"VALUE\"; several terms are joined by AND")]
    Malformed,
    /// The filter is longer than anybody needs.
    #[error("has more than {MAX_FILTER_BYTES} bytes")]
    TooLong,
}

/// The largest length of a filter, in bytes.
const MAX_FILTER_BYTES: usize = 4_096;

/// Terms that must all match: `name="projects/…/tags/v1*" AND version="…"`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFilter {
    terms: Vec<FieldTerm>,
    annotations: Vec<AnnotationTerm>,
}

/// The only field that is a map: `annotations:*`, `annotations.KEY`, `annotations.KEY:VALUE`.
const ANNOTATIONS: &str = "annotations";

/// A term that matches if one annotation matches both patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AnnotationTerm {
    key: FilterPattern,
    value: FilterPattern,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldTerm {
    field: String,
    pattern: FilterPattern,
}

/// The value of a filter's term: a text that may have `*` at either end, which stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterPattern {
    text: String,
    has_open_start: bool,
    has_open_end: bool,
}

impl FilterPattern {
    fn new(text: &str) -> Self {
        let (text, has_open_start) = match text.strip_prefix('*') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (text, has_open_end) = match text.strip_suffix('*') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        Self { text: text.to_owned(), has_open_start, has_open_end }
    }

    fn matches(&self, text: &str) -> bool {
        match (self.has_open_start, self.has_open_end) {
            (false, false) => text == self.text,
            (false, true) => text.starts_with(&self.text),
            (true, false) => text.ends_with(&self.text),
            (true, true) => text.contains(&self.text),
        }
    }

    /// Returns the only text that the pattern matches, if it has no `*`.
    pub fn exact_text(&self) -> Option<&str> {
        (!self.has_open_start && !self.has_open_end).then_some(self.text.as_str())
    }

    /// Returns the text that all matching texts begin with. It is empty if the pattern begins with `*`.
    pub fn prefix(&self) -> &str {
        if self.has_open_start { "" } else { &self.text }
    }
}

impl ListFilter {
    /// Parses a filter of a list that can be filtered by `fields`.
    pub fn parse(text: &str, fields: &[&str]) -> Result<Self, FilterError> {
        if text.len() > MAX_FILTER_BYTES {
            return Err(FilterError::TooLong);
        }
        // No name has control characters, and PostgreSQL accepts no NUL in a text.
        if text.contains(char::is_control) {
            return Err(FilterError::Malformed);
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
                let (and, next) =
                    rest.split_once(char::is_whitespace).ok_or(FilterError::Malformed)?;
                rest = next.trim_start();
                if !and.eq_ignore_ascii_case("AND") || rest.is_empty() {
                    return Err(FilterError::Malformed);
                }
            }
        }
        Ok(filter)
    }

    /// Returns whether the filter has no terms, so that everything matches.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty() && self.annotations.is_empty()
    }

    /// Returns the pattern of the first term for a field.
    pub fn pattern(&self, field: &str) -> Option<&FilterPattern> {
        self.terms.iter().find(|term| term.field == field).map(|term| &term.pattern)
    }

    /// Returns whether a list entry matches the terms for fields; `value` returns the entry's value of a field.
    /// Annotations are not checked here.
    pub fn matches(&self, value: impl Fn(&str) -> String) -> bool {
        self.terms.iter().all(|term| term.pattern.matches(&value(&term.field)))
    }

    /// Returns whether a list entry matches the terms for annotations. `read` is called only if there are such terms.
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

/// Parses the term at the beginning of a text, and returns it with the rest of the text.
fn take_term<'a>(text: &'a str, fields: &[&str]) -> Result<(FieldTerm, &'a str), FilterError> {
    let (field, value) = text.split_once('=').ok_or(FilterError::Malformed)?;
    let field = field.trim_end();
    let known = fields.iter().find(|known| is_same_field(known, field));
    let field = known.copied().ok_or_else(|| FilterError::UnknownField {
        field: field.chars().take(100).collect(),
        known: fields.join(", "),
    })?;
    let (value, after) = take_value(value.trim_start())?;
    Ok((FieldTerm { field: field.to_owned(), pattern: FilterPattern::new(value) }, after))
}

/// Parses the term for annotations at the beginning of a text, and returns it with the rest of the text. The whole term
/// may be in quotes. Returns `None` if the text does not begin with such a term.
fn take_annotation(text: &str) -> Option<Result<(AnnotationTerm, &str), FilterError>> {
    let (text, quote) = match text.strip_prefix('"') {
        Some(text) => (text, "\""),
        None => (text, ""),
    };
    let (field, rest) = text.split_at_checked(ANNOTATIONS.len())?;
    let is_annotation_term = field.eq_ignore_ascii_case(ANNOTATIONS)
        && (rest.is_empty() || rest.starts_with(['.', ':', '=', ' ', '"']));
    is_annotation_term.then(|| {
        let (key, rest) = match rest.strip_prefix('.') {
            Some(rest) => take_word(rest)?,
            None => ("*", rest),
        };
        let (value, rest) = match rest.strip_prefix([':', '=']) {
            Some(rest) => take_word(rest)?,
            None => ("*", rest),
        };
        let rest = rest.strip_prefix(quote).ok_or(FilterError::Malformed)?;
        Ok((
            AnnotationTerm { key: FilterPattern::new(key), value: FilterPattern::new(value) },
            rest,
        ))
    })
}

/// Splits the key or value of an annotation from the beginning of a text. In backticks or quotes, the key or value may
/// have any character except the one that it is quoted with.
fn take_word(text: &str) -> Result<(&str, &str), FilterError> {
    for quote in ['`', '"'] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote).ok_or(FilterError::Malformed);
        }
    }
    let is_end = |c: char| c.is_whitespace() || matches!(c, ':' | '=' | '"' | '`');
    let (word, rest) = text.split_at(text.find(is_end).unwrap_or(text.len()));
    if word.is_empty() { Err(FilterError::Malformed) } else { Ok((word, rest)) }
}

/// Splits a value from the beginning of a text. The value is in quotes, or ends at the next space.
fn take_value(text: &str) -> Result<(&str, &str), FilterError> {
    if let Some(quoted) = text.strip_prefix('"') {
        // No name has a quote, so that no escapes are needed.
        return quoted.split_once('"').ok_or(FilterError::Malformed);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (value, rest) = text.split_at(end);
    if value.is_empty() || value.contains(['"', '=']) {
        Err(FilterError::Malformed)
    } else {
        Ok((value, rest))
    }
}

/// Returns whether two spellings are the same field: `update_time`, `updateTime` and `UPDATE_TIME` are.
fn is_same_field(known: &str, wanted: &str) -> bool {
    let letters = |text: &str| -> String {
        text.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
    };
    letters(known) == letters(wanted)
}

/// An order that this list cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot order by {wanted:?}; this list can be ordered by one of {known}, followed by asc, desc or neither; after name, more fields may follow"
)]
pub struct OrderError {
    wanted: String,
    known: String,
}

/// Parses the order of a list that can be ordered by `fields`. Returns `None` if the text is empty.
///
/// More fields may follow `name`, and are ignored: no two entries of a list have the same name, so that the other
/// fields change nothing.
pub fn parse_order<'a>(
    text: &str,
    fields: &[&'a str],
) -> Result<Option<(&'a str, SortDirection)>, OrderError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let refused =
        || OrderError { wanted: text.chars().take(100).collect(), known: fields.join(", ") };
    let mut parts = text.split(',').map(|part| parse_order_field(part, fields));
    let first = parts.next().flatten().ok_or_else(refused)?;
    let mut rest = parts.peekable();
    let is_served = rest.peek().is_none() || first.0 == "name";
    if is_served && rest.all(|part| part.is_some()) { Ok(Some(first)) } else { Err(refused()) }
}

fn parse_order_field<'a>(text: &str, fields: &[&'a str]) -> Option<(&'a str, SortDirection)> {
    let mut words = text.split_whitespace();
    let field = words.next()?;
    let field = fields.iter().find(|known| is_same_field(known, field))?;
    let direction = match words.next() {
        None => SortDirection::Ascending,
        Some(word) if word.eq_ignore_ascii_case("asc") => SortDirection::Ascending,
        Some(word) if word.eq_ignore_ascii_case("desc") => SortDirection::Descending,
        Some(_) => return None,
    };
    words.next().is_none().then_some((*field, direction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: &str, name: &str, expected: &str) {
        let actual = match ListFilter::parse(filter, &["name", "version"]) {
            Ok(filter) => filter.matches(|field| format!("{field}:{name}")).to_string(),
            Err(error) => match error {
                FilterError::UnknownField { field, .. } => format!("no {field}"),
                FilterError::Malformed => "malformed".to_owned(),
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
        check("name=\"a\0\"", "a", "malformed");
        check("name=\"a\nb\"", "a", "malformed");
        check(r#"owner="x""#, "a", "no owner");
        check(r#"name:"x""#, "a", "malformed");
        check(r#"name!="x""#, "a", "no name!");
        check(r#"name=""#, "a", "malformed");
        check(r#"name="x"#, "a", "malformed");
        check(r#"name="x" OR name="y""#, "a", "malformed");
        check(r#"name="x" AND"#, "a", "malformed");
        check(r#"name="x" ANDname="y""#, "a", "malformed");
        check(r#"name="x" name="y""#, "a", "malformed");
        check("x", "a", "malformed");
        check(&format!("name={}", "x".repeat(MAX_FILTER_BYTES)), "a", "too long");
    }

    #[track_caller]
    fn check_annotations(filter: &str, expected: &str) {
        let annotations = || {
            let pairs = [("team", "web"), ("my.key", "https://example.com/a")];
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
        };
        let actual = match ListFilter::parse(filter, &["name", "annotations"]) {
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
        // The key and the value must be of the same annotation.
        check_annotations("annotations.team:https*", "false");
        check_annotations("annotations.team:", "Malformed");
        check_annotations("annotations.", "Malformed");
        check_annotations("annotations.`team", "Malformed");
        check_annotations("\"annotations.team:web", "Malformed");
        check_annotations("annotations.team:web:api", "Malformed");
        check_annotations("annotations.team:web OR annotations.other", "Malformed");
        check_annotations("annotationsx=1", "UnknownField");
        assert!(ListFilter::parse("annotations:*", &["name"]).is_err());
    }

    #[test]
    fn beginnings_of_patterns() {
        let filter = ListFilter::parse(r#"name="ab*" AND version="*ab""#, &["name", "version"]);
        let filter = filter.expect("valid");
        let name = filter.pattern("name").expect("asked for");
        assert_eq!((name.prefix(), name.exact_text()), ("ab", None));
        let version = filter.pattern("version").expect("asked for");
        assert_eq!((version.prefix(), version.exact_text()), ("", None));
        assert_eq!(FilterPattern::new("ab").exact_text(), Some("ab"));
    }

    #[track_caller]
    fn check_order(text: &str, expected: Option<&str>) {
        let actual = parse_order(text, &["name", "update_time"]).map(|order| match order {
            Some((field, SortDirection::Ascending)) => format!("{field} up"),
            Some((field, SortDirection::Descending)) => format!("{field} down"),
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
