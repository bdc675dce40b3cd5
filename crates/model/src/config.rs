//! What lists show of an image, read from its config: when it was built, and for which platform.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::media_type::{DOCKER_CONFIG, OCI_CONFIG};

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// As `GOARCH` has it.
    pub architecture: String,
    /// As `GOOS` has it.
    pub os: String,
    /// Of Windows, mostly.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Of Windows, mostly.
    #[serde(rename = "os.features", default, skip_serializing_if = "Option::is_none")]
    pub os_features: Option<Vec<String>>,
    /// The version of the processor's architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// From the year 1 to the year 9999: what Google's timestamps can hold. Configs say anything.
const SHOWABLE: RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// The few fields of an image's config that we show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageConfig {
    /// When the image was built, in microseconds since 1970.
    pub created: Option<i64>,
    /// What it runs on.
    pub platform: Option<Platform>,
}

impl ImageConfig {
    /// Whether a config of this media type describes an image.
    pub fn is_media_type(media_type: &str) -> bool {
        matches!(media_type, OCI_CONFIG | DOCKER_CONFIG)
    }

    /// Reads what can be read. A config that makes no sense shows nothing, and is no error: it is the
    /// client's own.
    pub fn read(bytes: &[u8]) -> Self {
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
                .filter(|at| SHOWABLE.contains(at)),
            platform: platform.filter(|platform| !platform.architecture.is_empty()),
        }
    }
}

/// What lists show of what a manifest holds: of an image its platform, of an index each of its manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The digest of an index's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What an index's manifest is.
    #[serde(rename = "mediaType", default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What it runs on.
    #[serde(flatten)]
    pub platform: Option<Platform>,
}

/// How long the text may be: a thousand of them come on one page.
const MAX_SHOWN_BYTES: usize = 8 << 10;

impl Shown {
    /// As rows keep it, the first ones if there are very many.
    pub fn write(all: impl IntoIterator<Item = Self>) -> String {
        let mut text = String::from("[");
        for shown in all {
            let one = serde_json::to_string(&shown).expect("texts are always JSON");
            if text.len() + one.len() + 2 > MAX_SHOWN_BYTES {
                break;
            }
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&one);
        }
        text.push(']');
        text
    }

    /// Reads what a row keeps.
    pub fn read(text: &str) -> Vec<Self> {
        serde_json::from_str(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_shows() {
        let config = ImageConfig::read(
            br#"{"created":"2024-02-29T12:00:00.5Z","architecture":"arm64","os":"linux","variant":"v8","config":{}}"#,
        );
        assert_eq!(config.created, Some(1_709_208_000_500_000));
        let platform = config.platform.expect("stated");
        let json = serde_json::to_string(&platform).expect("plain fields");
        assert_eq!(json, r#"{"architecture":"arm64","os":"linux","variant":"v8"}"#);
    }

    #[test]
    fn a_config_that_makes_no_sense_shows_nothing() {
        for bytes in [&b""[..], b"{}", b"[]", b"\xff", br#"{"created":5,"os":"linux"}"#] {
            assert_eq!(ImageConfig::read(bytes), ImageConfig::default());
        }
        let zero = ImageConfig::read(br#"{"created":"0001-01-01T00:00:00Z"}"#);
        assert_eq!(zero.created, Some(-62_135_596_800_000_000));
    }

    #[track_caller]
    fn check_created(created: &str, shown: bool) {
        let config = ImageConfig::read(format!(r#"{{"created":"{created}"}}"#).as_bytes());
        assert_eq!(config.created.is_some(), shown, "{created}");
    }

    #[test]
    fn times_that_are_shown() {
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
    fn what_is_shown_is_read_as_it_was_written() {
        let platform =
            ImageConfig::read(br#"{"architecture":"arm64","os":"linux","variant":"v8"}"#);
        let of_index = Shown {
            digest: Some("sha256:00".to_owned()),
            media_type: Some("application/x".to_owned()),
            platform: platform.platform.clone(),
        };
        let of_image = Shown { digest: None, media_type: None, ..of_index.clone() };
        let bare = Shown { platform: None, ..of_index.clone() };
        let all = [of_index, of_image, bare];
        assert_eq!(Shown::read(&Shown::write(all.clone())), all);
        assert_eq!(Shown::read("[]"), []);
        let many = Shown::write(std::iter::repeat_n(all[0].clone(), 1_000));
        assert!(many.len() <= MAX_SHOWN_BYTES && Shown::read(&many).len() > 50, "{}", many.len());
    }
}
