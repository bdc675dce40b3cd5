//! The page size that a client requests for a list of OCI Distribution (the query parameter `n`).

/// The largest number of entries in one page.
pub const MAX_PAGE_ENTRIES: usize = 1_000;

/// A page size that is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("n must be a whole number, 0 or more; one page has at most {MAX_PAGE_ENTRIES} entries")]
pub struct PageSizeError;

/// Parses the parameter `n`. A missing parameter, and a number above the limit, become the limit.
pub fn parse_page_size(n: Option<&str>) -> Result<usize, PageSizeError> {
    let Some(n) = n else { return Ok(MAX_PAGE_ENTRIES) };
    if n.is_empty() || !n.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PageSizeError);
    }
    Ok(n.parse().map_or(MAX_PAGE_ENTRIES, |n: usize| n.min(MAX_PAGE_ENTRIES)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(n: &str, expected: Option<usize>) {
        assert_eq!(parse_page_size(Some(n)).ok(), expected, "{n}");
    }

    #[test]
    fn page_sizes() {
        assert_eq!(parse_page_size(None), Ok(MAX_PAGE_ENTRIES));
        check("0", Some(0));
        check("5", Some(5));
        check("1000", Some(1000));
        check("1001", Some(1000));
        check("2147483648", Some(1000));
        check("9223372036854775808", Some(1000));
        check("99999999999999999999999999", Some(1000));
        check("-1", None);
        check("+1", None);
        check("abc", None);
        check("", None);
        check("1.5", None);
    }
}
