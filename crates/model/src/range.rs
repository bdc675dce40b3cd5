//! Byte ranges: where a chunk of an upload belongs, and which part of a blob a download wants.

/// The largest blob: 5 TB, as Artifact Registry has it, counted in powers of two.
pub const MAX_BLOB_BYTES: u64 = 5 << 40;

/// Where a chunk of an upload belongs: both ends count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte's offset.
    pub start: u64,
    /// The last byte's offset.
    pub end: u64,
}

impl ContentRange {
    /// Reads `START-END` as OCI Distribution has it; `bytes START-END/TOTAL` is understood as well.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("bytes").map_or(text, str::trim_start);
        let text = text.split_once('/').map_or(text, |(range, _)| range);
        let (start, end) = text.split_once('-')?;
        let (start, end) = (number(start)?, number(end)?);
        (start <= end && end < u64::MAX).then_some(Self { start, end })
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// What a Range header asks of content of some size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// Everything: there is no range, or none that we serve.
    Whole,
    /// One part.
    Part {
        /// Where it begins.
        start: u64,
        /// How long it is, at least 1.
        length: u64,
    },
    /// Nothing of it exists.
    Unsatisfiable,
}

/// Reads a Range header. Several ranges, other units and nonsense are answered with everything, as HTTP
/// allows: there is nothing to amplify.
pub fn byte_range(header: Option<&str>, size: u64) -> ByteRange {
    let Some(range) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return ByteRange::Whole;
    };
    let Some((start, end)) = range.trim().split_once('-') else { return ByteRange::Whole };
    let (start, end) = (start.trim(), end.trim());
    let (first, last) = if start.is_empty() {
        match lenient(end) {
            None => return ByteRange::Whole,
            Some(0) => return ByteRange::Unsatisfiable,
            Some(suffix) => (size.saturating_sub(suffix), u64::MAX),
        }
    } else {
        let last = if end.is_empty() { Some(u64::MAX) } else { lenient(end) };
        match (lenient(start), last) {
            // HTTP leaves the answer open; the conformance suite asks for this one.
            (Some(first), Some(last)) if first > last => return ByteRange::Unsatisfiable,
            (Some(first), Some(last)) => (first, last),
            _ => return ByteRange::Whole,
        }
    };
    if first >= size {
        return ByteRange::Unsatisfiable;
    }
    ByteRange::Part { start: first, length: last.min(size - 1) - first + 1 }
}

/// A number too large to hold is as good as the largest.
fn lenient(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_content(text: &str, expected: Option<(u64, u64)>) {
        let actual = ContentRange::parse(text).map(|range| (range.start, range.end));
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn content_ranges() {
        check_content("0-9", Some((0, 9)));
        check_content("bytes 10-19/*", Some((10, 19)));
        check_content("bytes=10-19", None);
        check_content("5-5", Some((5, 5)));
        check_content("9-0", None);
        check_content("0-", None);
        check_content("-5", None);
        check_content("a-b", None);
        check_content("0-18446744073709551615", None);
        check_content("0-99999999999999999999", None);
        check_content("+1-2", None);
        check_content("", None);
        // The last chunk of a blob of 5 TB.
        check_content(
            "5497558138870-5497558138879",
            Some((MAX_BLOB_BYTES - 10, MAX_BLOB_BYTES - 1)),
        );
    }

    #[track_caller]
    fn check(header: &str, size: u64, expected: &str) {
        let actual = match byte_range(Some(header), size) {
            ByteRange::Whole => "whole".to_owned(),
            ByteRange::Unsatisfiable => "none".to_owned(),
            ByteRange::Part { start, length } => format!("{start}+{length}"),
        };
        assert_eq!(actual, expected, "{header} of {size}");
    }

    #[test]
    fn byte_ranges() {
        assert_eq!(byte_range(None, 10), ByteRange::Whole);
        check("bytes=0-0", 10, "0+1");
        check("bytes=2-", 10, "2+8");
        check("bytes=2-100", 10, "2+8");
        check("bytes=-3", 10, "7+3");
        check("bytes=-30", 10, "0+10");
        check("bytes=-0", 10, "none");
        check("bytes=10-", 10, "none");
        check("bytes=9223372036854775808-", 10, "none");
        check("bytes=0-99999999999999999999999", 10, "0+10");
        check("bytes=0-", 0, "none");
        check("bytes=5-2", 10, "none");
        check("bytes=0-1,3-4", 10, "whole");
        check("bytes=-", 10, "whole");
        check("bytes=a-b", 10, "whole");
        check("items=0-1", 10, "whole");
        check("bytes=0-9007199254740993", u64::MAX, "0+9007199254740994");
    }
}
