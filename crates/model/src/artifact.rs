//! Names of what lies in a repository, as Google's APIs write them: `%2F` for the slashes of an image's name.

use std::fmt;
use std::str::FromStr;

use crate::attachment::{AttachmentId, AttachmentIdError};
use crate::digest::{Digest, DigestError};
use crate::name::{ImageName, NameError, RepositoryName};
use crate::reference::{ReferenceError, Tag};
use crate::rule::{RuleId, RuleIdError};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// The repository, or the image.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The version, or the file.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// The tag.
    #[error(transparent)]
    Tag(#[from] ReferenceError),
    /// The rule.
    #[error(transparent)]
    Rule(#[from] RuleIdError),
    /// The attachment.
    #[error(transparent)]
    Attachment(#[from] AttachmentIdError),
    /// Its shape.
    #[error("has not the form {0}")]
    Shape(&'static str),
}

const PACKAGE: &str = "projects/P/locations/L/repositories/R/packages/IMAGE";
const VERSION: &str = "projects/P/locations/L/repositories/R/packages/IMAGE/versions/sha256:HEX";
const TAG: &str = "projects/P/locations/L/repositories/R/packages/IMAGE/tags/TAG";
const RULE: &str = "projects/P/locations/L/repositories/R/rules/ID";
const FILE: &str = "projects/P/locations/L/repositories/R/files/sha256:HEX";
const ATTACHMENT: &str = "projects/P/locations/L/repositories/R/attachments/ID";
const DOCKER_IMAGE: &str = "projects/P/locations/L/repositories/R/dockerImages/IMAGE@sha256:HEX";

/// An image: `…/packages/IMAGE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PackageName {
    /// The repository that it is in.
    pub repository: RepositoryName,
    /// Its name there.
    pub image: ImageName,
}

/// A manifest of an image: `…/packages/IMAGE/versions/sha256:HEX`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VersionName {
    /// The image.
    pub package: PackageName,
    /// The manifest's digest.
    pub digest: Digest,
}

/// A tag of an image: `…/packages/IMAGE/tags/TAG`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagName {
    /// The image.
    pub package: PackageName,
    /// The tag.
    pub tag: Tag,
}

/// The same manifest as a Docker image: `…/dockerImages/IMAGE@sha256:HEX`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DockerImageName(pub VersionName);

/// A rule of a repository: `…/rules/ID`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleName {
    /// The repository that it is for.
    pub repository: RepositoryName,
    /// Its id there.
    pub id: RuleId,
}

/// A blob or a manifest of a repository: `…/files/sha256:HEX`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileName {
    /// The repository that it is in.
    pub repository: RepositoryName,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// A manifest that refers to another one of its image: `…/attachments/ID`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttachmentName {
    /// The repository that it is in.
    pub repository: RepositoryName,
    /// Its id there.
    pub id: AttachmentId,
}

/// Takes the last part from a name, and the collection that it is in.
fn split<'a>(text: &'a str, collection: &str) -> Option<(&'a str, &'a str)> {
    let (rest, last) = text.rsplit_once('/')?;
    let parent = rest.strip_suffix(collection)?.strip_suffix('/')?;
    Some((parent, last))
}

/// An image's name as the names of resources hold it.
pub fn escaped(image: &str) -> String {
    image.replace('/', "%2F")
}

/// What was [`escaped`], or begins as that does.
pub fn unescaped(text: &str) -> String {
    text.replace("%2F", "/").replace("%2f", "/")
}

impl FromStr for PackageName {
    type Err = ArtifactError;

    fn from_str(text: &str) -> Result<Self, ArtifactError> {
        let (repository, last) = split(text, "packages").ok_or(ArtifactError::Shape(PACKAGE))?;
        Ok(Self { repository: repository.parse()?, image: unescaped(last).parse()? })
    }
}

impl FromStr for VersionName {
    type Err = ArtifactError;

    fn from_str(text: &str) -> Result<Self, ArtifactError> {
        let (package, last) = split(text, "versions").ok_or(ArtifactError::Shape(VERSION))?;
        Ok(Self { package: package.parse()?, digest: last.parse()? })
    }
}

impl FromStr for TagName {
    type Err = ArtifactError;

    fn from_str(text: &str) -> Result<Self, ArtifactError> {
        let (package, last) = split(text, "tags").ok_or(ArtifactError::Shape(TAG))?;
        Ok(Self { package: package.parse()?, tag: last.parse()? })
    }
}

impl FromStr for RuleName {
    type Err = ArtifactError;

    fn from_str(text: &str) -> Result<Self, ArtifactError> {
        let (repository, last) = split(text, "rules").ok_or(ArtifactError::Shape(RULE))?;
        Ok(Self { repository: repository.parse()?, id: last.parse()? })
    }
}

impl FromStr for DockerImageName {
    type Err = ArtifactError;

    fn from_str(text: &str) -> Result<Self, ArtifactError> {
        let shape = ArtifactError::Shape(DOCKER_IMAGE);
        let (repository, last) = split(text, "dockerImages").ok_or(shape.clone())?;
        let (name, digest) = last.split_once('@').ok_or(shape)?;
        let package =
            PackageName { repository: repository.parse()?, image: unescaped(name).parse()? };
        Ok(Self(VersionName { package, digest: digest.parse()? }))
    }
}

impl FromStr for FileName {
    type Err = ArtifactError;

    fn from_str(text: &str) -> Result<Self, ArtifactError> {
        let (repository, last) = split(text, "files").ok_or(ArtifactError::Shape(FILE))?;
        // Clients that make files of files name them like this, and ask for them by that name.
        let digest = last.replace("%3A", ":").replace("%3a", ":");
        Ok(Self { repository: repository.parse()?, digest: digest.parse()? })
    }
}

impl FromStr for AttachmentName {
    type Err = ArtifactError;

    fn from_str(text: &str) -> Result<Self, ArtifactError> {
        let shape = ArtifactError::Shape(ATTACHMENT);
        let (repository, last) = split(text, "attachments").ok_or(shape)?;
        Ok(Self { repository: repository.parse()?, id: last.parse()? })
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = escaped(self.image.as_str());
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
        let image = escaped(package.image.as_str());
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

    /// What is read is written as it was, and what is none stays none.
    #[track_caller]
    fn check<T: FromStr<Err = ArtifactError> + fmt::Display>(rest: &str, valid: bool) {
        let name = format!("{REPOSITORY}/{rest}").replace("DIGEST", DIGEST);
        match name.parse::<T>() {
            Ok(read) => assert_eq!((read.to_string(), valid), (name, true)),
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
    fn lower_case_escapes_are_read_too() {
        let name: PackageName = format!("{REPOSITORY}/packages/a%2fb").parse().expect("valid");
        assert_eq!(name.image.as_str(), "a/b");
    }
}
