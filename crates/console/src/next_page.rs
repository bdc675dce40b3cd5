//! The page that a viewer comes to after a form: one of the console's own.

use axum::response::Response;

use crate::links::ROOT;
use crate::page::redirect;
use crate::query::Fields;
use crate::request::ConsoleRequest;

/// Returns the address to which a viewer goes after a form, if it is one of the console's own pages.
pub(crate) fn next_of(fields: &Fields) -> String {
    let next = fields.get("next").filter(|next| is_own_page(next));
    next.unwrap_or(ROOT).to_owned()
}

/// Returns whether an address is a path of the console. A browser reads a backslash as a slash, and leaves out control
/// characters.
fn is_own_page(address: &str) -> bool {
    address.starts_with(ROOT)
        && !address.contains("//")
        && address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !address.split(['?', '#']).next().unwrap_or_default().contains("..")
}

/// Answers with the next page.
pub(crate) fn go_on(request: &ConsoleRequest, fields: &Fields) -> Response {
    redirect(request, &next_of(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_pages_come_next() {
        for own in ["/console/", "/console/my-project/r?sort=-pushed#table", "/console/-/you"] {
            assert!(is_own_page(own), "{own}");
        }
        for other in [
            "",
            "/",
            "/v2/",
            "//evil.example",
            "/console/..//evil.example",
            "/console/../v2/",
            "/console//evil.example",
            "/\\evil.example",
            "/console/\\evil.example",
            "https:evil.example",
            "https://evil.example/console/",
            "/console/a\r\nSet-Cookie: x",
            "/console/\u{202e}",
            "/consolex",
            "javascript:alert(1)",
        ] {
            assert!(!is_own_page(other), "{other}");
        }
    }
}
