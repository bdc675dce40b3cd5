//! The path to a page and the pages beside it: project, repository, image, version.

use model::artifact_name::{PackageName, VersionName};
use model::name::{ProjectId, RepositoryName};
use model::permissions::artifactregistry;
use model::repository::ModeName;
use model::resource::Resource;

use crate::error::ConsoleError;
use crate::frame::{Crumb, Frame, Tab};
use crate::html::short_digest;
use crate::links::Link;
use crate::request::ConsoleRequest;

impl ConsoleRequest {
    /// Returns the steps to a project. A viewer of one repository may not see the project.
    pub(crate) async fn crumbs_to_project(
        &self,
        project: &ProjectId,
    ) -> Result<Vec<Crumb>, ConsoleError> {
        let resource = Resource::Project(project.clone());
        let may_see = self.may(artifactregistry::REPOSITORIES_LIST, &resource).await?;
        let home = Crumb { label: self.texts.projects().to_owned(), link: Some(Link::home()) };
        let link = may_see.then(|| self.links.project(project));
        Ok(vec![home, Crumb { label: project.to_string(), link }])
    }

    /// Returns the steps to a repository.
    async fn crumbs_to_repository(
        &self,
        name: &RepositoryName,
    ) -> Result<Vec<Crumb>, ConsoleError> {
        let mut crumbs = self.crumbs_to_project(&name.project).await?;
        let link = Some(self.links.repository(name));
        crumbs.push(Crumb { label: name.repository.to_string(), link });
        Ok(crumbs)
    }

    /// Returns the steps to an image.
    pub(crate) async fn crumbs_to_image(
        &self,
        name: &PackageName,
    ) -> Result<Vec<Crumb>, ConsoleError> {
        let mut crumbs = self.crumbs_to_repository(&name.repository).await?;
        let link = Some(self.links.image(name));
        crumbs.push(Crumb { label: name.image.to_string(), link });
        Ok(crumbs)
    }

    /// Returns the steps to a version.
    pub(crate) async fn crumbs_to_version(
        &self,
        name: &VersionName,
    ) -> Result<Vec<Crumb>, ConsoleError> {
        let mut crumbs = self.crumbs_to_image(&name.package).await?;
        let label = short_digest(name.digest.as_str()).to_owned();
        crumbs.push(Crumb { label, link: Some(self.links.version(name)) });
        Ok(crumbs)
    }

    /// Returns the frame of a page about a repository: the way to it, and the pages beside it.
    pub(crate) async fn repository_frame(
        &self,
        name: &RepositoryName,
        mode: ModeName,
        title: impl Into<String>,
    ) -> Result<Frame, ConsoleError> {
        let crumbs = self.crumbs_to_repository(name).await?;
        Ok(self.frame(title).with_crumbs(crumbs).with_tabs(self.repository_tabs(name, mode)))
    }

    /// Returns the frame of a page about an image.
    pub(crate) async fn image_frame(
        &self,
        name: &PackageName,
        title: impl Into<String>,
    ) -> Result<Frame, ConsoleError> {
        let crumbs = self.crumbs_to_image(name).await?;
        Ok(self.frame(title).with_crumbs(crumbs).with_tabs(self.image_tabs(name)))
    }

    /// Returns the pages about a repository.
    fn repository_tabs(&self, name: &RepositoryName, mode: ModeName) -> Vec<Tab> {
        let (t, link) = (self.texts, self.links.repository(name));
        let mut tabs = vec![self.tab(t.images(), link.clone())];
        match mode {
            ModeName::Standard => {}
            ModeName::Remote | ModeName::Virtual => {
                tabs.push(self.tab(t.upstreams(), link.clone().page("upstreams")));
            }
        }
        if !self.viewer.is_signed_out() {
            tabs.push(self.tab(t.activity(), link.clone().page("activity")));
        }
        tabs.push(self.tab(t.connect(), link.page("connect")));
        tabs
    }

    /// Returns the pages about an image.
    fn image_tabs(&self, name: &PackageName) -> Vec<Tab> {
        let (t, link) = (self.texts, self.links.image(name));
        let view = |label, view| self.tab(label, link.clone().with("view", view));
        let mut tabs = vec![
            self.tab(t.tags(), link.clone()),
            view(t.versions(), "versions"),
            view(t.untagged(), "untagged"),
        ];
        if !self.viewer.is_signed_out() {
            tabs.push(self.tab(t.history(), link.clone().page("history")));
            tabs.push(self.tab(t.activity(), link.page("activity")));
        }
        tabs
    }

    /// Returns a tab, which is the current one if its path and view are those of this request.
    fn tab(&self, label: &'static str, link: Link) -> Tab {
        let address = link.to_string();
        let (path, query) = address.split_once('?').unwrap_or((&address, ""));
        let (here, _) = self.here.split_once('?').unwrap_or((&self.here, ""));
        let view = crate::query::Fields::parse(query.as_bytes());
        let is_current = path == here && view.get("view") == self.query.get("view");
        Tab { label, link, is_current }
    }
}
