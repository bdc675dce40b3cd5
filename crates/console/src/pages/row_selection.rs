//! The parts that the lists of an image share: its tags, its versions and its untagged versions.

use model::artifact_name::PackageName;

use crate::error::ConsoleError;
use crate::links::Link;
use crate::pages::rights::ImageRights;
use crate::request::ConsoleRequest;

/// The most platforms, and the most tags, of one row.
pub(crate) const MAX_IN_ROW: usize = 5;

/// The forms of a list, in which the viewer selects rows.
pub(crate) struct RowSelection {
    pub(crate) location: Option<String>,
    pub(crate) deletion_plan: Link,
    pub(crate) compare: Link,
    pub(crate) rights: ImageRights,
}

impl RowSelection {
    pub(crate) async fn of(
        request: &ConsoleRequest,
        name: &PackageName,
    ) -> Result<Self, ConsoleError> {
        let image = request.links.image(name);
        Ok(Self {
            location: request.other_location(&name.repository),
            deletion_plan: image.clone().page("deletion-plan"),
            compare: image.page("compare"),
            rights: ImageRights::of(request, &name.repository).await?,
        })
    }
}
