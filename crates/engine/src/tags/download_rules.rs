//! Rules of a repository that deny downloads, and how stored rules are read.

use meta::repositories::Repository;
use meta::rules::{self, Rule as Row};
use meta::versions::{Address, Version};
use meta::{Tx, files, tags, versions};
use model::condition::Subject;
use model::digest::Digest;
use model::rule::{Action, Operation, Rule, decide};

use crate::error::EngineError;

/// How many tags of a version are read at once.
const TAGS_AT_ONCE: i64 = 1_000;
/// The largest number of images that are looked at for one manifest.
pub(crate) const MAX_HOLDING_IMAGES: i64 = 100;

pub(crate) fn condition(expression: &str) -> Result<model::condition::Condition, EngineError> {
    expression.parse().map_err(|problem| EngineError::invalid("rule.condition.expression", problem))
}

/// Rows as the rules that they are.
pub(crate) fn understood(rows: Vec<Row>) -> Result<Vec<Rule>, EngineError> {
    let rule = |row: Row| {
        let condition = match row.expression.as_str() {
            "" => None,
            expression => Some(condition(expression)?),
        };
        Ok(Rule { action: row.action, condition })
    };
    rows.into_iter().map(rule).collect()
}

/// Refuses to hand out a manifest that a rule keeps back. A rule about tags applies to a version that has such a tag,
/// however it was asked for: by its digest, it is the same image.
pub(crate) fn check_download(
    tx: &mut Tx<'_>,
    (repository, image): (&Repository, &str),
    version: &Version,
) -> Result<(), EngineError> {
    if !repository.has_download_rules {
        return Ok(());
    }
    let rows = rules::of(tx, &repository.id, (Operation::Download, image))?;
    for rule in understood(rows)? {
        if !applies(tx, image, &rule, version)? {
            continue;
        }
        return match rule.action {
            Action::Allow => Ok(()),
            Action::Deny => Err(EngineError::DownloadDenied(version.digest.clone())),
        };
    }
    Ok(())
}

/// Refuses to hand out a manifest by its digest alone, where a rule keeps it back in every image that holds it.
pub(crate) fn check_file_download(
    tx: &mut Tx<'_>,
    repository: &Repository,
    digest: &Digest,
) -> Result<(), EngineError> {
    if !repository.has_download_rules {
        return Ok(());
    }
    let mut allowed = Ok(());
    for image in files::holders(tx, &repository.id, digest, MAX_HOLDING_IMAGES)? {
        let address = Address { repository: &repository.id, image: &image };
        let Some(version) = versions::by_digest(tx, address, digest)? else { continue };
        allowed = check_download(tx, (repository, &image), &version);
        if !matches!(allowed, Err(EngineError::DownloadDenied(_))) {
            break;
        }
    }
    allowed
}

fn applies(
    tx: &mut Tx<'_>,
    image: &str,
    rule: &Rule,
    version: &Version,
) -> Result<bool, EngineError> {
    let holds = |tag: &str| {
        let subject = Subject { package: image, version: version.digest.as_str(), tag };
        decide(std::slice::from_ref(rule), subject).is_some()
    };
    let asks_for_tag = rule.condition.as_ref().is_some_and(|condition| condition.asks_for_tag());
    if !asks_for_tag {
        return Ok(holds(""));
    }
    let mut last = String::new();
    loop {
        let tags = tags::names_of_version(tx, &version.id, &last, TAGS_AT_ONCE)?;
        if tags.iter().any(|tag| holds(tag)) {
            return Ok(true);
        }
        match tags.last() {
            // It has no tag at all.
            None if last.is_empty() => return Ok(holds("")),
            None => return Ok(false),
            Some(tag) => last.clone_from(tag),
        }
    }
}
