//! What a caller may do to a repository, by Artifact Registry's names.

use std::fmt;

/// A permission on a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Read manifests, blobs, tags and referrers.
    DownloadArtifacts,
    /// Start, fill and finish uploads; write manifests and tags.
    UploadArtifacts,
    /// Delete manifests, tags and blobs.
    DeleteArtifacts,
    /// Create the repository by pushing to it.
    CreateOnPush,
}

impl Permission {
    /// The permission's name in policies, roles and error texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DownloadArtifacts => "artifactregistry.repositories.downloadArtifacts",
            Self::UploadArtifacts => "artifactregistry.repositories.uploadArtifacts",
            Self::DeleteArtifacts => "artifactregistry.repositories.deleteArtifacts",
            Self::CreateOnPush => "artifactregistry.repositories.createOnPush",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
