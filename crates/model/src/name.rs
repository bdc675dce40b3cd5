//! The names of projects, locations, repositories and images.
//!
//! A value of these types always follows the grammar of its name. It has no `..` and no encoded slash, and needs no
//! escaping in a path, a query or a log. There is one parser for each name, and every API uses it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The reasons why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The path has too few components to name an image.
    #[error("invalid number of path components: {0}")]
    TooFewComponents(usize),
    /// The path names a repository, but no image.
    #[error(
        "Missing image name. Pushes should be of the form docker push HOST-NAME/PROJECT-ID/REPOSITORY/IMAGE"
    )]
    MissingImage,
    /// The project is not valid.
    #[error(
        "invalid project: a project id has up to 63 lower-case letters, digits and hyphens and begins with a letter"
    )]
    Project,
    /// The repository is not valid.
    #[error(
        "Names may only contain lowercase letters, numbers, and hyphens, and must begin with a letter and end with a letter or number."
    )]
    Repository,
    /// The image is not valid.
    #[error(
        "invalid image name: components of lower-case letters and digits, separated by '.', '_', '__' or hyphens, joined by '/'"
    )]
    Image,
    /// The location is not valid.
    #[error("invalid location: lower-case letters, digits and hyphens")]
    Location,
    /// The whole path is too long.
    #[error("invalid name: longer than {MAX_PATH} characters")]
    TooLong,
}

/// The length of the longest path of an image that all clients accept.
const MAX_PATH: usize = 255;

/// Returns whether a text is a DNS label that begins with a letter: at most 63 letters, digits and hyphens, and no
/// hyphen at the end.
fn is_label(text: &str) -> bool {
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last() != Some(&b'-')
        && bytes.iter().copied().all(is_allowed)
}

/// Returns whether a text has at least two labels that are joined by dots. Here a label may begin with a digit.
fn is_domain(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.contains('.') && text.len() <= 253 && text.split('.').all(is_part)
}

/// Returns whether a text is one component of an image's name, as OCI Distribution 1.1 defines it:
/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_image_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let words = text.split(|c: char| c.is_ascii() && is_word(c as u8));
    let begins = text.bytes().next().is_some_and(is_word);
    let ends = text.bytes().next_back().is_some_and(is_word);
    let is_separator =
        |gap: &str| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|byte| byte == b'-');
    begins && ends && words.into_iter().all(is_separator)
}

/// Defines the type of a name. All clones share the text, because every request clones its names several times.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $error:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.into())) } else { Err($error) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_text! {
    /// The id of a project. In a domain-scoped project it has the form `example.com:my-project`.
    ProjectId, NameError::Project,
    |text| match text.split_once(':') {
        Some((domain, project)) => is_domain(domain) && is_label(project),
        None => is_label(text),
    }
}

checked_text! {
    /// The id of a repository. The four host names of Container Registry are valid ids too.
    RepositoryId, NameError::Repository,
    |text| is_label(text) || matches!(text, "gcr.io" | "us.gcr.io" | "eu.gcr.io" | "asia.gcr.io")
}

checked_text! {
    /// The name of an image within its repository. The name may have slashes.
    ImageName, NameError::Image,
    |text| text.len() <= MAX_PATH && text.split('/').all(is_image_component)
}

checked_text! {
    /// A location: a region or a multi-region.
    Location, NameError::Location, is_label
}

impl ProjectId {
    /// Returns the project's id as it is written in an image's path: `example.com/my-project` if it is domain-scoped.
    pub fn path_prefix(&self) -> String {
        self.0.replacen(':', "/", 1)
    }
}

/// The full name of a repository: `projects/P/locations/L/repositories/R`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepositoryName {
    /// The project of the repository.
    pub project: ProjectId,
    /// The location of the repository.
    pub location: Location,
    /// The id of the repository.
    pub repository: RepositoryId,
}

impl RepositoryName {
    /// Returns the beginning of the paths of the repository's images: `PROJECT/REPOSITORY`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.project.path_prefix(), self.repository)
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project, location, repository } = self;
        write!(f, "projects/{project}/locations/{location}/repositories/{repository}")
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    /// Parses `projects/P/locations/L/repositories/R`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            ["projects", project, "locations", location, "repositories", repository] => Ok(Self {
                project: project.parse()?,
                location: location.parse()?,
                repository: repository.parse()?,
            }),
            _ => Err(NameError::TooFewComponents(parts.len())),
        }
    }
}

/// The path of an image: project, repository and image name, as in the paths under `/v2/`. The location is not part of
/// the path; the host of the request gives it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImagePath {
    /// The project.
    pub project: ProjectId,
    /// The repository.
    pub repository: RepositoryId,
    /// The image.
    pub image: ImageName,
}

impl ImagePath {
    /// Returns the path as text, `PROJECT/REPOSITORY/IMAGE`.
    pub fn path(&self) -> String {
        let project = self.project.path_prefix();
        [project.as_str(), self.repository.as_str(), self.image.as_str()].join("/")
    }

    /// Parses `PROJECT/REPOSITORY/IMAGE`, or `PROJECT/IMAGE` if the host implies the repository.
    pub fn parse(path: &str, implied: Option<&RepositoryId>) -> Result<Self, NameError> {
        let PathParts { project, repository, image } = split_path(path, implied)?;
        let image = image.ok_or(NameError::MissingImage)?.parse()?;
        Ok(Self { project, repository, image })
    }
}

/// Parses `PROJECT/REPOSITORY`, the path under which the images of a repository are listed. Returns `None` if the path
/// names an image.
pub fn parse_repository_path(
    path: &str,
    implied: Option<&RepositoryId>,
) -> Result<Option<(ProjectId, RepositoryId)>, NameError> {
    let PathParts { project, repository, image } = split_path(path, implied)?;
    Ok(image.is_none().then_some((project, repository)))
}

/// Returns whether a path has only one or two components, and therefore names no image. The components must be valid in
/// an image's name.
pub fn is_too_short_for_image(path: &str, implied: Option<&RepositoryId>) -> bool {
    let is_short = path.split('/').count() <= 2;
    let names_image = implied.is_some() && split_project(path).1.is_some();
    is_short && !names_image && path.len() <= MAX_PATH && path.split('/').all(is_image_component)
}

struct PathParts<'a> {
    project: ProjectId,
    repository: RepositoryId,
    image: Option<&'a str>,
}

fn split_path<'a>(
    path: &'a str,
    implied: Option<&RepositoryId>,
) -> Result<PathParts<'a>, NameError> {
    if path.len() > MAX_PATH {
        return Err(NameError::TooLong);
    }
    let too_few = || NameError::TooFewComponents(path.split('/').count());
    let (project, rest) = split_project(path);
    let project = project.parse()?;
    if let Some(repository) = implied {
        return Ok(PathParts { project, repository: repository.clone(), image: rest });
    }
    let rest = rest.ok_or_else(too_few)?;
    let (repository, image) = match rest.split_once('/') {
        Some((repository, image)) => (repository, Some(image)),
        None => (rest, None),
    };
    Ok(PathParts { project, repository: repository.parse()?, image })
}

/// Splits a path into the project's id and the rest. If the first component has a dot, it is the domain of a
/// domain-scoped project, whose id then takes two components.
fn split_project(path: &str) -> (String, Option<&str>) {
    let (first, rest) = match path.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let Some(rest) = rest.filter(|_| first.contains('.')) else {
        return (first.to_owned(), rest);
    };
    match rest.split_once('/') {
        Some((second, rest)) => (format!("{first}:{second}"), Some(rest)),
        None => (format!("{first}:{rest}"), None),
    }
}

/// Splits what clients call an image into its name and the rest: nothing, `:TAG`, `@DIGEST` or `:TAG@DIGEST`. A colon
/// before a slash belongs to the name.
pub fn split_image(text: &str) -> (&str, &str) {
    let without_digest = text.split('@').next().unwrap_or_default();
    let name = match without_digest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        Some(_) | None => without_digest,
    };
    text.split_at(name.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let actual = match ImagePath::parse(path, None) {
            Ok(ImagePath { project, repository, image }) => {
                format!("{project} {repository} {image}")
            }
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(actual, expected, "{path}");
    }

    #[test]
    fn images() {
        check("p/r/i", "p r i");
        check("my-project/my-repo/a/b/c", "my-project my-repo a/b/c");
        check("example.com/proj/repo/image", "example.com:proj repo image");
        check("p/gcr.io/i", "p gcr.io i");
        check("p/r/a__b.c-d---e_f", "p r a__b.c-d---e_f");
        check("p/r/blobs/uploads", "p r blobs/uploads");
        check("p/r/0", "p r 0");
    }

    #[test]
    fn paths_that_name_no_image() {
        check("p", "TooFewComponents(1)");
        check("p/r", "MissingImage");
        check("", "Project");
        check("P/r/i", "Project");
        check("-p/r/i", "Project");
        check("p/R/i", "Repository");
        check("p/r-/i", "Repository");
        check("p/r.x/i", "Repository");
        check("p//i", "Repository");
        check("p/r/", "Image");
        check("p/r/a//b", "Image");
        check("p/r/a/", "Image");
        check("p/r/..", "Image");
        check("p/r/../x", "Image");
        check("p/r/.a", "Image");
        check("p/r/_catalog", "Image");
        check("p/r/a..b", "Image");
        check("p/r/a___b", "Image");
        check("p/r/a._b", "Image");
        check("p/r/a%2fb", "Image");
        check("p/r/a\\b", "Image");
        check("p/r/a\0", "Image");
        check("p/r/Ünicode", "Image");
        check("p/r/\u{430}", "Image");
        check("../r/i", "Project");
        check("a.b/../r/i", "Project");
        check(&format!("p/r/{}", "a".repeat(300)), "TooLong");
        check(&format!("p/{}/i", "a".repeat(64)), "Repository");
    }

    #[test]
    fn hosts_may_imply_the_repository() {
        let gcr: RepositoryId = "gcr.io".parse().expect("one of the four");
        let image = ImagePath::parse("p/a/b", Some(&gcr)).expect("valid");
        assert_eq!(image.path(), "p/gcr.io/a/b");
        assert_eq!(ImagePath::parse("p", Some(&gcr)), Err(NameError::MissingImage));
    }

    #[test]
    fn paths_that_are_too_short() {
        let gcr: RepositoryId = "gcr.io".parse().expect("one of the four");
        for (path, anywhere, on_gcr) in [
            ("p", true, true),
            ("my_image", true, true),
            ("0", true, true),
            ("p/r", true, false),
            ("library/my_image", true, false),
            ("example.com/p", true, true),
            ("p/r/i", false, false),
            ("example.com/p/r", false, false),
            ("", false, false),
            ("/", false, false),
            ("p/", false, false),
            ("/r", false, false),
            ("P", false, false),
            ("p/R", false, false),
            ("p/..", false, false),
            ("../p", false, false),
            ("p%2fr", false, false),
            (&"a".repeat(256), false, false),
        ] {
            assert_eq!(is_too_short_for_image(path, None), anywhere, "{path}");
            assert_eq!(is_too_short_for_image(path, Some(&gcr)), on_gcr, "{path} on gcr.io");
        }
    }

    proptest! {
        #[test]
        fn a_parsed_path_needs_no_escaping(path in "[a-z./_%\\\\A-Z0-9\\x00-]{0,40}") {
            if let Ok(image) = ImagePath::parse(&path, None) {
                prop_assert_eq!(image.path(), path.clone());
                prop_assert!(!path.contains("..") && !path.contains("//") && !path.contains('%'));
                prop_assert_eq!(ImagePath::parse(&image.path(), None), Ok(image));
            }
        }
    }
}
