//! The changes of an image that the viewer may make. A page shows no button for any other.

use model::name::RepositoryName;
use model::permissions::artifactregistry;
use model::repository::ModeName;
use model::resource::Resource;

use crate::error::ConsoleError;
use crate::request::ConsoleRequest;

/// The changes of an image that the viewer may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageRights {
    pub(crate) set_tags: bool,
    pub(crate) remove_tags: bool,
    pub(crate) delete_versions: bool,
}

impl ImageRights {
    /// Returns the rights of the viewer, as far as the mode of the repository lets anybody use them.
    pub(crate) async fn of(
        request: &ConsoleRequest,
        name: &RepositoryName,
    ) -> Result<Self, ConsoleError> {
        let resource = Resource::Repository(name.clone());
        let may = async |permission| request.may(permission, &resource).await;
        let rights = Self {
            set_tags: may(artifactregistry::TAGS_CREATE).await?
                && may(artifactregistry::TAGS_UPDATE).await?,
            remove_tags: may(artifactregistry::TAGS_DELETE).await?,
            delete_versions: may(artifactregistry::VERSIONS_DELETE).await?,
        };
        let none = Self { set_tags: false, remove_tags: false, delete_versions: false };
        if rights == none || !may(artifactregistry::REPOSITORIES_GET).await? {
            return Ok(none);
        }
        Ok(match request.repository(name).await?.mode {
            ModeName::Standard => rights,
            ModeName::Remote => Self { set_tags: false, ..rights },
            ModeName::Virtual => none,
        })
    }
}
