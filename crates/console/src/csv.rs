//! Files for spreadsheets.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use jiff::Timestamp;
use model::name::RepositoryId;

use crate::page::secured;
use crate::request::ConsoleRequest;

/// The most rows of a file.
const MAX_ROWS: usize = 5_000;
/// The most pages of the list that are read for a file, also where few rows match.
const MAX_PAGES: usize = 20;
/// The number of rows that are read at once.
pub(crate) const ROWS_AT_ONCE: usize = 1_000;

/// The text of a file, as RFC 4180 has it.
pub(crate) struct CsvFile {
    text: String,
    rows: usize,
    pages: usize,
}

impl CsvFile {
    /// Returns a file with the names of its columns alone.
    pub(crate) fn new(columns: &str) -> Self {
        Self { text: format!("{columns}\r\n"), rows: 0, pages: 0 }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, fields: &[String]) {
        self.rows += 1;
        let fields: Vec<_> = fields.iter().map(|field| escaped(field)).collect();
        self.text.push_str(&fields.join(","));
        self.text.push_str("\r\n");
    }

    /// Ends a page of the list. Returns the position of the next one, or `None` at the end of the list or of the file.
    pub(crate) fn end_page(&mut self, next: Option<String>) -> Option<String> {
        self.pages += 1;
        let is_full = self.pages >= MAX_PAGES || self.rows >= MAX_ROWS;
        if is_full && next.is_some() {
            self.text.push_str("# there is more: narrow the filter\r\n");
            return None;
        }
        next
    }

    /// Answers with the file, which is named after a repository and what it lists.
    pub(crate) fn answer(
        self,
        request: &ConsoleRequest,
        name: &RepositoryId,
        what: &str,
    ) -> Response {
        let response = Response::builder()
            .header(CONTENT_TYPE, "text/csv; charset=utf-8")
            .header(CONTENT_DISPOSITION, format!("attachment; filename=\"{name}-{what}.csv\""))
            .body(Body::from(self.text))
            .expect("a repository's name has only letters, digits and dashes");
        secured(request, response)
    }
}

/// Returns a time as files have it.
pub(crate) fn time_text(at: i64) -> String {
    Timestamp::from_microsecond(at).map_or(String::new(), |at| at.to_string())
}

/// Returns a field as a file has it. A spreadsheet would run a field that begins with one of some characters as a
/// formula: an apostrophe before it makes it text.
fn escaped(field: &str) -> String {
    let guard = if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    let field = format!("{guard}{field}");
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_texts_for_spreadsheets() {
        for (field, expected) in [
            ("v1", "v1"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-x,y", "\"'-x,y\""),
        ] {
            assert_eq!(escaped(field), expected);
        }
    }

    #[test]
    fn files_end_where_they_are_long() {
        let mut file = CsvFile::new("n");
        let mut pages = 0;
        while file.end_page(Some("more".to_owned())).is_some() {
            pages += 1;
        }
        assert_eq!(pages + 1, MAX_PAGES);
        assert!(file.text.ends_with("# there is more: narrow the filter\r\n"));
        let mut file = CsvFile::new("n");
        (0..MAX_ROWS).for_each(|_| file.push(&["1".to_owned()]));
        assert_eq!(file.end_page(None), None);
        assert!(!file.text.contains('#'));
    }
}
