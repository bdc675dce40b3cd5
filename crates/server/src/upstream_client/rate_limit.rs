//! The limit of requests that a registry states, as Docker Hub does: `RateLimit-Limit: 100;w=21600` and
//! `RateLimit-Remaining: 76;w=21600`.

use std::time::Duration;

use engine::UpstreamRateLimit;

use crate::egress::EgressAnswer;

/// Reads the limit in the headers of an answer. `None` if they do not say how many requests remain.
pub(super) fn read(answer: &EgressAnswer) -> Option<UpstreamRateLimit> {
    parse(answer.header("ratelimit-remaining")?, answer.header("ratelimit-limit"))
}

fn parse(remaining: &str, limit: Option<&str>) -> Option<UpstreamRateLimit> {
    Some(UpstreamRateLimit {
        remaining: number(remaining)?,
        limit: limit.and_then(number),
        window: limit.and_then(window).or_else(|| window(remaining)),
    })
}

/// Returns the number at the beginning of a header. In a list, it is the one that counts now.
fn number(header: &str) -> Option<u32> {
    header.split([',', ';']).next()?.trim().parse().ok()
}

fn window(header: &str) -> Option<Duration> {
    let seconds = header.split(';').find_map(|parameter| parameter.trim().strip_prefix("w="))?;
    seconds.parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        remaining: &str,
        limit: Option<&str>,
        expected: Option<(u32, Option<u32>, Option<u64>)>,
    ) {
        let read = parse(remaining, limit);
        let seconds = |window: Duration| window.as_secs();
        let read = read.map(|read| (read.remaining, read.limit, read.window.map(seconds)));
        assert_eq!(read, expected, "{remaining} {limit:?}");
    }

    #[test]
    fn limits_are_read_as_far_as_they_are_stated() {
        check("76;w=21600", Some("100;w=21600"), Some((76, Some(100), Some(21_600))));
        check("76", Some("100, 100; w=60; burst=5"), Some((76, Some(100), Some(60))));
        check("0;w=1", None, Some((0, None, Some(1))));
        check(" 5 ", Some("many"), Some((5, None, None)));
        check("5;w=99999999999", None, Some((5, None, None)));
        for wrong in ["", "x", "-1", "99999999999", ";w=1"] {
            check(wrong, Some("100;w=21600"), None);
        }
    }
}
