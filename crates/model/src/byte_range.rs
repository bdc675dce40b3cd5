//! Byte ranges: where a chunk of an upload belongs, and which part of a blob a download wants.

/// The largest blob: 5 TB, as Artifact Registry has it, counted in powers of two.
pub const MAX_BLOB_BYTES: u64 = 5 << 40;

/// The part of a blob that one chunk of an upload carries. Both ends are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// The offset of the first byte.
    pub start: u64,
    /// The offset of the last byte.
    pub end: u64,
}

impl ContentRange {
    /// Parses `START-END`, the form of OCI Distribution, or `bytes START-END/TOTAL`, the form of HTTP.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("bytes").map_or(text, str::trim_start);
        let text = text.split_once('/').map_or(text, |(range, _)| range);
        let (start, end) = text.split_once('-')?;
        let (start, end) = (parse_offset(start)?, parse_offset(end)?);
        (start <= end && end < u64::MAX).then_some(Self { start, end })
    }
}

fn parse_offset(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// The largest number of ranges that one answer has.
const MAX_RANGES: usize = 100;

/// A part of a blob or a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The offset of the first byte.
    pub start: u64,
    /// The number of bytes, at least 1.
    pub length: u64,
}

impl ByteRange {
    /// Returns the offset of the last byte.
    pub fn last(&self) -> u64 {
        self.start + self.length - 1
    }
}

/// The part of some content that a Range header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeSelection {
    /// All of the content: the header is missing, or is one that we do not serve.
    Whole,
    /// One part.
    One(ByteRange),
    /// Several parts in ascending order. They do not overlap, and together they are shorter than the content.
    Several(Vec<ByteRange>),
    /// Nothing: none of the ranges is within the content.
    Unsatisfiable,
}

/// Parses a Range header for content of `size` bytes.
///
/// The answer is [`RangeSelection::Whole`] if the unit is not `bytes`, if the header is malformed, or if several ranges
/// overlap, are out of order or cover everything. HTTP allows to ignore such a header, and so no request can make the
/// server send more than the content once.
pub fn select_ranges(header: Option<&str>, size: u64) -> RangeSelection {
    let Some((unit, set)) = header.and_then(|header| header.split_once('=')) else {
        return RangeSelection::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return RangeSelection::Whole;
    }
    let is_one = !set.contains(',');
    let (mut parts, mut count): (Vec<ByteRange>, _) = (Vec::new(), 0);
    for range in set.split(',').map(str::trim).filter(|range| is_one || !range.is_empty()) {
        count += 1;
        match RangeSpec::parse(range) {
            None => return RangeSelection::Whole,
            // HTTP does not say how to answer this; OCI's conformance suite expects 416.
            Some(RangeSpec::Reversed) if is_one => return RangeSelection::Unsatisfiable,
            Some(RangeSpec::Reversed) => return RangeSelection::Whole,
            Some(spec) => parts.extend(spec.within(size)),
        }
        if count > MAX_RANGES {
            return RangeSelection::Whole;
        }
    }
    let is_ascending = parts.windows(2).all(|pair| pair[0].last() < pair[1].start);
    let total = parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.length));
    match parts.as_slice() {
        [] if count == 0 => RangeSelection::Whole,
        [] => RangeSelection::Unsatisfiable,
        [part] => RangeSelection::One(*part),
        _ if is_ascending && total.is_some_and(|sum| sum < size) => RangeSelection::Several(parts),
        _ => RangeSelection::Whole,
    }
}

/// One range of a Range header, before it is compared with the size of the content (RFC 9110, section 14.1.1).
#[derive(Clone, Copy)]
enum RangeSpec {
    /// The bytes from the first offset to the second. The second may lie beyond the end of the content.
    Bounded(u64, u64),
    /// The last bytes, of this number.
    Suffix(u64),
    /// A range whose first offset is larger than its second.
    Reversed,
}

impl RangeSpec {
    fn parse(text: &str) -> Option<Self> {
        let (start, end) = text.split_once('-')?;
        let (start, end) = (start.trim(), end.trim());
        if start.is_empty() {
            return Some(Self::Suffix(parse_saturating(end)?));
        }
        let first = parse_saturating(start)?;
        let last = if end.is_empty() { u64::MAX } else { parse_saturating(end)? };
        Some(if first > last { Self::Reversed } else { Self::Bounded(first, last) })
    }

    /// Returns the part of the range that lies within content of this size.
    fn within(self, size: u64) -> Option<ByteRange> {
        let (first, last) = match self {
            Self::Bounded(first, last) => (first, last),
            Self::Suffix(0) | Self::Reversed => return None,
            Self::Suffix(length) => (size.saturating_sub(length), u64::MAX),
        };
        let overlaps = first < size;
        overlaps.then(|| ByteRange { start: first, length: last.min(size - 1) - first + 1 })
    }
}

/// Parses a number. One that does not fit into 64 bits becomes the largest that does: no content is as long.
fn parse_saturating(text: &str) -> Option<u64> {
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
        // The last chunk of the largest blob.
        check_content(
            "5497558138870-5497558138879",
            Some((MAX_BLOB_BYTES - 10, MAX_BLOB_BYTES - 1)),
        );
    }

    #[track_caller]
    fn check(header: &str, size: u64, expected: &str) {
        let part = |part: &ByteRange| format!("{}+{}", part.start, part.length);
        let actual = match super::select_ranges(Some(header), size) {
            RangeSelection::Whole => "whole".to_owned(),
            RangeSelection::Unsatisfiable => "none".to_owned(),
            RangeSelection::One(one) => part(&one),
            RangeSelection::Several(several) => {
                several.iter().map(part).collect::<Vec<_>>().join(" ")
            }
        };
        assert_eq!(actual, expected, "{header} of {size}");
    }

    #[test]
    fn byte_ranges() {
        assert_eq!(select_ranges(None, 10), RangeSelection::Whole);
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
        check("bytes=-", 10, "whole");
        check("bytes=a-b", 10, "whole");
        check("items=0-1", 10, "whole");
        check("Bytes=0-1", 10, "0+2");
        check("bytes", 10, "whole");
        check("bytes=", 10, "whole");
        check("bytes=0-9007199254740993", u64::MAX, "0+9007199254740994");
    }

    #[test]
    fn several_ranges() {
        check("bytes=0-1,3-4", 10, "0+2 3+2");
        check("bytes= 0-1 ,\t3-4 ,, -1,", 10, "0+2 3+2 9+1");
        check("bytes=0-1,2-3", 10, "0+2 2+2");
        check("bytes=0-1,8-100", 10, "0+2 8+2");
        check("bytes=0-1,8-", 10, "0+2 8+2");
        // Ranges beyond the end are left out.
        check("bytes=0-1,10-", 10, "0+2");
        check("bytes=10-,-0,0-1,99-100", 10, "0+2");
        check("bytes=10-11,20-", 10, "none");
        check("bytes=-0,-0", 10, "none");
        check("bytes=0-1,2-3", 0, "none");
        // Out of order, or overlapping.
        check("bytes=3-4,0-1", 10, "whole");
        check("bytes=0-1,0-1", 10, "whole");
        check("bytes=0-3,3-4", 10, "whole");
        check("bytes=-3,-2", 10, "whole");
        check("bytes=0-,9-", 10, "whole");
        // As long as the content together.
        check("bytes=0-4,5-9", 10, "whole");
        check("bytes=0-4,6-9", 10, "0+5 6+4");
        // One malformed range makes the whole header malformed.
        check("bytes=0-1,a-b", 10, "whole");
        check("bytes=0-1,5-2", 10, "whole");
        check("bytes=5-2,0-1", 10, "whole");
        check("bytes=0-1,3", 10, "whole");
        check("bytes=0-1;3-4", 10, "whole");
        check("bytes=,", 10, "whole");
        check("bytes=0-1,bytes=3-4", 10, "whole");
        let many = |count: u64| {
            let ranges = (0..count).map(|n| format!("{}-{}", 3 * n, 3 * n)).collect::<Vec<_>>();
            super::select_ranges(Some(&format!("bytes={}", ranges.join(","))), 10_000)
        };
        assert!(matches!(many(100), RangeSelection::Several(parts) if parts.len() == 100));
        assert_eq!(many(101), RangeSelection::Whole);
        check("bytes=0-0,18446744073709551614-", u64::MAX, "0+1 18446744073709551614+1");
    }
}
