//! Projects: create, read, list and delete.

use std::collections::BTreeMap;

use meta::events::{self, EventAction};
use meta::projects::{self, ProjectRow};
use meta::{Tx, epochs};
use model::iam_policy::IamPolicy;
use model::labels::check_labels;
use model::list_filter::SortDirection;
use model::name::ProjectId;
use model::principal::{PolicyMember, Principal};
use model::resource::Resource;
use model::role;

use crate::admitted::Authorized;
use crate::caller::Caller;
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::policies::evaluate;
use model::permissions::resourcemanager;

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The id.
    pub id: String,
    /// The number.
    pub number: i64,
    /// The name for people.
    pub name: String,
    /// The labels, by their keys.
    pub labels: BTreeMap<String, String>,
    /// True unless deletion was requested.
    pub active: bool,
    /// The time of its creation, in microseconds since 1970.
    pub created_at: i64,
}

impl From<ProjectRow> for Project {
    fn from(row: ProjectRow) -> Self {
        let ProjectRow { id, number, name, labels, active, created_at } = row;
        let labels = serde_json::from_str(&labels).unwrap_or_default();
        Self { id, number, name, labels, active, created_at }
    }
}

/// A project that is to be created.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// The id.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// The labels, by their keys.
    pub labels: BTreeMap<String, String>,
}

impl Identity {
    /// Creates a project, whose creator becomes its owner.
    pub async fn create_project(
        &self,
        admitted: &Authorized,
        new: NewProject,
    ) -> Result<Project, IdentityError> {
        admitted.resource_for(resourcemanager::PROJECTS_CREATE)?;
        let id = parse_new_id(&new.id)?;
        check_name(&new.name)?;
        check_labels(&new.labels)
            .map_err(|error| IdentityError::invalid("project.labels", error))?;
        let row = ProjectRow {
            id: id.as_str().to_owned(),
            number: projects::random_number(),
            name: if new.name.is_empty() { new.id } else { new.name },
            labels: serde_json::to_string(&new.labels).expect("texts are always JSON"),
            active: true,
            created_at: self.clock.now(),
        };
        let (admitted, created) = (admitted.clone(), row.clone());
        let writing = self.write(move |tx| {
            if !projects::insert(tx, &created)? {
                return Err(IdentityError::AlreadyExists(
                    "Requested entity already exists".to_owned(),
                ));
            }
            let resource = format!("projects/{}", created.id);
            let policy = owner_policy(&admitted.caller().principal);
            evaluate::write_policy(tx, &resource, &policy, created.created_at)?;
            let event = admitted.event(EventAction::CreateProject, &resource, created.created_at);
            Ok(events::insert(tx, &event)?)
        });
        writing.await?;
        self.poll_epoch().await?;
        Ok(row.into())
    }

    /// Returns a project.
    pub async fn find_project(&self, admitted: &Authorized) -> Result<Project, IdentityError> {
        let id = admitted.project_for(resourcemanager::PROJECTS_GET)?;
        Ok(self.project_row(id.as_str()).await?.into())
    }

    /// Returns the number of a project, for the metadata server.
    pub async fn project_number(&self, id: &str) -> Result<i64, IdentityError> {
        Ok(self.project_row(id).await?.number)
    }

    async fn project_row(&self, id: &str) -> Result<ProjectRow, IdentityError> {
        let id = id.to_owned();
        let reading = self.read_by_key(move |tx| {
            let row = projects::find(tx, &id)?;
            row.ok_or_else(|| IdentityError::ResourceUnknown(format!("projects/{id}")))
        });
        reading.await
    }

    /// Returns the projects of a list that the caller may see, and the id after which the next page begins.
    pub async fn list_projects(
        &self,
        caller: &Caller,
        list: ProjectList,
    ) -> Result<(Vec<Project>, Option<String>), IdentityError> {
        const ROWS_PER_READ: i64 = 500;
        /// The most projects that one request looks at. Of very many projects, the caller may see few.
        const MAX_EXAMINED: usize = 2_000;
        let ProjectList { contains, direction, last, limit } = list;
        // No id begins with a character after this one.
        let edge = direction.choose(["", "~"]);
        let mut last = if last.is_empty() { edge.to_owned() } else { last };
        let (mut visible, mut examined) = (Vec::new(), 0);
        loop {
            let after = last.clone();
            let reading =
                self.read(move |tx| Ok(projects::list(tx, direction, &after, ROWS_PER_READ)?));
            let rows = reading.await?;
            let is_end = rows.len() < ROWS_PER_READ as usize;
            for row in rows {
                if visible.len() == limit || examined == MAX_EXAMINED {
                    return Ok((visible, Some(last)));
                }
                examined += 1;
                last.clone_from(&row.id);
                if !row.id.contains(&contains) && !row.name.contains(&contains) {
                    continue;
                }
                let resource = format!("projects/{}", row.id).parse::<Resource>();
                if let Ok(resource) = resource
                    && self.may(caller, resourcemanager::PROJECTS_GET, &resource).await?
                {
                    visible.push(row.into());
                }
            }
            if is_end {
                return Ok((visible, None));
            }
        }
    }

    /// Requests the deletion of a project. From now on, nobody may do anything in it.
    pub async fn delete_project(&self, admitted: &Authorized) -> Result<(), IdentityError> {
        let id = admitted.project_for(resourcemanager::PROJECTS_DELETE)?.clone();
        let resource = format!("projects/{id}");
        let (admitted, now) = (admitted.clone(), self.clock.now());
        let writing = self.write(move |tx| {
            if projects::request_delete(tx, id.as_str())? == 0 {
                return Err(IdentityError::ResourceUnknown(resource.clone()));
            }
            evaluate::check_administrator(tx)?;
            epochs::bump(tx, epochs::ACCESS)?;
            let event = admitted.event(EventAction::DeleteProject, &resource, now);
            Ok(events::insert(tx, &event)?)
        });
        writing.await?;
        self.poll_epoch().await?;
        Ok(())
    }
}

/// A query for projects, in the order of their ids.
#[derive(Debug, Clone)]
pub struct ProjectList {
    /// The text that the id or the name contains.
    pub contains: String,
    /// The direction of the order.
    pub direction: SortDirection,
    /// The id after which the page begins, or an empty text for the first page.
    pub last: String,
    /// The largest number of projects to return.
    pub limit: usize,
}

/// Returns a policy that makes a principal the owner.
fn owner_policy(principal: &Principal) -> IamPolicy {
    let mut policy = IamPolicy::default();
    let owner = role::find_role("roles/owner").expect("a predefined role");
    match principal {
        Principal::Anonymous | Principal::System(_) => {}
        Principal::User(email) => policy.bind(owner, PolicyMember::User(email.clone())),
        Principal::ServiceAccount(email) => {
            policy.bind(owner, PolicyMember::ServiceAccount(email.clone()));
        }
    }
    policy
}

fn check_name(name: &str) -> Result<(), IdentityError> {
    const MAX_NAME_CHARACTERS: usize = 100;
    if name.chars().count() <= MAX_NAME_CHARACTERS && !name.contains(char::is_control) {
        return Ok(());
    }
    Err(IdentityError::InvalidArgument {
        field: "project.name",
        problem: format!(
            "at most {MAX_NAME_CHARACTERS} characters, none of which controls a terminal"
        ),
    })
}

/// Parses the id of a new project, with the lengths that Resource Manager takes.
fn parse_new_id(id: &str) -> Result<ProjectId, IdentityError> {
    let without_domain = id.rsplit(':').next().unwrap_or_default();
    let is_length_good = (6..=30).contains(&without_domain.len());
    let parsed = id.parse::<ProjectId>().ok().filter(|_| is_length_good);
    parsed.ok_or_else(|| IdentityError::InvalidArgument {
        field: "project_id",
        problem: format!(
            "{:?} is not valid: 6 to 30 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen",
            id.chars().take(100).collect::<String>()
        ),
    })
}

/// Returns the row of a project, if its deletion was not requested.
pub(crate) fn require_active(tx: &mut Tx<'_>, id: &ProjectId) -> Result<ProjectRow, IdentityError> {
    let project = projects::find(tx, id.as_str())?.filter(|project| project.active);
    project.ok_or_else(|| IdentityError::ResourceUnknown(format!("projects/{id}")))
}
