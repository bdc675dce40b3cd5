//! Table `rules`: what may be done with the artifacts of a repository, or of one image of it.

use model::rule::{Action, Operation};

use crate::{Id, MetaError, Row, Tx, params};

/// A rule as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its id in the repository.
    pub name: String,
    /// What it says.
    pub action: Action,
    /// What it is about.
    pub operation: Operation,
    /// The image that it is for; empty is the whole repository.
    pub package: String,
    /// When it applies; empty is always.
    pub expression: String,
    /// For people..
    pub title: String,
    /// ..as are these..
    pub description: String,
    /// ..two, all about the expression.
    pub location: String,
}

fn rule(row: &Row<'_>) -> Result<Rule, MetaError> {
    let corrupt = || MetaError::corrupt("a rule");
    Ok(Rule {
        name: row.text(0)?,
        action: Action::read(&row.text(1)?).ok_or_else(corrupt)?,
        operation: Operation::read(&row.text(2)?).ok_or_else(corrupt)?,
        package: row.text(3)?,
        expression: row.text(4)?,
        title: row.text(5)?,
        description: row.text(6)?,
        location: row.text(7)?,
    })
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT name, action, operation, package, expression, title, description, location FROM rules
             WHERE repository_id = ?1 AND ",
            $rest
        )
    };
}

/// The rule of that name.
pub fn find(tx: &mut Tx<'_>, repository: &Id, name: &str) -> Result<Option<Rule>, MetaError> {
    tx.opt(select!("name = ?2"), params![repository, name], rule)
}

/// The statement of [`list`], for the test that looks at its plan.
pub const LIST_SQL: &str = select!("name > ?2 ORDER BY name LIMIT ?3");

/// The rules of a repository after `last`, by name.
pub fn list(
    tx: &mut Tx<'_>,
    repository: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<Rule>, MetaError> {
    tx.query(LIST_SQL, params![repository, last, limit], rule)
}

/// The statement of [`of`], for the test that looks at its plan.
pub const OF_SQL: &str = select!("operation = ?2 AND package IN (?3, '')");

/// The rules about an operation on an image: its own, then that of the repository, where there are such.
pub fn of(
    tx: &mut Tx<'_>,
    repository: &Id,
    (operation, package): (Operation, &str),
) -> Result<Vec<Rule>, MetaError> {
    let mut rules = tx.query(OF_SQL, params![repository, operation.as_str(), package], rule)?;
    rules.sort_by_key(|rule| rule.package.is_empty());
    Ok(rules)
}

/// The name of the rule about an operation on just this image, or on just the whole repository.
pub fn holder(
    tx: &mut Tx<'_>,
    repository: &Id,
    (operation, package): (Operation, &str),
) -> Result<Option<String>, MetaError> {
    tx.opt(
        "SELECT name FROM rules WHERE repository_id = ?1 AND operation = ?2 AND package = ?3",
        params![repository, operation.as_str(), package],
        |row| row.text(0),
    )
}

/// Writes a rule, whether there is one of its name or not.
pub fn set(tx: &mut Tx<'_>, repository: &Id, rule: &Rule) -> Result<(), MetaError> {
    tx.exec(
        "INSERT INTO rules (repository_id, name, action, operation, package, expression, title, description, location)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (repository_id, name) DO UPDATE SET action = excluded.action, operation = excluded.operation,
           package = excluded.package, expression = excluded.expression, title = excluded.title,
           description = excluded.description, location = excluded.location",
        params![
            repository,
            rule.name.as_str(),
            rule.action.as_str(),
            rule.operation.as_str(),
            rule.package.as_str(),
            rule.expression.as_str(),
            rule.title.as_str(),
            rule.description.as_str(),
            rule.location.as_str()
        ],
    )?;
    count(tx, repository)
}

/// Removes a rule.
pub fn delete(tx: &mut Tx<'_>, repository: &Id, name: &str) -> Result<(), MetaError> {
    tx.exec("DELETE FROM rules WHERE repository_id = ?1 AND name = ?2", params![repository, name])?;
    count(tx, repository)
}

/// Writes down how many rules there are.
fn count(tx: &mut Tx<'_>, repository: &Id) -> Result<(), MetaError> {
    tx.exec(
        "UPDATE repositories SET
           download_rules = (SELECT count(*) FROM rules WHERE repository_id = ?1 AND operation = 'DOWNLOAD'),
           tag_rules = (SELECT count(*) FROM rules WHERE repository_id = ?1 AND operation = 'TAG_MUTATION')
         WHERE id = ?1",
        params![repository],
    )?;
    Ok(())
}
