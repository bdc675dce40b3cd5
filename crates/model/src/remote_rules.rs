//! The rules of a remote repository of another registry: the images that it fetches, and how it treats its cache.
//!
//! Images are named as the upstream names them. An entry of a list is a path, in which `*` stands for any text without
//! a slash. An entry that ends in a slash stands for all images below it.

use std::fmt;

use serde::Deserialize;

use crate::repository::{DOCKER_HUB, ModeError};

/// The largest number of entries in each list of images.
pub const MAX_IMAGE_RULES: usize = 100;

/// The most characters of an entry.
const MAX_ENTRY_LENGTH: usize = 255;

const ALLOWED: &str = "repository.remote_repository_config.allowed_images";
const DENIED: &str = "repository.remote_repository_config.denied_images";
const MAX_CACHE_BYTES: &str = "repository.remote_repository_config.max_cache_bytes";
const NO_CACHE: &str = "repository.remote_repository_config.no_cache";

/// The rules of a remote repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteRules {
    /// The images that are served. If there is no entry, all are.
    allowed_images: Vec<ImagePattern>,
    /// The images that are not served, whatever `allowed_images` says.
    denied_images: Vec<ImagePattern>,
    /// `true` if the upstream is not asked for anything.
    pub is_offline: bool,
    /// `true` if a cached tag is deleted when the upstream does not have it any more.
    pub deletes_missing_tags: bool,
    /// The bound of what is kept, if there is one.
    pub cache_limit: Option<CacheLimit>,
}

/// The bound of what a remote repository keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheLimit {
    /// So many bytes, of what was pulled most recently.
    Bytes(i64),
    /// Nothing, once nobody reads it.
    Nothing,
}

impl CacheLimit {
    /// Returns the number of bytes that are kept.
    pub fn bytes(self) -> i64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Nothing => 0,
        }
    }
}

/// An entry of a list of images.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ImagePattern(String);

/// The reason why a remote repository does not serve an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageDenial {
    /// An entry of `denied_images` matches.
    Entry(String),
    /// There are entries of `allowed_images`, and none of them matches.
    NotAllowed,
}

impl fmt::Display for ImageDenial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(entry) => write!(f, "{entry:?} of its denied_images matches"),
            Self::NotAllowed => f.write_str("no entry of its allowed_images matches"),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RulesDocument {
    remote_repository_config: Option<RulesFields>,
}

/// The fields of a remote repository's configuration that are rules.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RulesFields {
    allowed_images: Vec<String>,
    denied_images: Vec<String>,
    offline: bool,
    delete_not_found_cache_files: bool,
    max_cache_bytes: Option<ByteCount>,
    no_cache: bool,
}

/// A number of bytes, which is a text in the JSON of the API.
#[derive(Deserialize)]
#[serde(untagged)]
enum ByteCount {
    Text(String),
    Number(i64),
}

impl RulesFields {
    fn cache_limit(&self) -> Result<Option<CacheLimit>, ModeError> {
        let refused = |field, problem: String| Err(ModeError { field, problem });
        let bytes = match &self.max_cache_bytes {
            None => None,
            Some(ByteCount::Number(bytes)) => Some(*bytes),
            Some(ByteCount::Text(text)) => match text.parse() {
                Ok(bytes) => Some(bytes),
                Err(_) => return refused(MAX_CACHE_BYTES, format!("{text:?} is no number")),
            },
        };
        if let Some(bytes) = bytes.filter(|bytes| *bytes <= 0) {
            let problem = format!(
                "{bytes} bytes cannot be a limit: set more than 0, leave it out to keep everything, or set no_cache to keep nothing"
            );
            return refused(MAX_CACHE_BYTES, problem);
        }
        if self.no_cache && self.offline {
            let problem = "does not go with offline: nothing is kept that could be served";
            return refused(NO_CACHE, problem.to_owned());
        }
        Ok(if self.no_cache { Some(CacheLimit::Nothing) } else { bytes.map(CacheLimit::Bytes) })
    }
}

impl RemoteRules {
    /// Reads the rules from the document of a repository's API message.
    ///
    /// # Errors
    /// Fails if an entry cannot match any image, if there are too many, or if the bound of what is kept makes no sense.
    ///
    /// ```
    /// # use berth_model::remote_rules::RemoteRules;
    /// let document = r#"{"remoteRepositoryConfig": {"allowedImages": ["library/"]}}"#;
    /// let rules = RemoteRules::parse(document).expect("valid");
    /// assert_eq!(rules.denial("library/alpine"), None);
    /// assert!(rules.denial("grafana/loki").is_some());
    /// ```
    pub fn parse(document: &str) -> Result<Self, ModeError> {
        let Ok(document) = serde_json::from_str::<RulesDocument>(document) else {
            let problem = "its configuration cannot be read".to_owned();
            return Err(ModeError { field: ALLOWED, problem });
        };
        let fields = document.remote_repository_config.unwrap_or_default();
        let cache_limit = fields.cache_limit()?;
        Ok(Self {
            cache_limit,
            allowed_images: read_images(ALLOWED, fields.allowed_images)?,
            denied_images: read_images(DENIED, fields.denied_images)?,
            is_offline: fields.offline,
            deletes_missing_tags: fields.delete_not_found_cache_files,
        })
    }

    /// Returns whether the rules need an upstream that is another registry: they are about what is fetched and kept.
    pub fn need_registry(&self) -> bool {
        let have_images = !self.allowed_images.is_empty() || !self.denied_images.is_empty();
        self.is_offline || have_images || self.cache_limit.is_some()
    }

    /// Returns whether nothing is kept once nobody reads it.
    pub fn keep_nothing(&self) -> bool {
        self.cache_limit == Some(CacheLimit::Nothing)
    }

    /// Returns why an image is not served, or `None` if it is. The name is the upstream's, as [`upstream_path`] has it.
    pub fn denial(&self, path: &str) -> Option<ImageDenial> {
        let is_match = |pattern: &&ImagePattern| pattern.matches(path);
        if let Some(ImagePattern(entry)) = self.denied_images.iter().find(is_match) {
            return Some(ImageDenial::Entry(entry.clone()));
        }
        let is_allowed =
            self.allowed_images.is_empty() || self.allowed_images.iter().any(|p| p.matches(path));
        (!is_allowed).then_some(ImageDenial::NotAllowed)
    }
}

fn read_images(field: &'static str, entries: Vec<String>) -> Result<Vec<ImagePattern>, ModeError> {
    if entries.len() > MAX_IMAGE_RULES {
        let problem = format!("there are {}, and at most {MAX_IMAGE_RULES}", entries.len());
        return Err(ModeError { field, problem });
    }
    entries.into_iter().map(|entry| ImagePattern::read(field, entry)).collect()
}

impl ImagePattern {
    fn read(field: &'static str, entry: String) -> Result<Self, ModeError> {
        let is_plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-*".contains(&byte)
        };
        let path = entry.strip_suffix('/').unwrap_or(&entry);
        let is_path = path.split('/').all(|part| !part.is_empty() && part.bytes().all(is_plain));
        if entry.len() <= MAX_ENTRY_LENGTH && is_path {
            return Ok(Self(entry));
        }
        let problem = format!(
            "{entry:?} is no image: write the upstream's name of it, as \"library/alpine\", \"library/\" or \"team-*/app\""
        );
        Err(ModeError { field, problem })
    }

    fn matches(&self, path: &str) -> bool {
        let (pattern, is_folder) = match self.0.strip_suffix('/') {
            Some(folder) => (folder, true),
            None => (self.0.as_str(), false),
        };
        let mut parts = path.split('/');
        let begins = pattern.split('/').all(|wanted| {
            parts.next().is_some_and(|part| part_matches(wanted.as_bytes(), part.as_bytes()))
        });
        begins && parts.next().is_some() == is_folder
    }
}

/// Returns whether a part of a path is what a pattern stands for. Each `*` of the pattern stands for any text.
fn part_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // The place after the last `*`, and the end of the text that this `*` stands for.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at + 1, from));
            at += 1;
        } else if pattern.get(at) == Some(&text[from]) {
            (at, from) = (at + 1, from + 1);
        } else if let Some((after, end)) = star {
            star = Some((after, end + 1));
            (at, from) = (after, end + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Returns the upstream's name of an image: below the path of the registry's URL, and in `library` if it is an image of
/// Docker Hub without a slash in its name.
pub fn upstream_path(url: &str, image: &str) -> String {
    let is_official = url.trim_end_matches('/') == DOCKER_HUB && !image.contains('/');
    let library = if is_official { "library/" } else { "" };
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let prefix = rest.split_once('/').map_or("", |(_, path)| path).trim_matches('/');
    let slash = if prefix.is_empty() { "" } else { "/" };
    format!("{prefix}{slash}{library}{image}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(fields: &str) -> Result<RemoteRules, String> {
        let document = format!(r#"{{"remoteRepositoryConfig": {{{fields}}}}}"#);
        RemoteRules::parse(&document).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(entry: &str, matching: &[&str], others: &[&str]) {
        let rules = rules(&format!(r#""deniedImages": ["{entry}"]"#)).expect("an image");
        let denial = Some(ImageDenial::Entry(entry.to_owned()));
        matching.iter().for_each(|path| assert_eq!(rules.denial(path), denial, "{entry} {path}"));
        others.iter().for_each(|path| assert_eq!(rules.denial(path), None, "{entry} {path}"));
    }

    #[test]
    fn entries_match_images() {
        check("library/alpine", &["library/alpine"], &["library/alpine2", "library", "alpine"]);
        check("library/", &["library/alpine", "library/a/b"], &["library", "library2/a"]);
        check("library/*", &["library/alpine", "library/b"], &["library", "library/a/b"]);
        check("team-*/", &["team-/a", "team-x/a/b"], &["team-x", "team/a"]);
        check("*/app", &["x/app"], &["app", "x/y/app", "x/app2"]);
        check("*", &["app"], &["x/app"]);
        check("a*b*c", &["abc", "axbxbxc"], &["abxcx", "ab"]);
        check("a**", &["a", "abc"], &["b"]);
    }

    #[test]
    fn a_denied_image_is_denied_even_if_it_is_allowed() {
        let rules =
            rules(r#""allowedImages": ["library/", "team/app"], "deniedImages": ["library/evil"]"#);
        let rules = rules.expect("valid");
        assert_eq!(rules.denial("library/good"), None);
        assert_eq!(rules.denial("team/app"), None);
        assert_eq!(rules.denial("team/other"), Some(ImageDenial::NotAllowed));
        let denial = rules.denial("library/evil").expect("denied").to_string();
        assert_eq!(denial, "\"library/evil\" of its denied_images matches");
        assert_eq!(RemoteRules::default().denial("x"), None);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for entry in ["", "/", "/a", "a//b", "a//", "A", "a:1", "a@b", "a b", "[a]", "a/?"] {
            let refused = rules(&format!(r#""allowedImages": ["{entry}"]"#)).expect_err(entry);
            assert!(refused.contains("allowed_images: "), "{refused}");
        }
        let many = vec!["\"a\""; 101].join(",");
        let refused = rules(&format!(r#""deniedImages": [{many}]"#)).expect_err("too many");
        assert!(refused.ends_with("denied_images: there are 101, and at most 100"), "{refused}");
        assert!(rules(&format!(r#""deniedImages": ["{}"]"#, "a".repeat(256))).is_err());
    }

    #[test]
    fn switches_are_off_by_default() {
        let on = rules(r#""offline": true, "deleteNotFoundCacheFiles": true"#).expect("valid");
        assert!(on.is_offline && on.deletes_missing_tags);
        assert_eq!(rules("").expect("valid"), RemoteRules::default());
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let limit = |fields: &str| rules(fields).map(|rules| rules.cache_limit);
        assert_eq!(limit(""), Ok(None));
        for count in ["\"5000000000\"", "5000000000"] {
            let fields = format!(r#""maxCacheBytes": {count}"#);
            assert_eq!(limit(&fields), Ok(Some(CacheLimit::Bytes(5_000_000_000))));
            let nothing = format!(r#"{fields}, "noCache": true"#);
            assert_eq!(limit(&nothing), Ok(Some(CacheLimit::Nothing)));
        }
        for (fields, problem) in [
            (r#""maxCacheBytes": "0""#, "max_cache_bytes: 0 bytes cannot be a limit"),
            (r#""maxCacheBytes": "-1""#, "max_cache_bytes: -1 bytes cannot be a limit"),
            (r#""maxCacheBytes": "1GiB""#, "max_cache_bytes: \"1GiB\" is no number"),
            (r#""noCache": true, "offline": true"#, "no_cache: does not go with offline"),
        ] {
            let refused = limit(fields).expect_err(fields);
            assert!(refused.contains(problem), "{refused}");
        }
    }

    #[test]
    fn paths_are_those_of_the_upstream() {
        for (url, image, expected) in [
            ("https://a.test", "app", "app"),
            ("https://a.test/", "x/app", "x/app"),
            ("http://a.test:5000/p/q/", "app", "p/q/app"),
            (DOCKER_HUB, "alpine", "library/alpine"),
            (DOCKER_HUB, "grafana/loki", "grafana/loki"),
        ] {
            assert_eq!(upstream_path(url, image), expected, "{url} {image}");
        }
    }
}
