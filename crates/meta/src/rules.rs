//! Rules (table `rules`): they allow or deny operations on the artifacts of a repository or of one of its images.

use model::repository_rule::{RuleAction, RuleOperation};

use crate::{Id, MetaError, SqlRow, Tx, params};

/// A rule as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRow {
    /// The id of the rule in its repository.
    pub name: String,
    /// The action: the rule allows or denies the operation.
    pub action: RuleAction,
    /// The operation.
    pub operation: RuleOperation,
    /// The name of the image, or an empty text for the whole repository.
    pub package: String,
    /// The condition under which the rule applies, or an empty text for no condition.
    pub expression: String,
    /// The title of the condition.
    pub title: String,
    /// The description of the condition.
    pub description: String,
    /// The location of the condition, such as the file that it comes from. Like the title and the description, it is
    /// only for people to read.
    pub location: String,
}

fn read_rule(row: &SqlRow<'_>) -> Result<RuleRow, MetaError> {
    let corrupt = || MetaError::corrupt("a rule");
    Ok(RuleRow {
        name: row.text(0)?,
        action: RuleAction::parse(&row.text(1)?).ok_or_else(corrupt)?,
        operation: RuleOperation::parse(&row.text(2)?).ok_or_else(corrupt)?,
        package: row.text(3)?,
        expression: row.text(4)?,
        title: row.text(5)?,
        description: row.text(6)?,
        location: row.text(7)?,
    })
}

/// Makes a query for the rules of a repository.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT name, action, operation, package, expression, title, description, location FROM rules
             WHERE repository_id = ?1 AND ",
            $rest
        )
    };
}

/// Returns the rule with this name.
pub fn find(tx: &mut Tx<'_>, repository: &Id, name: &str) -> Result<Option<RuleRow>, MetaError> {
    tx.query_first(select!("name = ?2"), params![repository, name], read_rule)
}

/// The statement of [`list`]. A test checks its query plan.
pub(crate) const LIST_SQL: &str = select!("name > ?2 ORDER BY name LIMIT ?3");

/// Returns the rules of a repository whose names sort after `last`, in the order of their names.
pub fn list(
    tx: &mut Tx<'_>,
    repository: &Id,
    last: &str,
    limit: i64,
) -> Result<Vec<RuleRow>, MetaError> {
    tx.query(LIST_SQL, params![repository, last, limit], read_rule)
}

/// The statement of [`list_applicable`]. A test checks its query plan.
pub(crate) const OF_SQL: &str = select!("operation = ?2 AND package IN (?3, '')");

/// Returns the rules about an operation on an image: first the rule of the image, then the rule of the whole
/// repository. Either may be missing.
pub fn list_applicable(
    tx: &mut Tx<'_>,
    repository: &Id,
    operation: RuleOperation,
    package: &str,
) -> Result<Vec<RuleRow>, MetaError> {
    let mut rules =
        tx.query(OF_SQL, params![repository, operation.as_str(), package], read_rule)?;
    rules.sort_by_key(|rule| rule.package.is_empty());
    Ok(rules)
}

/// Returns the name of the rule about an operation with exactly this scope: an image, or the whole repository if
/// `package` is empty.
pub fn find_name_by_scope(
    tx: &mut Tx<'_>,
    repository: &Id,
    operation: RuleOperation,
    package: &str,
) -> Result<Option<String>, MetaError> {
    tx.query_first(
        "SELECT name FROM rules WHERE repository_id = ?1 AND operation = ?2 AND package = ?3",
        params![repository, operation.as_str(), package],
        |row| row.text(0),
    )
}

/// Creates a rule, or replaces the rule with the same name.
pub fn set(tx: &mut Tx<'_>, repository: &Id, rule: &RuleRow) -> Result<(), MetaError> {
    tx.execute(
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
    update_rule_counts(tx, repository)
}

/// Deletes a rule.
pub fn delete(tx: &mut Tx<'_>, repository: &Id, name: &str) -> Result<(), MetaError> {
    tx.execute(
        "DELETE FROM rules WHERE repository_id = ?1 AND name = ?2",
        params![repository, name],
    )?;
    update_rule_counts(tx, repository)
}

/// Updates the numbers of rules in the row of the repository.
fn update_rule_counts(tx: &mut Tx<'_>, repository: &Id) -> Result<(), MetaError> {
    tx.execute(
        "UPDATE repositories SET
           download_rules = (SELECT count(*) FROM rules WHERE repository_id = ?1 AND operation = 'DOWNLOAD'),
           tag_rules = (SELECT count(*) FROM rules WHERE repository_id = ?1 AND operation = 'TAG_MUTATION')
         WHERE id = ?1",
        params![repository],
    )?;
    Ok(())
}
