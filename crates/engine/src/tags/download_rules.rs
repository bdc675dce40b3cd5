//! Rules of a repository that deny downloads, and the parsing of stored rules.

use meta::repositories::RepositoryRow;
use meta::rules::{self, RuleRow};
use meta::versions::{ImageAddress, VersionRow};
use meta::{Tx, files, tags, versions};
use model::digest::Digest;
use model::repository_rule::{RepositoryRule, RuleAction, RuleOperation, decide_by_rules};
use model::rule_condition::RuleSubject;

use crate::error::EngineError;

/// The number of tags of a version that are read at once.
const TAGS_AT_ONCE: i64 = 1_000;
/// The largest number of images that are looked at for one manifest.
pub(crate) const MAX_HOLDING_IMAGES: i64 = 100;

pub(crate) fn parse_condition(
    expression: &str,
) -> Result<model::rule_condition::RuleCondition, EngineError> {
    expression.parse().map_err(|problem| EngineError::invalid("rule.condition.expression", problem))
}

/// Parses stored rules.
pub(crate) fn parse_rules(rows: Vec<RuleRow>) -> Result<Vec<RepositoryRule>, EngineError> {
    let rule = |row: RuleRow| {
        let condition = match row.expression.as_str() {
            "" => None,
            expression => Some(parse_condition(expression)?),
        };
        Ok(RepositoryRule { action: row.action, condition })
    };
    rows.into_iter().map(rule).collect()
}

/// Refuses the download of a manifest that a rule denies. A rule about tags applies to a version that has such a tag,
/// even if the request names the digest: the image is the same.
pub(crate) fn check_download(
    tx: &mut Tx<'_>,
    repository: &RepositoryRow,
    image: &str,
    version: &VersionRow,
) -> Result<(), EngineError> {
    if !repository.has_download_rules {
        return Ok(());
    }
    let rows = rules::list_applicable(tx, &repository.id, RuleOperation::Download, image)?;
    for rule in parse_rules(rows)? {
        if !applies(tx, image, &rule, version)? {
            continue;
        }
        return match rule.action {
            RuleAction::Allow => Ok(()),
            RuleAction::Deny => Err(EngineError::DownloadDenied(version.digest.clone())),
        };
    }
    Ok(())
}

/// Refuses the download of a manifest by its digest alone, if a rule denies it in every image that holds it.
pub(crate) fn check_file_download(
    tx: &mut Tx<'_>,
    repository: &RepositoryRow,
    digest: &Digest,
) -> Result<(), EngineError> {
    if !repository.has_download_rules {
        return Ok(());
    }
    let mut allowed = Ok(());
    for image in files::list_images_with_manifest(tx, &repository.id, digest, MAX_HOLDING_IMAGES)? {
        let address = ImageAddress { repository: &repository.id, image: &image };
        let Some(version) = versions::find_by_digest(tx, address, digest)? else { continue };
        allowed = check_download(tx, repository, &image, &version);
        if !matches!(allowed, Err(EngineError::DownloadDenied(_))) {
            break;
        }
    }
    allowed
}

fn applies(
    tx: &mut Tx<'_>,
    image: &str,
    rule: &RepositoryRule,
    version: &VersionRow,
) -> Result<bool, EngineError> {
    let holds = |tag: &str| {
        let subject = RuleSubject { package: image, version: version.digest.as_str(), tag };
        decide_by_rules(std::slice::from_ref(rule), subject).is_some()
    };
    let asks_for_tag = rule.condition.as_ref().is_some_and(|condition| condition.compares_tag());
    if !asks_for_tag {
        return Ok(holds(""));
    }
    let mut last = String::new();
    loop {
        let tags = tags::list_of_version(tx, &version.id, &last, TAGS_AT_ONCE)?;
        if tags.iter().any(|tag| holds(tag)) {
            return Ok(true);
        }
        match tags.last() {
            // The version has no tag at all.
            None if last.is_empty() => return Ok(holds("")),
            None => return Ok(false),
            Some(tag) => last.clone_from(tag),
        }
    }
}
