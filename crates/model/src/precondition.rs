//! What a request asks of the state it finds: `If-Match` and `If-None-Match`, as RFC 9110 §13 has them.
//!
//! Content here is named by its digest, and the digest is its entity tag. Nothing has a time of its last change, so that
//! `If-Modified-Since` and `If-Unmodified-Since` say nothing. Whoever writes asks this inside the transaction that
//! writes.

use crate::digest::Digest;

/// What a request asks of the state it finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    /// One of these must be there..
    matches: Option<Tags>,
    /// ..and none of these.
    differs: Option<Tags>,
}

/// How a precondition ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Holds,
    /// The client knows what is there: who reads need not be sent it, who writes is refused.
    Known,
    /// What should be there is not.
    Fails,
}

/// A header that is no list of entity tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is neither * nor a list of entity tags")]
pub struct PreconditionError;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    /// `*`: whatever there is.
    Any,
    Listed(Vec<EntityTag>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct EntityTag {
    is_weak: bool,
    text: String,
}

impl Precondition {
    /// Reads the values of `If-Match` and `If-None-Match`; of several lines, as one list.
    pub fn read(matches: Option<&str>, differs: Option<&str>) -> Result<Self, PreconditionError> {
        let read = |header: Option<&str>| header.map(Tags::read).transpose();
        Ok(Self { matches: read(matches)?, differs: read(differs)? })
    }

    /// Whether nothing is asked.
    pub fn is_none(&self) -> bool {
        self.matches.is_none() && self.differs.is_none()
    }

    /// What it says of what is there now.
    pub fn judge(&self, current: Option<&Digest>) -> Verdict {
        let has = |tags: &Tags, weakly| current.is_some_and(|digest| tags.have(digest, weakly));
        if self.matches.as_ref().is_some_and(|tags| !has(tags, false)) {
            Verdict::Fails
        } else if self.differs.as_ref().is_some_and(|tags| has(tags, true)) {
            Verdict::Known
        } else {
            Verdict::Holds
        }
    }
}

impl Tags {
    fn read(header: &str) -> Result<Self, PreconditionError> {
        if header.trim() == "*" {
            return Ok(Self::Any);
        }
        let (mut tags, mut rest) = (Vec::new(), header);
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                break;
            }
            let (tag, after) = EntityTag::read(rest)?;
            tags.push(tag);
            rest = after.trim_start_matches([' ', '\t']);
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(PreconditionError);
            }
        }
        if tags.is_empty() { Err(PreconditionError) } else { Ok(Self::Listed(tags)) }
    }

    fn have(&self, digest: &Digest, weakly: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => {
                tags.iter().any(|tag| tag.text == digest.as_str() && (weakly || !tag.is_weak))
            }
        }
    }
}

impl EntityTag {
    /// The tag that a text begins with, and what follows. Some clients leave the quotes out.
    fn read(text: &str) -> Result<(Self, &str), PreconditionError> {
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

    /// `A` and `B` in a header stand for the digests of these letters; so they do for what is there, and `-` for nothing.
    #[track_caller]
    fn check((matches, differs): (&str, &str), current: &str, expected: &str) {
        let digest = |letter: &str| Digest::of(letter.as_bytes());
        let header = |text: &str| {
            let text = text.replace('A', digest("A").as_str()).replace('B', digest("B").as_str());
            (text != "-").then_some(text)
        };
        let (is, is_not) = (header(matches), header(differs));
        let current = (current != "-").then(|| digest(current));
        let read = Precondition::read(is.as_deref(), is_not.as_deref());
        let actual = match read.map(|precondition| precondition.judge(current.as_ref())) {
            Ok(Verdict::Holds) => "holds",
            Ok(Verdict::Known) => "known",
            Ok(Verdict::Fails) => "fails",
            Err(PreconditionError) => "none",
        };
        assert_eq!(actual, expected, "If-Match: {matches}, If-None-Match: {differs}");
    }

    #[test]
    fn what_is_there_must_match() {
        check(("-", "-"), "A", "holds");
        check(("-", "-"), "-", "holds");
        check(("\"A\"", "-"), "A", "holds");
        check(("\"A\"", "-"), "B", "fails");
        check(("\"A\"", "-"), "-", "fails");
        check(("\"B\", \"A\"", "-"), "A", "holds");
        check(("\"B\",\"x,y\" ,, \"A\"", "-"), "A", "holds");
        // Strong comparison: what may be only equivalent does not match.
        check(("W/\"A\"", "-"), "A", "fails");
        check(("*", "-"), "A", "holds");
        check(("*", "-"), "-", "fails");
        check(("A", "-"), "A", "holds");
    }

    #[test]
    fn what_is_there_must_not_match() {
        check(("-", "\"A\""), "A", "known");
        check(("-", "W/\"A\""), "A", "known");
        check(("-", "\"B\""), "A", "holds");
        check(("-", "\"B\", W/\"A\""), "A", "known");
        check(("-", "\"A\""), "-", "holds");
        check(("-", "*"), "A", "known");
        check(("-", "*"), "-", "holds");
        check(("-", "A"), "A", "known");
        check(("-", "\"*\""), "A", "holds");
    }

    #[test]
    fn the_match_comes_first() {
        check(("\"B\"", "\"A\""), "A", "fails");
        check(("\"A\"", "\"A\""), "A", "known");
        check(("\"A\"", "\"B\""), "A", "holds");
        check(("*", "*"), "-", "fails");
    }

    #[test]
    fn what_is_no_list() {
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
            check((header, "-"), "A", "none");
            check(("-", header), "A", "none");
        }
    }
}
