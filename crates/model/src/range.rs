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

/// The most ranges that are answered at once.
const MOST_RANGES: usize = 100;

/// A part of some content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Where it begins.
    pub start: u64,
    /// How long it is, at least 1.
    pub length: u64,
}

impl Part {
    /// The last byte's offset.
    pub fn last(&self) -> u64 {
        self.start + self.length - 1
    }
}

/// What a Range header asks of content of some size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ByteRanges {
    /// Everything: there is no range, or none that we serve.
    Whole,
    /// One part.
    One(Part),
    /// Several parts, in order, that do not overlap and are shorter than the whole.
    Several(Vec<Part>),
    /// Nothing of it exists.
    Unsatisfiable,
}

/// Reads a Range header. Other units, nonsense, and several ranges that could cost more than the whole, are answered
/// with everything, as HTTP allows: there is nothing to amplify.
pub fn byte_ranges(header: Option<&str>, size: u64) -> ByteRanges {
    let Some((unit, set)) = header.and_then(|header| header.split_once('=')) else {
        return ByteRanges::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return ByteRanges::Whole;
    }
    let is_one = !set.contains(',');
    let (mut parts, mut count): (Vec<Part>, _) = (Vec::new(), 0);
    for range in set.split(',').map(str::trim).filter(|range| is_one || !range.is_empty()) {
        count += 1;
        match Asked::read(range) {
            None => return ByteRanges::Whole,
            // HTTP leaves the answer open; the conformance suite asks for this one.
            Some(Asked::Backwards) if is_one => return ByteRanges::Unsatisfiable,
            Some(Asked::Backwards) => return ByteRanges::Whole,
            Some(asked) => parts.extend(asked.of(size)),
        }
        if count > MOST_RANGES {
            return ByteRanges::Whole;
        }
    }
    let is_ascending = parts.windows(2).all(|pair| pair[0].last() < pair[1].start);
    let together = parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.length));
    match parts.as_slice() {
        [] if count == 0 => ByteRanges::Whole,
        [] => ByteRanges::Unsatisfiable,
        [part] => ByteRanges::One(*part),
        _ if is_ascending && together.is_some_and(|sum| sum < size) => ByteRanges::Several(parts),
        _ => ByteRanges::Whole,
    }
}

/// One range as it is written.
#[derive(Clone, Copy)]
enum Asked {
    /// From one offset to another, which may lie behind the end.
    Between(u64, u64),
    /// So many bytes at the end.
    Last(u64),
    /// It ends before it begins.
    Backwards,
}

impl Asked {
    fn read(text: &str) -> Option<Self> {
        let (start, end) = text.split_once('-')?;
        let (start, end) = (start.trim(), end.trim());
        if start.is_empty() {
            return Some(Self::Last(lenient(end)?));
        }
        let first = lenient(start)?;
        let last = if end.is_empty() { u64::MAX } else { lenient(end)? };
        Some(if first > last { Self::Backwards } else { Self::Between(first, last) })
    }

    /// What there is of it in content of that size.
    fn of(self, size: u64) -> Option<Part> {
        let (first, last) = match self {
            Self::Between(first, last) => (first, last),
            Self::Last(0) | Self::Backwards => return None,
            Self::Last(suffix) => (size.saturating_sub(suffix), u64::MAX),
        };
        let is_there = first < size;
        is_there.then(|| Part { start: first, length: last.min(size - 1) - first + 1 })
    }
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
        let part = |part: &Part| format!("{}+{}", part.start, part.length);
        let actual = match super::byte_ranges(Some(header), size) {
            ByteRanges::Whole => "whole".to_owned(),
            ByteRanges::Unsatisfiable => "none".to_owned(),
            ByteRanges::One(one) => part(&one),
            ByteRanges::Several(several) => several.iter().map(part).collect::<Vec<_>>().join(" "),
        };
        assert_eq!(actual, expected, "{header} of {size}");
    }

    #[test]
    fn byte_ranges() {
        assert_eq!(super::byte_ranges(None, 10), ByteRanges::Whole);
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
        // Those that there are.
        check("bytes=0-1,10-", 10, "0+2");
        check("bytes=10-,-0,0-1,99-100", 10, "0+2");
        check("bytes=10-11,20-", 10, "none");
        check("bytes=-0,-0", 10, "none");
        check("bytes=0-1,2-3", 0, "none");
        // Neither in order nor apart.
        check("bytes=3-4,0-1", 10, "whole");
        check("bytes=0-1,0-1", 10, "whole");
        check("bytes=0-3,3-4", 10, "whole");
        check("bytes=-3,-2", 10, "whole");
        check("bytes=0-,9-", 10, "whole");
        // No shorter than the whole.
        check("bytes=0-4,5-9", 10, "whole");
        check("bytes=0-4,6-9", 10, "0+5 6+4");
        // One that is none makes all of them none.
        check("bytes=0-1,a-b", 10, "whole");
        check("bytes=0-1,5-2", 10, "whole");
        check("bytes=5-2,0-1", 10, "whole");
        check("bytes=0-1,3", 10, "whole");
        check("bytes=0-1;3-4", 10, "whole");
        check("bytes=,", 10, "whole");
        check("bytes=0-1,bytes=3-4", 10, "whole");
        let many = |count: u64| {
            let ranges = (0..count).map(|n| format!("{}-{}", 3 * n, 3 * n)).collect::<Vec<_>>();
            super::byte_ranges(Some(&format!("bytes={}", ranges.join(","))), 10_000)
        };
        assert!(matches!(many(100), ByteRanges::Several(parts) if parts.len() == 100));
        assert_eq!(many(101), ByteRanges::Whole);
        check("bytes=0-0,18446744073709551614-", u64::MAX, "0+1 18446744073709551614+1");
    }
}
