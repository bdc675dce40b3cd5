//! Rules of a repository as they are administered, and how they decide about downloads. How they decide about tags is in
//! `immutability`.

use identity::Authorized;
use meta::events::{self, EventAction};
use meta::rules::{self, RuleRow as Row};
use meta::{Id, Tx};
use model::artifact_name::{RuleName, unescape_slashes};
use model::name::{ImageName, RepositoryName};
use model::repository_rule::{RuleAction, RuleId, RuleOperation};

use crate::access::find_repository;
use crate::artifacts::listing::{ListPage, RowFilter, read_page};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::tags::download_rules::parse_condition;
use model::permissions::artifactregistry;

/// What is to be set on a rule. What is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct RuleChange {
    /// What it says.
    pub action: Option<RuleAction>,
    /// What it is about.
    pub operation: Option<RuleOperation>,
    /// The image that it is for; empty is the whole repository.
    pub package: Option<String>,
    /// When it applies; empty is always.
    pub expression: Option<String>,
    /// For people.
    pub title: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// For people: where the expression is from.
    pub location: Option<String>,
}

impl RuleChange {
    fn apply(self, to: &mut Row) -> Result<(), EngineError> {
        to.action = self.action.unwrap_or(to.action);
        to.operation = self.operation.unwrap_or(to.operation);
        if let Some(package) = self.package {
            to.package = unescape_slashes(&package);
            let parsed = to.package.parse::<ImageName>().map(|_| ());
            parsed.or_else(|problem| match to.package.as_str() {
                "" => Ok(()),
                _ => Err(EngineError::invalid("rule.package_id", problem)),
            })?;
        }
        if let Some(expression) = self.expression {
            if !expression.is_empty() {
                parse_condition(&expression)?;
            }
            to.expression = expression;
        }
        for (field, most, text, set) in [
            ("rule.condition.title", 256, self.title, &mut to.title),
            ("rule.condition.description", 1_024, self.description, &mut to.description),
            ("rule.condition.location", 1_024, self.location, &mut to.location),
        ] {
            let Some(text) = text else { continue };
            if text.chars().count() > most || text.contains('\0') {
                return Err(EngineError::invalid(field, format!("at most {most} characters")));
            }
            *set = text;
        }
        Ok(())
    }
}

fn find(tx: &mut Tx<'_>, repository: &Id, name: &RuleName) -> Result<Row, EngineError> {
    let unknown = || EngineError::ResourceUnknown(format!("Rule \"{}\"", name.id));
    rules::find(tx, repository, name.id.as_str())?.ok_or_else(unknown)
}

/// A repository has one rule about each operation, and one for each of its images.
fn check_unique(tx: &mut Tx<'_>, repository: &Id, row: &Row) -> Result<(), EngineError> {
    let holder = rules::find_name_by_scope(tx, repository, row.operation, &row.package)?;
    let Some(other) = holder.filter(|holder| *holder != row.name) else { return Ok(()) };
    let what = match row.package.as_str() {
        "" => "the whole repository".to_owned(),
        package => format!("package \"{package}\""),
    };
    let operation = row.operation.as_str();
    let problem = format!("rule \"{other}\" is about {operation} of {what} already");
    Err(EngineError::AlreadyExists(problem))
}

impl Engine {
    /// The rules of a repository, by name.
    pub async fn rules(
        &self,
        admitted: &Authorized,
        repository: &RepositoryName,
        (start, limit): (&str, usize),
    ) -> Result<ListPage<Row>, EngineError> {
        admitted.require_repository(artifactregistry::RULES_LIST, repository)?;
        let (name, start) = (repository.clone(), start.to_owned());
        self.meta
            .read(move |tx| {
                let id = find_repository(tx, &name)?.id;
                let bytes = |row: &Row| 500 + row.expression.len() + row.description.len();
                read_page(
                    (start.clone(), limit),
                    |last, step| Ok(rules::list(tx, &id, last, step)?),
                    |row| row.name.clone(),
                    |row| RowFilter::Wanted(bytes(row)),
                )
            })
            .await
    }

    /// One rule.
    pub async fn rule(&self, admitted: &Authorized, name: &RuleName) -> Result<Row, EngineError> {
        admitted.require_repository(artifactregistry::RULES_GET, &name.repository)?;
        let name = name.clone();
        self.meta
            .read_by_key(move |tx| {
                let repository = find_repository(tx, &name.repository)?.id;
                find(tx, &repository, &name)
            })
            .await
    }

    /// Makes a rule that there is not yet. It holds for whatever is decided after it.
    pub async fn create_rule(
        &self,
        admitted: &Authorized,
        (repository, id): (&RepositoryName, &RuleId),
        change: RuleChange,
    ) -> Result<Row, EngineError> {
        admitted.require_repository(artifactregistry::RULES_CREATE, repository)?;
        let mut row = Row {
            name: id.to_string(),
            action: RuleAction::Deny,
            operation: RuleOperation::Download,
            package: String::new(),
            expression: String::new(),
            title: String::new(),
            description: String::new(),
            location: String::new(),
        };
        change.apply(&mut row)?;
        let (admitted, now) = (admitted.clone(), self.clock.now());
        let name = RuleName { repository: repository.clone(), id: id.clone() };
        self.meta
            .write(move |tx| {
                let repository = find_repository(tx, &name.repository)?.id;
                if rules::find(tx, &repository, name.id.as_str())?.is_some() {
                    let problem = format!("rule \"{}\" already exists", name.id);
                    return Err(EngineError::AlreadyExists(problem));
                }
                check_unique(tx, &repository, &row)?;
                rules::set(tx, &repository, &row)?;
                events::insert(
                    tx,
                    &admitted.event(EventAction::CreateRule, &name.to_string(), now),
                )?;
                Ok(row.clone())
            })
            .await
    }

    /// Changes what is set on a rule.
    pub async fn update_rule(
        &self,
        admitted: &Authorized,
        name: &RuleName,
        change: RuleChange,
    ) -> Result<Row, EngineError> {
        admitted.require_repository(artifactregistry::RULES_UPDATE, &name.repository)?;
        let (admitted, name, now) = (admitted.clone(), name.clone(), self.clock.now());
        self.meta
            .write(move |tx| {
                let repository = find_repository(tx, &name.repository)?.id;
                let mut row = find(tx, &repository, &name)?;
                change.clone().apply(&mut row)?;
                check_unique(tx, &repository, &row)?;
                rules::set(tx, &repository, &row)?;
                events::insert(
                    tx,
                    &admitted.event(EventAction::UpdateRule, &name.to_string(), now),
                )?;
                Ok(row)
            })
            .await
    }

    /// Takes a rule away.
    pub async fn delete_rule(
        &self,
        admitted: &Authorized,
        name: &RuleName,
    ) -> Result<(), EngineError> {
        admitted.require_repository(artifactregistry::RULES_DELETE, &name.repository)?;
        let (admitted, name, now) = (admitted.clone(), name.clone(), self.clock.now());
        self.meta
            .write(move |tx| {
                let repository = find_repository(tx, &name.repository)?.id;
                let row = find(tx, &repository, &name)?;
                rules::delete(tx, &repository, &row.name)?;
                let event = admitted.event(EventAction::DeleteRule, &name.to_string(), now);
                Ok::<_, EngineError>(events::insert(tx, &event)?)
            })
            .await
    }
}
