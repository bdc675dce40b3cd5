//! Repositories and projects as the console lists them: how much they hold, and when something was pushed last.

use identity::{AuthorizationMode, Authorized, Caller};
use meta::repository_summaries::{self, ProjectContent, RepositoryPosition, RepositorySummary};
use model::list_filter::SortDirection;
use model::name::ProjectId;
use model::permissions::artifactregistry;
use model::resource::Resource;

use crate::artifacts::listing::{RowFilter, read_page};
use crate::artifacts::repositories::check_project;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::page::{ListPage, PageRequest};

/// A project, and what its repositories hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectSummary {
    /// The id of the project.
    pub project: ProjectId,
    /// The content of the repositories, or `None` if the caller may not list them.
    pub content: Option<ProjectContent>,
}

/// A query for the repositories of a project.
#[derive(Debug, Clone)]
pub struct RepositorySummaryList {
    /// The text that the names contain.
    pub contains: String,
    /// The direction of the order of names.
    pub direction: SortDirection,
    /// The page.
    pub page: PageRequest,
}

impl Engine {
    /// Lists the repositories of the project for which the caller was authorized, of all locations, in the order of
    /// their names.
    pub async fn repository_summaries(
        &self,
        authorized: &Authorized,
        list: RepositorySummaryList,
    ) -> Result<ListPage<RepositorySummary>, EngineError> {
        let project = authorized.project_for(artifactregistry::REPOSITORIES_LIST)?.clone();
        let needs_project = !matches!(authorized.caller().mode, AuthorizationMode::Everything);
        let RepositorySummaryList { contains, direction, page } = list;
        self.read(move |tx| {
            if needs_project {
                check_project(tx, &project)?;
            }
            let listed = read_page(
                page.clone(),
                |last, limit| {
                    // No name begins with a character after this one.
                    let edge = direction.choose(["", "~"]);
                    let last = if last.is_empty() { edge } else { last };
                    let (name, location) = last.split_once(' ').unwrap_or((last, ""));
                    let last = RepositoryPosition { name, location };
                    Ok(repository_summaries::list(tx, &project, direction, last, limit)?)
                },
                |row| format!("{} {}", row.name, row.location),
                |row| RowFilter::include_if(row.name.contains(&contains), 500),
            )?;
            let ids: Vec<_> = listed.entries.iter().map(|row| row.id).collect();
            let entries = repository_summaries::read(tx, &ids)?;
            Ok(ListPage { entries, first: listed.first, next: listed.next })
        })
        .await
    }

    /// Returns what the repositories of some projects hold, in the order of the projects.
    pub async fn project_summaries(
        &self,
        caller: &Caller,
        projects: Vec<ProjectId>,
    ) -> Result<Vec<ProjectSummary>, EngineError> {
        let mut visible = Vec::new();
        for project in projects {
            let resource = Resource::Project(project.clone());
            let permission = artifactregistry::REPOSITORIES_LIST;
            visible.push((project, self.identity.may(caller, permission, &resource).await?));
        }
        self.read(move |tx| {
            let mut summaries = Vec::new();
            for (project, is_visible) in &visible {
                let content = match is_visible {
                    true => Some(repository_summaries::sum_project(tx, project)?),
                    false => None,
                };
                summaries.push(ProjectSummary { project: project.clone(), content });
            }
            Ok(summaries)
        })
        .await
    }
}
