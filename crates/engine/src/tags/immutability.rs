//! Immutable tags: a setting of the repository, and exceptions from it by rules about tags.

use meta::tags::{self, TagScope};
use meta::versions::ImageAddress;
use meta::{Tx, repositories, rules};
use model::digest::Digest;
use model::reference::Tag;
use model::repository_rule::{RepositoryRule, RuleAction, RuleOperation, decide_by_rules};
use model::rule_condition::RuleSubject;

use crate::access::ImageContext;
use crate::error::EngineError;
use crate::tags::download_rules::parse_rules;

/// The number of tags among which an immutable one is looked for, if there are rules about tags.
const MAX_TAGS_EXAMINED: usize = 1_000;

/// The setting and the rules that decide about the tags of an image. They must be read in the transaction that moves
/// or deletes a tag. Of two requests that move one tag, the second then sees the write of the first, and both see the
/// setting and the rules that hold.
struct TagMutability<'a> {
    image: &'a str,
    is_immutable: bool,
    rules: Vec<RepositoryRule>,
}

impl<'a> TagMutability<'a> {
    fn read(tx: &mut Tx<'_>, address: ImageAddress<'a>) -> Result<Self, EngineError> {
        let ImageAddress { repository, image } = address;
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

    /// Returns whether a tag that names `digest` must not move.
    fn keeps(&self, tag: &str, digest: &Digest) -> bool {
        let subject = RuleSubject { package: self.image, version: digest.as_str(), tag };
        match decide_by_rules(&self.rules, subject) {
            Some(RuleAction::Allow) => false,
            Some(RuleAction::Deny) => true,
            None => self.is_immutable,
        }
    }
}

/// Refuses to move or delete a tag that names `digest`, if the tag is immutable.
pub(crate) fn check_mutable(
    tx: &mut Tx<'_>,
    image: &ImageContext,
    tag: &Tag,
    digest: &Digest,
) -> Result<(), EngineError> {
    if tag.is_referrers_fallback() {
        return Ok(());
    }
    if !TagMutability::read(tx, image.address())?.keeps(tag.as_str(), digest) {
        return Ok(());
    }
    Err(EngineError::TagImmutable { tag: tag.to_string(), digest: digest.clone() })
}

/// Refuses to delete an image or a version that has an immutable tag.
pub(crate) fn check_deletable(
    tx: &mut Tx<'_>,
    address: ImageAddress<'_>,
    scope: TagScope<'_>,
) -> Result<(), EngineError> {
    let mutability = TagMutability::read(tx, address)?;
    let limit = match (mutability.rules.is_empty(), mutability.is_immutable) {
        (true, false) => return Ok(()),
        (true, true) => 1,
        (false, _) => MAX_TAGS_EXAMINED,
    };
    let tags = tags::list_other_than_fallback(tx, scope, limit as i64 + 1)?;
    let is_all = tags.len() <= limit;
    match tags.into_iter().find(|(tag, digest)| mutability.keeps(tag, digest)) {
        Some((tag, digest)) => Err(EngineError::TagImmutable { tag, digest }),
        None if is_all => Ok(()),
        None => Err(EngineError::Precondition(format!(
            "the image or version has more than {MAX_TAGS_EXAMINED} tags, and there are rules about tags: delete some tags first"
        ))),
    }
}
