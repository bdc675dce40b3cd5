//! Projects.

use std::collections::BTreeMap;

use meta::events::{self, EventAction};
use meta::projects::{self, ProjectRow as Row};
use meta::{Tx, epochs};
use model::iam_policy::IamPolicy;
use model::labels::check_labels;
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
    /// Its id.
    pub id: String,
    /// Its number.
    pub number: i64,
    /// For people.
    pub name: String,
    /// Key and value.
    pub labels: BTreeMap<String, String>,
    /// Whether it can be used.
    pub active: bool,
    /// When it was created, in microseconds since 1970.
    pub created_at: i64,
}

impl From<Row> for Project {
    fn from(row: Row) -> Self {
        let Row { id, number, name, labels, active, created_at } = row;
        let labels = serde_json::from_str(&labels).unwrap_or_default();
        Self { id, number, name, labels, active, created_at }
    }
}

/// A project that is to be.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// Its id.
    pub id: String,
    /// For people.
    pub name: String,
    /// Key and value.
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
        let id = check_id(&new.id)?;
        check_name(&new.name)?;
        check_labels(&new.labels)
            .map_err(|error| IdentityError::invalid("project.labels", error))?;
        let row = Row {
            id: id.as_str().to_owned(),
            number: projects::random_number(),
            name: if new.name.is_empty() { new.id } else { new.name },
            labels: serde_json::to_string(&new.labels).expect("texts are always JSON"),
            active: true,
            created_at: self.clock.now(),
        };
        let (admitted, created) = (admitted.clone(), row.clone());
        self.meta
            .write(move |tx| {
                if !projects::insert(tx, &created)? {
                    return Err(IdentityError::AlreadyExists(
                        "Requested entity already exists".to_owned(),
                    ));
                }
                let resource = format!("projects/{}", created.id);
                let policy = owned_by(&admitted.caller().principal);
                evaluate::write(tx, &resource, &policy, created.created_at)?;
                let event =
                    admitted.event(EventAction::CreateProject, &resource, created.created_at);
                Ok(events::insert(tx, &event)?)
            })
            .await?;
        self.poll_epoch().await?;
        Ok(row.into())
    }

    /// What a project is.
    pub async fn project(&self, admitted: &Authorized) -> Result<Project, IdentityError> {
        let id = admitted.project_for(resourcemanager::PROJECTS_GET)?.clone();
        let unknown = IdentityError::ResourceUnknown(format!("projects/{id}"));
        let found = self
            .meta
            .read_by_key(move |tx| Ok::<_, IdentityError>(projects::find(tx, id.as_str())?))
            .await?;
        found.map(Project::from).ok_or(unknown)
    }

    /// The number of a project, for the metadata server.
    pub async fn project_number(&self, id: &str) -> Result<i64, IdentityError> {
        let wanted = id.to_owned();
        let found = self
            .meta
            .read_by_key(move |tx| Ok::<_, IdentityError>(projects::find(tx, &wanted)?))
            .await?;
        let unknown = || IdentityError::ResourceUnknown(format!("projects/{id}"));
        found.map(|project| project.number).ok_or_else(unknown)
    }

    /// The projects after `last` that the caller may see, and where to go on.
    pub async fn projects(
        &self,
        caller: &Caller,
        (last, limit): (&str, usize),
    ) -> Result<(Vec<Project>, Option<String>), IdentityError> {
        const STEP: i64 = 500;
        /// Most of them may be hidden, and nobody may make one request look at all.
        const MOST: usize = 2_000;
        let get = resourcemanager::PROJECTS_GET;
        let (mut found, mut last, mut seen) = (Vec::new(), last.to_owned(), 0);
        loop {
            let after = last.clone();
            let rows = self
                .meta
                .read(move |tx| Ok::<_, IdentityError>(projects::list(tx, &after, STEP)?))
                .await?;
            let end = rows.len() < STEP as usize;
            for row in rows {
                if found.len() == limit || seen == MOST {
                    return Ok((found, Some(last)));
                }
                seen += 1;
                last.clone_from(&row.id);
                let resource = format!("projects/{}", row.id).parse::<Resource>();
                if let Ok(resource) = resource
                    && self.may(caller, get, &resource).await?
                {
                    found.push(row.into());
                }
            }
            if end {
                return Ok((found, None));
            }
        }
    }

    /// Asks for a project's end: from now on nobody may do anything in it.
    pub async fn delete_project(&self, admitted: &Authorized) -> Result<(), IdentityError> {
        let id = admitted.project_for(resourcemanager::PROJECTS_DELETE)?.clone();
        let resource = format!("projects/{id}");
        let (admitted, now) = (admitted.clone(), self.clock.now());
        self.meta
            .write(move |tx| {
                if projects::request_delete(tx, id.as_str())? == 0 {
                    return Err(IdentityError::ResourceUnknown(resource.clone()));
                }
                evaluate::check_administrator(tx)?;
                epochs::bump(tx, epochs::ACCESS)?;
                let event = admitted.event(EventAction::DeleteProject, &resource, now);
                Ok(events::insert(tx, &event)?)
            })
            .await?;
        self.poll_epoch().await?;
        Ok(())
    }
}

/// A policy that makes somebody the owner.
pub(crate) fn owned_by(principal: &Principal) -> IamPolicy {
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
    const LONGEST: usize = 100;
    if name.chars().count() <= LONGEST && !name.contains(char::is_control) {
        return Ok(());
    }
    Err(IdentityError::InvalidArgument {
        field: "project.name",
        problem: format!("at most {LONGEST} characters, none of which controls a terminal"),
    })
}

/// The ids that Resource Manager takes.
fn check_id(id: &str) -> Result<ProjectId, IdentityError> {
    let own = id.rsplit(':').next().unwrap_or_default();
    let parsed = id.parse::<ProjectId>().ok().filter(|_| (6..=30).contains(&own.len()));
    parsed.ok_or_else(|| IdentityError::InvalidArgument {
        field: "project_id",
        problem: format!(
            "{:?} is not valid: 6 to 30 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen",
            id.chars().take(100).collect::<String>()
        ),
    })
}

/// The project's row, where it can be used.
pub(crate) fn require_active(tx: &mut Tx<'_>, id: &ProjectId) -> Result<Row, IdentityError> {
    let found = projects::find(tx, id.as_str())?.filter(|project| project.active);
    found.ok_or_else(|| IdentityError::ResourceUnknown(format!("projects/{id}")))
}
