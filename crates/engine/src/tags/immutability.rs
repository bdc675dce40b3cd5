//! Tags that stay where they are: in repositories that say so, unless a rule about the tag says otherwise.

use meta::tags::{self, TagScope};
use meta::{Id, Tx, repositories, rules};
use model::digest::Digest;
use model::reference::Tag;
use model::repository_rule::{RepositoryRule, RuleAction, RuleOperation, decide_by_rules};
use model::rule_condition::RuleSubject;

use crate::access::ImageContext;
use crate::error::EngineError;
use crate::tags::download_rules::parse_rules;

/// Among how many tags one that stays is looked for, where rules let some of them go.
const MAX_TAGS_EXAMINED: usize = 1_000;

/// What decides about the tags of an image. To be read in the transaction that would move or remove one: of two that
/// point one tag elsewhere, the second finds what the first has written, and so it is with the setting and the rules.
struct TagMutability<'a> {
    image: &'a str,
    is_immutable: bool,
    rules: Vec<RepositoryRule>,
}

impl<'a> TagMutability<'a> {
    fn read(tx: &mut Tx<'_>, (repository, image): (&Id, &'a str)) -> Result<Self, EngineError> {
        let (is_immutable, has_rules) = repositories::find_tag_mutability(tx, repository)?;
        let rules = match has_rules {
            true => parse_rules(rules::list_applicable(
                tx,
                repository,
                RuleOperation::TagMutation,
                image,
            )?)?,
            false => Vec::new(),
        };
        Ok(Self { image, is_immutable, rules })
    }

    /// Whether a tag that names `digest` stays where it is.
    fn keeps(&self, tag: &str, digest: &Digest) -> bool {
        let subject = RuleSubject { package: self.image, version: digest.as_str(), tag };
        match decide_by_rules(&self.rules, subject) {
            Some(RuleAction::Allow) => false,
            Some(RuleAction::Deny) => true,
            None => self.is_immutable,
        }
    }
}

/// Refuses to move or remove a tag that names `digest`, where it stays.
pub(crate) fn check_mutable(
    tx: &mut Tx<'_>,
    at: &ImageContext,
    (tag, digest): (&Tag, &Digest),
) -> Result<(), EngineError> {
    let place = (&at.repository().id, at.image_name());
    if tag.is_referrers_fallback() || !TagMutability::read(tx, place)?.keeps(tag.as_str(), digest) {
        return Ok(());
    }
    Err(EngineError::TagImmutable { tag: tag.to_string(), digest: digest.clone() })
}

/// Refuses to remove an image or a version that has a tag which stays.
pub(crate) fn check_deletable(
    tx: &mut Tx<'_>,
    place: (&Id, &str),
    of: TagScope<'_>,
) -> Result<(), EngineError> {
    let mutability = TagMutability::read(tx, place)?;
    let limit = match (mutability.rules.is_empty(), mutability.is_immutable) {
        (true, false) => return Ok(()),
        (true, true) => 1,
        (false, _) => MAX_TAGS_EXAMINED,
    };
    let tags = tags::list_other_than_fallback(tx, of, limit as i64 + 1)?;
    let is_all = tags.len() <= limit;
    match tags.into_iter().find(|(tag, digest)| mutability.keeps(tag, digest)) {
        Some((tag, digest)) => Err(EngineError::TagImmutable { tag, digest }),
        None if is_all => Ok(()),
        None => Err(EngineError::Precondition(format!(
            "it has more than {MAX_TAGS_EXAMINED} tags, and there are rules about tags: delete some of them first"
        ))),
    }
}
