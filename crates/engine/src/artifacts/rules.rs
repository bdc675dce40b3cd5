//! Rules of a repository as they are administered. `download_rules` and `immutability` apply them.

use identity::Authorized;
use meta::events::{self, EventAction};
use meta::repositories;
use meta::rules::{self, RuleRow};
use meta::{Id, Tx, epochs};
use model::artifact_name::{RuleName, unescape_slashes};
use model::name::{ImageName, RepositoryName};
use model::repository::ModeName;
use model::repository_rule::{RuleAction, RuleOperation};

use crate::access::find_repository;
use crate::artifacts::listing::{RowFilter, read_page};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::page::{ListPage, PageRequest};
use crate::tags::download_rules::parse_condition;
use model::permissions::artifactregistry;

/// The values that a request sets on a rule. `None` leaves a value as it is.
#[derive(Debug, Clone, Default)]
pub struct RuleChange {
    /// The decision of the rule.
    pub action: Option<RuleAction>,
    /// The operation that the rule decides about.
    pub operation: Option<RuleOperation>,
    /// The image that the rule is for. An empty text stands for the whole repository.
    pub package: Option<String>,
    /// The condition under which the rule applies. An empty text means always.
    pub expression: Option<String>,
    /// A title of the condition, for people.
    pub title: Option<String>,
    /// A description of the condition, for people.
    pub description: Option<String>,
    /// The place that the expression comes from, for people.
    pub location: Option<String>,
}

impl RuleChange {
    fn apply(self, to: &mut RuleRow) -> Result<(), EngineError> {
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
        for (field, max_characters, text, target) in [
            ("rule.condition.title", 256, self.title, &mut to.title),
            ("rule.condition.description", 1_024, self.description, &mut to.description),
            ("rule.condition.location", 1_024, self.location, &mut to.location),
        ] {
            let Some(text) = text else { continue };
            if text.chars().count() > max_characters || text.contains('\0') {
                let problem = format!("at most {max_characters} characters");
                return Err(EngineError::invalid(field, problem));
            }
            *target = text;
        }
        Ok(())
    }
}

fn find_row(tx: &mut Tx<'_>, repository: &Id, name: &RuleName) -> Result<RuleRow, EngineError> {
    let unknown = || EngineError::ResourceUnknown(format!("Rule \"{}\"", name.id));
    rules::find(tx, repository, name.id.as_str())?.ok_or_else(unknown)
}

/// Refuses a second rule for the same operation and image. A rule for the whole repository counts as one more image.
fn check_unique(tx: &mut Tx<'_>, repository: &Id, row: &RuleRow) -> Result<(), EngineError> {
    let holder = rules::find_name_by_scope(tx, repository, row.operation, &row.package)?;
    let Some(other) = holder.filter(|holder| *holder != row.name) else { return Ok(()) };
    let what = match row.package.as_str() {
        "" => "the whole repository".to_owned(),
        package => format!("package \"{package}\""),
    };
    let operation = row.operation.as_str();
    let problem = format!("rule \"{other}\" already decides about {operation} of {what}");
    Err(EngineError::AlreadyExists(problem))
}

impl Engine {
    /// Lists the rules of a repository by name.
    pub async fn list_rules(
        &self,
        authorized: &Authorized,
        repository: &RepositoryName,
        page: PageRequest,
    ) -> Result<ListPage<RuleRow>, EngineError> {
        authorized.require_repository(artifactregistry::RULES_LIST, repository)?;
        let name = repository.clone();
        self.read(move |tx| {
            let id = find_repository(tx, &name)?.id;
            let bytes = |row: &RuleRow| 500 + row.expression.len() + row.description.len();
            read_page(
                page.clone(),
                |last, step| Ok(rules::list(tx, &id, last, step)?),
                |row| row.name.clone(),
                |row| RowFilter::Include(bytes(row)),
            )
        })
        .await
    }

    /// Returns one rule.
    pub async fn find_rule(
        &self,
        authorized: &Authorized,
        name: &RuleName,
    ) -> Result<RuleRow, EngineError> {
        authorized.require_repository(artifactregistry::RULES_GET, &name.repository)?;
        let name = name.clone();
        self.read_by_key(move |tx| {
            let repository = find_repository(tx, &name.repository)?.id;
            find_row(tx, &repository, &name)
        })
        .await
    }

    /// Creates a rule. It decides about all requests from its commit on.
    pub async fn create_rule(
        &self,
        authorized: &Authorized,
        name: &RuleName,
        change: RuleChange,
    ) -> Result<RuleRow, EngineError> {
        authorized.require_repository(artifactregistry::RULES_CREATE, &name.repository)?;
        let mut row = RuleRow {
            name: name.id.to_string(),
            action: RuleAction::Deny,
            operation: RuleOperation::Download,
            package: String::new(),
            expression: String::new(),
            title: String::new(),
            description: String::new(),
            location: String::new(),
        };
        change.apply(&mut row)?;
        let (authorized, name, now) = (authorized.clone(), name.clone(), self.clock.now());
        self.write_rule(move |tx| {
            let repository = find_repository(tx, &name.repository)?;
            let mode = repositories::find_mode(tx, &repository.id)?;
            if mode.is_some_and(|mode| mode.name() == ModeName::Virtual || !mode.own_upstreams().is_empty()) {
                let problem =
                    "a repository that reads others of this registry has no rules: those of its upstreams decide";
                return Err(EngineError::Precondition(problem.to_owned()));
            }
            let repository = repository.id;
            if rules::find(tx, &repository, name.id.as_str())?.is_some() {
                let problem = format!("rule \"{}\" already exists", name.id);
                return Err(EngineError::AlreadyExists(problem));
            }
            check_unique(tx, &repository, &row)?;
            rules::set(tx, &repository, &row)?;
            let event = authorized.event(EventAction::CreateRule, &name.to_string(), now);
            events::insert(tx, &event.in_repository(repository))?;
            Ok(row.clone())
        })
        .await
    }

    /// Changes the values of a rule that the request sets.
    pub async fn update_rule(
        &self,
        authorized: &Authorized,
        name: &RuleName,
        change: RuleChange,
    ) -> Result<RuleRow, EngineError> {
        authorized.require_repository(artifactregistry::RULES_UPDATE, &name.repository)?;
        let (authorized, name, now) = (authorized.clone(), name.clone(), self.clock.now());
        self.write_rule(move |tx| {
            let repository = find_repository(tx, &name.repository)?.id;
            let mut row = find_row(tx, &repository, &name)?;
            change.clone().apply(&mut row)?;
            check_unique(tx, &repository, &row)?;
            rules::set(tx, &repository, &row)?;
            let event = authorized.event(EventAction::UpdateRule, &name.to_string(), now);
            events::insert(tx, &event.in_repository(repository))?;
            Ok(row)
        })
        .await
    }

    /// Changes a rule. Virtual repositories remember under the epoch of access which of their upstreams have rules.
    async fn write_rule<T, F>(&self, mut change: F) -> Result<T, EngineError>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, EngineError> + Send + 'static,
        T: Send + 'static,
    {
        let changed = self.write(move |tx| {
            let changed = change(tx)?;
            epochs::bump(tx, epochs::ACCESS)?;
            Ok(changed)
        });
        let changed = changed.await?;
        self.identity.poll_epoch().await?;
        Ok(changed)
    }

    /// Deletes a rule.
    pub async fn delete_rule(
        &self,
        authorized: &Authorized,
        name: &RuleName,
    ) -> Result<(), EngineError> {
        authorized.require_repository(artifactregistry::RULES_DELETE, &name.repository)?;
        let (authorized, name, now) = (authorized.clone(), name.clone(), self.clock.now());
        self.write_rule(move |tx| {
            let repository = find_repository(tx, &name.repository)?.id;
            let row = find_row(tx, &repository, &name)?;
            rules::delete(tx, &repository, &row.name)?;
            let event = authorized.event(EventAction::DeleteRule, &name.to_string(), now);
            Ok(events::insert(tx, &event.in_repository(repository))?)
        })
        .await
    }
}
