//! Conditional requests: the preconditions `If-Match` and `If-None-Match` of RFC 9110, section 13.
//!
//! The digest of some content is its entity tag. Content has no time of last modification, so that `If-Modified-Since`
//! and `If-Unmodified-Since` are ignored. The precondition of a write must be evaluated in the transaction that writes.

use crate::digest::Digest;

/// The preconditions of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    /// The entity tags of `If-Match`: the current content must have one of them.
    if_match: Option<EntityTags>,
    /// The entity tags of `If-None-Match`: the current content must have none of them.
    if_none_match: Option<EntityTags>,
}

/// The result of evaluating a precondition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreconditionOutcome {
    /// The precondition holds.
    Holds,
    /// `If-None-Match` failed: the client knows the current content. A read is answered without the content, and a
    /// write is refused.
    NoneMatchFailed,
    /// `If-Match` failed: the current content is not one that the client expects.
    MatchFailed,
}

/// A header that is not a list of entity tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value is neither * nor a list of entity tags")]
pub struct PreconditionError;

#[derive(Debug, Clone, PartialEq, Eq)]
enum EntityTags {
    /// The value `*`, which matches any content.
    Any,
    Listed(Vec<EntityTag>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct EntityTag {
    is_weak: bool,
    text: String,
}

impl Precondition {
    /// Parses the values of the headers `If-Match` and `If-None-Match`. The values of a header that occurs several
    /// times must be joined by commas before.
    pub fn parse(
        if_match: Option<&str>,
        if_none_match: Option<&str>,
    ) -> Result<Self, PreconditionError> {
        let parse = |header: Option<&str>| header.map(EntityTags::parse).transpose();
        Ok(Self { if_match: parse(if_match)?, if_none_match: parse(if_none_match)? })
    }

    /// Returns whether the request has neither header.
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// Evaluates the precondition against the digest of the current content. `If-Match` is evaluated first, with strong
    /// comparison, and `If-None-Match` with weak comparison.
    pub fn evaluate(&self, current: Option<&Digest>) -> PreconditionOutcome {
        let has_one_of = |tags: &EntityTags, comparison| {
            current.is_some_and(|digest| tags.contain(digest, comparison))
        };
        let (if_match, if_none_match) = (self.if_match.as_ref(), self.if_none_match.as_ref());
        if if_match.is_some_and(|tags| !has_one_of(tags, Comparison::Strong)) {
            PreconditionOutcome::MatchFailed
        } else if if_none_match.is_some_and(|tags| has_one_of(tags, Comparison::Weak)) {
            PreconditionOutcome::NoneMatchFailed
        } else {
            PreconditionOutcome::Holds
        }
    }
}

/// The two ways of comparing entity tags (RFC 9110, section 8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// Weak tags never match.
    Strong,
    /// Weak tags match like strong ones.
    Weak,
}

impl EntityTags {
    fn parse(header: &str) -> Result<Self, PreconditionError> {
        if header.trim() == "*" {
            return Ok(Self::Any);
        }
        let (mut tags, mut rest) = (Vec::new(), header);
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                break;
            }
            let (tag, after) = EntityTag::take(rest)?;
            tags.push(tag);
            rest = after.trim_start_matches([' ', '\t']);
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(PreconditionError);
            }
        }
        if tags.is_empty() { Err(PreconditionError) } else { Ok(Self::Listed(tags)) }
    }

    fn contain(&self, digest: &Digest, comparison: Comparison) -> bool {
        let matches = |tag: &EntityTag| {
            tag.text == digest.as_str() && (comparison == Comparison::Weak || !tag.is_weak)
        };
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(matches),
        }
    }
}

impl EntityTag {
    /// Parses the tag at the beginning of a text, and returns it with the rest of the text. Some clients send tags
    /// without quotes, which are accepted too.
    fn take(text: &str) -> Result<(Self, &str), PreconditionError> {
        let (is_weak, opaque) = match text.strip_prefix("W/") {
            Some(opaque) => (true, opaque),
            None => (false, text),
        };
        let (text, rest) = match opaque.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or(PreconditionError)?,
            None => opaque.split_at(opaque.find([',', ' ', '\t']).unwrap_or(opaque.len())),
        };
        let is_quoted = opaque.starts_with('"');
        let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'-' | b'_' | b'.');
        if !is_quoted && (text.is_empty() || !text.bytes().all(is_plain)) {
            return Err(PreconditionError);
        }
        Ok((Self { is_weak, text: text.to_owned() }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evaluates two headers against the current content. `A` and `B` are the digests of these letters. `-` is a
    /// missing header, or no content.
    #[track_caller]
    fn check(if_match: &str, if_none_match: &str, current: &str, expected: &str) {
        let digest = |letter: &str| Digest::of(letter.as_bytes());
        let header = |text: &str| {
            let text = text.replace('A', digest("A").as_str()).replace('B', digest("B").as_str());
            (text != "-").then_some(text)
        };
        let current = (current != "-").then(|| digest(current));
        let parsed =
            Precondition::parse(header(if_match).as_deref(), header(if_none_match).as_deref());
        let actual = match parsed.map(|precondition| precondition.evaluate(current.as_ref())) {
            Ok(PreconditionOutcome::Holds) => "holds",
            Ok(PreconditionOutcome::NoneMatchFailed) => "known",
            Ok(PreconditionOutcome::MatchFailed) => "fails",
            Err(PreconditionError) => "none",
        };
        assert_eq!(actual, expected, "If-Match: {if_match}, If-None-Match: {if_none_match}");
    }

    #[test]
    fn if_match() {
        check("-", "-", "A", "holds");
        check("-", "-", "-", "holds");
        check("\"A\"", "-", "A", "holds");
        check("\"A\"", "-", "B", "fails");
        check("\"A\"", "-", "-", "fails");
        check("\"B\", \"A\"", "-", "A", "holds");
        check("\"B\",\"x,y\" ,, \"A\"", "-", "A", "holds");
        // A weak tag never matches in a strong comparison.
        check("W/\"A\"", "-", "A", "fails");
        check("*", "-", "A", "holds");
        check("*", "-", "-", "fails");
        check("A", "-", "A", "holds");
    }

    #[test]
    fn if_none_match() {
        check("-", "\"A\"", "A", "known");
        check("-", "W/\"A\"", "A", "known");
        check("-", "\"B\"", "A", "holds");
        check("-", "\"B\", W/\"A\"", "A", "known");
        check("-", "\"A\"", "-", "holds");
        check("-", "*", "A", "known");
        check("-", "*", "-", "holds");
        check("-", "A", "A", "known");
        check("-", "\"*\"", "A", "holds");
    }

    #[test]
    fn if_match_is_evaluated_first() {
        check("\"B\"", "\"A\"", "A", "fails");
        check("\"A\"", "\"A\"", "A", "known");
        check("\"A\"", "\"B\"", "A", "holds");
        check("*", "*", "-", "fails");
    }

    #[test]
    fn malformed_lists() {
        for header in [
            "",
            " ",
            ",",
            "\"A",
            "\"A\"\"B\"",
            "\"A\" \"B\"",
            "*, \"A\"",
            "\"A\", *",
            "W/",
            "w/\"A\"",
            "A;B",
        ] {
            check(header, "-", "A", "none");
            check("-", header, "A", "none");
        }
    }
}
