//! The names of resources in a repository, as in Google's APIs. The slashes of an image's name are written as `%2F`.

use std::fmt;
use std::str::FromStr;

use crate::attachment::{AttachmentId, AttachmentIdError};
use crate::digest::{Digest, DigestError};
use crate::name::{ImageName, NameError, RepositoryName};
use crate::reference::{ReferenceError, Tag};
use crate::repository_rule::{RuleId, RuleIdError};

/// The reasons why a resource name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactNameError {
    /// The repository or the image is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The digest of the version or file is not valid.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// The tag is not valid.
    #[error(transparent)]
    Tag(#[from] ReferenceError),
    /// The id of the rule is not valid.
    #[error(transparent)]
    Rule(#[from] RuleIdError),
    /// The id of the attachment is not valid.
    #[error(transparent)]
    Attachment(#[from] AttachmentIdError),
    /// The name does not have the collections that are expected.
    #[error("must have the form {0}")]
    WrongForm(&'static str),
}

const PACKAGE_FORM: &str = "projects/P/locations/L/repositories/R/packages/IMAGE";
const VERSION_FORM: &str =
    "projects/P/locations/L/repositories/R/packages/IMAGE/versions/sha256:HEX";
const TAG_FORM: &str = "projects/P/locations/L/repositories/R/packages/IMAGE/tags/TAG";
const RULE_FORM: &str = "projects/P/locations/L/repositories/R/rules/ID";
const FILE_FORM: &str = "projects/P/locations/L/repositories/R/files/sha256:HEX";
const ATTACHMENT_FORM: &str = "projects/P/locations/L/repositories/R/attachments/ID";
const DOCKER_IMAGE_FORM: &str =
    "projects/P/locations/L/repositories/R/dockerImages/IMAGE@sha256:HEX";

/// The name of an image: `…/packages/IMAGE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PackageName {
    /// The repository of the image.
    pub repository: RepositoryName,
    /// The image's name in the repository.
    pub image: ImageName,
}

/// The name of a manifest as a version of an image: `…/packages/IMAGE/versions/sha256:HEX`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VersionName {
    /// The image.
    pub package: PackageName,
    /// The manifest's digest.
    pub digest: Digest,
}

/// The name of a tag of an image: `…/packages/IMAGE/tags/TAG`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagName {
    /// The image.
    pub package: PackageName,
    /// The tag.
    pub tag: Tag,
}

/// The name of a manifest as a Docker image: `…/dockerImages/IMAGE@sha256:HEX`. The manifest has a [`VersionName`] too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DockerImageName(pub VersionName);

/// The name of a repository's rule: `…/rules/ID`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleName {
    /// The repository of the rule.
    pub repository: RepositoryName,
    /// The rule's id in the repository.
    pub id: RuleId,
}

/// The name of a blob or a manifest as a file of a repository: `…/files/sha256:HEX`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileName {
    /// The repository of the file.
    pub repository: RepositoryName,
    /// The digest of the file's bytes.
    pub digest: Digest,
}

/// The name of an attachment, which is a manifest that refers to another manifest of its image: `…/attachments/ID`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttachmentName {
    /// The repository of the attachment.
    pub repository: RepositoryName,
    /// The attachment's id in the repository.
    pub id: AttachmentId,
}

/// Splits `PARENT/COLLECTION/ID` into the parent and the id. The error names `form`, which is the form of the whole
/// name.
fn split_last<'a>(
    text: &'a str,
    collection: &str,
    form: &'static str,
) -> Result<(&'a str, &'a str), ArtifactNameError> {
    let split = || {
        let (rest, last) = text.rsplit_once('/')?;
        let parent = rest.strip_suffix(collection)?.strip_suffix('/')?;
        Some((parent, last))
    };
    split().ok_or(ArtifactNameError::WrongForm(form))
}

/// Returns an image's name as it is written in the names of resources, with `%2F` in place of slashes.
pub fn escape_slashes(image: &str) -> String {
    image.replace('/', "%2F")
}

/// Returns an image's name from its [`escape_slashes`] form. The beginning of an escaped name is accepted too.
pub fn unescape_slashes(text: &str) -> String {
    text.replace("%2F", "/").replace("%2f", "/")
}

impl FromStr for PackageName {
    type Err = ArtifactNameError;

    fn from_str(text: &str) -> Result<Self, ArtifactNameError> {
        let (repository, last) = split_last(text, "packages", PACKAGE_FORM)?;
        Ok(Self { repository: repository.parse()?, image: unescape_slashes(last).parse()? })
    }
}

impl FromStr for VersionName {
    type Err = ArtifactNameError;

    fn from_str(text: &str) -> Result<Self, ArtifactNameError> {
        let (package, last) = split_last(text, "versions", VERSION_FORM)?;
        Ok(Self { package: package.parse()?, digest: last.parse()? })
    }
}

impl FromStr for TagName {
    type Err = ArtifactNameError;

    fn from_str(text: &str) -> Result<Self, ArtifactNameError> {
        let (package, last) = split_last(text, "tags", TAG_FORM)?;
        Ok(Self { package: package.parse()?, tag: last.parse()? })
    }
}

impl FromStr for RuleName {
    type Err = ArtifactNameError;

    fn from_str(text: &str) -> Result<Self, ArtifactNameError> {
        let (repository, last) = split_last(text, "rules", RULE_FORM)?;
        Ok(Self { repository: repository.parse()?, id: last.parse()? })
    }
}

impl FromStr for DockerImageName {
    type Err = ArtifactNameError;

    fn from_str(text: &str) -> Result<Self, ArtifactNameError> {
        let (repository, last) = split_last(text, "dockerImages", DOCKER_IMAGE_FORM)?;
        let (name, digest) =
            last.split_once('@').ok_or(ArtifactNameError::WrongForm(DOCKER_IMAGE_FORM))?;
        let package =
            PackageName { repository: repository.parse()?, image: unescape_slashes(name).parse()? };
        Ok(Self(VersionName { package, digest: digest.parse()? }))
    }
}

impl FromStr for FileName {
    type Err = ArtifactNameError;

    fn from_str(text: &str) -> Result<Self, ArtifactNameError> {
        let (repository, last) = split_last(text, "files", FILE_FORM)?;
        // Clients that download files escape the colon, because the digest becomes the name of a local file, and
        // request the file by that name.
        let digest = last.replace("%3A", ":").replace("%3a", ":");
        Ok(Self { repository: repository.parse()?, digest: digest.parse()? })
    }
}

impl FromStr for AttachmentName {
    type Err = ArtifactNameError;

    fn from_str(text: &str) -> Result<Self, ArtifactNameError> {
        let (repository, last) = split_last(text, "attachments", ATTACHMENT_FORM)?;
        Ok(Self { repository: repository.parse()?, id: last.parse()? })
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = escape_slashes(self.image.as_str());
        write!(f, "{}/packages/{image}", self.repository)
    }
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/versions/{}", self.package, self.digest)
    }
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/tags/{}", self.package, self.tag)
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/rules/{}", self.repository, self.id)
    }
}

impl fmt::Display for DockerImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VersionName { package, digest } = &self.0;
        let image = escape_slashes(package.image.as_str());
        write!(f, "{}/dockerImages/{image}@{digest}", package.repository)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/files/{}", self.repository, self.digest)
    }
}

impl fmt::Display for AttachmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/attachments/{}", self.repository, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPOSITORY: &str = "projects/p/locations/us/repositories/r";
    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// Checks that a valid name is printed as it was parsed, and that another one is refused.
    #[track_caller]
    fn check<T: FromStr<Err = ArtifactNameError> + fmt::Display>(rest: &str, valid: bool) {
        let name = format!("{REPOSITORY}/{rest}").replace("DIGEST", DIGEST);
        match name.parse::<T>() {
            Ok(parsed) => assert_eq!((parsed.to_string(), valid), (name, true)),
            Err(error) => assert!(!valid, "{name}: {error}"),
        }
    }

    #[test]
    fn packages() {
        check::<PackageName>("packages/a", true);
        check::<PackageName>("packages/a%2Fb%2Fc", true);
        check::<PackageName>("packages/a/b", false);
        check::<PackageName>("packages/A", false);
        check::<PackageName>("packages/", false);
        check::<PackageName>("packages/a%252Fb", false);
        check::<PackageName>("packages/..%2Fa", false);
        check::<PackageName>("packages/a%2F", false);
        check::<PackageName>("package/a", false);
        check::<PackageName>("a", false);
        check::<PackageName>("x/packages/a", false);
    }

    #[test]
    fn versions() {
        check::<VersionName>("packages/a%2Fb/versions/DIGEST", true);
        check::<VersionName>("packages/a/versions/latest", false);
        check::<VersionName>("packages/a/versions/sha256:e3b0", false);
        check::<VersionName>("versions/DIGEST", false);
        check::<DockerImageName>("dockerImages/a%2Fb@DIGEST", true);
        check::<DockerImageName>("dockerImages/a@DIGEST@DIGEST", false);
        check::<DockerImageName>("dockerImages/a", false);
        check::<DockerImageName>("dockerImages/a:latest", false);
        check::<DockerImageName>("dockerImages/@DIGEST", false);
    }

    #[test]
    fn tags() {
        check::<TagName>("packages/a/tags/v1.2_3-4", true);
        check::<TagName>("packages/a%2Fb/tags/latest", true);
        check::<TagName>("packages/a/tags/a:b", false);
        check::<TagName>("packages/a/tags/a%2Fb", false);
        check::<TagName>("packages/a/tags/", false);
        check::<TagName>("packages/a/tags/'; DROP TABLE tags; --", false);
    }

    #[test]
    fn rules() {
        check::<RuleName>("rules/dev.tags_may-move", true);
        check::<RuleName>("rules/Dev", false);
        check::<RuleName>("rules/", false);
        check::<RuleName>("packages/a/rules/b", false);
    }

    #[test]
    fn files() {
        check::<FileName>("files/DIGEST", true);
        check::<FileName>("files/sha256:e3b0", false);
        check::<FileName>("files/a/DIGEST", false);
        check::<FileName>("files/..%2FDIGEST", false);
        check::<FileName>("files/", false);
        check::<FileName>("packages/a/files/DIGEST", false);
        let escaped = format!("{REPOSITORY}/files/{}", DIGEST.replace(':', "%3A"));
        let name: FileName = escaped.parse().expect("valid");
        assert_eq!(name.to_string(), format!("{REPOSITORY}/files/{DIGEST}"));
    }

    #[test]
    fn attachments() {
        let id = DIGEST.replace(':', "-");
        check::<AttachmentName>(&format!("attachments/{id}"), true);
        check::<AttachmentName>("attachments/DIGEST", false);
        check::<AttachmentName>("attachments/sha256-", false);
        check::<AttachmentName>("attachments/my-sbom", true);
        check::<AttachmentName>(&format!("attachments/a/{id}"), false);
        check::<AttachmentName>(&format!("files/{id}"), false);
    }

    #[test]
    fn lower_case_escapes_are_accepted() {
        let name: PackageName = format!("{REPOSITORY}/packages/a%2fb").parse().expect("valid");
        assert_eq!(name.image.as_str(), "a/b");
    }
}
