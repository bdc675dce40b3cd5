//! The parts of an image's config that lists show: the time when the image was built, and its platform.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::media_type::{DOCKER_CONFIG, OCI_CONFIG};

/// The platform that an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The architecture of the processor, as a value of `GOARCH`.
    pub architecture: String,
    /// The operating system, as a value of `GOOS`.
    pub os: String,
    /// The version of the operating system. Mostly images for Windows have one.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// The required features of the operating system. Mostly images for Windows have some.
    #[serde(rename = "os.features", default, skip_serializing_if = "Option::is_none")]
    pub os_features: Option<Vec<String>>,
    /// The version of the processor's architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// The times that Google's timestamps can express, from the year 1 to the year 9999, in microseconds since 1970. Other
/// times in configs are ignored.
const VALID_TIMES: RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// The fields of an image's config that lists show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageConfig {
    /// The time when the image was built, in microseconds since 1970.
    pub created: Option<i64>,
    /// The platform that the image runs on.
    pub platform: Option<Platform>,
}

impl ImageConfig {
    /// Returns whether a config of this media type describes an image.
    pub fn is_media_type(media_type: &str) -> bool {
        matches!(media_type, OCI_CONFIG | DOCKER_CONFIG)
    }

    /// Parses the fields that are valid. Other fields are left out without an error: the registry does not depend on
    /// the content of a config.
    pub fn parse(bytes: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Created {
            created: String,
        }
        let created = serde_json::from_slice(bytes)
            .ok()
            .and_then(|Created { created }| created.parse::<jiff::Timestamp>().ok());
        let platform: Option<Platform> = serde_json::from_slice(bytes).ok();
        Self {
            created: created
                .map(jiff::Timestamp::as_microsecond)
                .filter(|at| VALID_TIMES.contains(at)),
            platform: platform.filter(|platform| !platform.architecture.is_empty()),
        }
    }
}

/// The summary that lists show of an image, or of one manifest of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformSummary {
    /// The digest of the manifest, if the summary is of a manifest of an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The media type of the manifest, if the summary is of a manifest of an index.
    #[serde(rename = "mediaType", default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The platform that the image runs on.
    #[serde(flatten)]
    pub platform: Option<Platform>,
}

/// The largest length of the JSON text for one manifest, in bytes. One page of a list has up to a thousand such texts.
const MAX_SUMMARY_BYTES: usize = 8 << 10;

impl PlatformSummary {
    /// Returns the JSON text in which the database stores summaries. Those that do not fit into 8 KiB are left out.
    pub fn list_to_json(all: impl IntoIterator<Item = Self>) -> String {
        let mut text = String::from("[");
        for summary in all {
            let json = serde_json::to_string(&summary).expect("texts are always JSON");
            if text.len() + json.len() + 2 > MAX_SUMMARY_BYTES {
                break;
            }
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&json);
        }
        text.push(']');
        text
    }

    /// Parses the text that [`PlatformSummary::list_to_json`] returned.
    pub fn list_from_json(text: &str) -> Vec<Self> {
        serde_json::from_str(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_config() {
        let config = ImageConfig::parse(
            br#"{"created":"2024-02-29T12:00:00.5Z","architecture":"arm64","os":"linux","variant":"v8","config":{}}"#,
        );
        assert_eq!(config.created, Some(1_709_208_000_500_000));
        let platform = config.platform.expect("stated");
        let json = serde_json::to_string(&platform).expect("plain fields");
        assert_eq!(json, r#"{"architecture":"arm64","os":"linux","variant":"v8"}"#);
    }

    #[test]
    fn invalid_fields_are_left_out() {
        for bytes in [&b""[..], b"{}", b"[]", b"\xff", br#"{"created":5,"os":"linux"}"#] {
            assert_eq!(ImageConfig::parse(bytes), ImageConfig::default());
        }
        let zero = ImageConfig::parse(br#"{"created":"0001-01-01T00:00:00Z"}"#);
        assert_eq!(zero.created, Some(-62_135_596_800_000_000));
    }

    #[track_caller]
    fn check_created(created: &str, is_read: bool) {
        let config = ImageConfig::parse(format!(r#"{{"created":"{created}"}}"#).as_bytes());
        assert_eq!(config.created.is_some(), is_read, "{created}");
    }

    #[test]
    fn times_outside_of_the_range_are_left_out() {
        check_created("2024-02-29T12:00:00Z", true);
        check_created("1970-01-01T00:00:00Z", true);
        check_created("0001-01-01T00:00:00Z", true);
        check_created("0001-01-01T00:00:00+01:00", false);
        check_created("0000-01-01T00:00:00Z", false);
        check_created("-009999-01-02T00:00:00Z", false);
        check_created("9999-12-30T22:00:00Z", true);
        check_created("yesterday", false);
    }

    #[test]
    fn summaries_are_read_as_they_were_written() {
        let platform =
            ImageConfig::parse(br#"{"architecture":"arm64","os":"linux","variant":"v8"}"#);
        let of_index = PlatformSummary {
            digest: Some("sha256:00".to_owned()),
            media_type: Some("application/x".to_owned()),
            platform: platform.platform.clone(),
        };
        let of_image = PlatformSummary { digest: None, media_type: None, ..of_index.clone() };
        let bare = PlatformSummary { platform: None, ..of_index.clone() };
        let all = [of_index, of_image, bare];
        assert_eq!(
            PlatformSummary::list_from_json(&PlatformSummary::list_to_json(all.clone())),
            all
        );
        assert_eq!(PlatformSummary::list_from_json("[]"), []);
        let many = PlatformSummary::list_to_json(std::iter::repeat_n(all[0].clone(), 1_000));
        assert!(
            many.len() <= MAX_SUMMARY_BYTES && PlatformSummary::list_from_json(&many).len() > 50,
            "{}",
            many.len()
        );
    }
}
