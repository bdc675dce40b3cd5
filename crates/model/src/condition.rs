//! The conditions of rules: a small part of CEL over the names of what a rule decides about.
//!
//! ```text
//! pkg.tag.id.startsWith('dev-') && !(pkg.id in ['web', 'team/api'])
//! ```
//!
//! A field stands to the left: `pkg.id` is the image, `pkg.version.id` the digest, `pkg.tag.id` the tag. It is compared
//! with a text by `==`, `!=`, `<`, `<=`, `>`, `>=` or `in`, or looked into by `startsWith`, `endsWith` and `contains`;
//! `&&`, `||`, `!`, parentheses, `true` and `false` do the rest. Everything else that CEL has is refused, by its place:
//! a condition that is stored is one that is understood.

use std::str::FromStr;

/// The longest condition.
const MAX_LENGTH: usize = 2_048;

/// How deep parentheses and `!` may be nested: reading and asking recur as deep.
const MAX_DEPTH: usize = 32;

/// Why a condition was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Something else was expected.
    #[error("at byte {at}: {expected} was expected")]
    Expected {
        /// How many bytes stand before it.
        at: usize,
        /// What could stand there.
        expected: &'static str,
    },
    /// More than anybody needs.
    #[error("has more than {MAX_LENGTH} bytes")]
    TooLong,
    /// Deeper than anybody needs.
    #[error("at byte {0}: nested more than {MAX_DEPTH} deep")]
    TooDeep(usize),
}

/// What a rule decides about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The image.
    pub package: &'a str,
    /// The digest.
    pub version: &'a str,
    /// The tag; empty is none.
    pub tag: &'a str,
}

/// A condition that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition(Term);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    Always(bool),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
    Is(Field, Test),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Package,
    Version,
    Tag,
}

const FIELDS: [(&str, Field); 3] =
    [("pkg.version.id", Field::Version), ("pkg.tag.id", Field::Tag), ("pkg.id", Field::Package)];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Equal(String),
    Different(String),
    Less(String),
    AtMost(String),
    Greater(String),
    AtLeast(String),
    In(Vec<String>),
    Begins(String),
    Ends(String),
    Contains(String),
}

/// A comparison, or a method, of a text.
type Make = fn(String) -> Test;

/// Longer ones first: `<` begins `<=`.
const RELATIONS: [(&str, Make); 6] = [
    ("==", Test::Equal),
    ("!=", Test::Different),
    ("<=", Test::AtMost),
    (">=", Test::AtLeast),
    ("<", Test::Less),
    (">", Test::Greater),
];

const METHODS: [(&str, Make); 3] =
    [(".startsWith", Test::Begins), (".endsWith", Test::Ends), (".contains", Test::Contains)];

impl Condition {
    /// Whether it is so.
    pub fn holds(&self, subject: Subject<'_>) -> bool {
        self.0.holds(subject)
    }

    /// Whether the answer may depend on the tag.
    pub fn asks_for_tag(&self) -> bool {
        self.0.asks_for(Field::Tag)
    }
}

impl Term {
    fn holds(&self, subject: Subject<'_>) -> bool {
        match self {
            Self::Always(value) => *value,
            Self::Not(term) => !term.holds(subject),
            Self::All(terms) => terms.iter().all(|term| term.holds(subject)),
            Self::Any(terms) => terms.iter().any(|term| term.holds(subject)),
            Self::Is(field, test) => test.holds(match field {
                Field::Package => subject.package,
                Field::Version => subject.version,
                Field::Tag => subject.tag,
            }),
        }
    }

    fn asks_for(&self, wanted: Field) -> bool {
        match self {
            Self::Always(_) => false,
            Self::Not(term) => term.asks_for(wanted),
            Self::All(terms) | Self::Any(terms) => terms.iter().any(|term| term.asks_for(wanted)),
            Self::Is(field, _) => *field == wanted,
        }
    }
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Equal(text) => value == text,
            Self::Different(text) => value != text,
            Self::Less(text) => value < text.as_str(),
            Self::AtMost(text) => value <= text.as_str(),
            Self::Greater(text) => value > text.as_str(),
            Self::AtLeast(text) => value >= text.as_str(),
            Self::In(texts) => texts.iter().any(|text| text == value),
            Self::Begins(text) => value.starts_with(text),
            Self::Ends(text) => value.ends_with(text),
            Self::Contains(text) => value.contains(text),
        }
    }
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        if text.len() > MAX_LENGTH {
            return Err(ConditionError::TooLong);
        }
        let mut reader = Reader { text, at: 0, depth: 0 };
        let term = reader.any()?;
        match reader.rest() {
            "" => Ok(Self(term)),
            _ => Err(reader.expected("&&, || or the end")),
        }
    }
}

/// Reads a condition from left to right.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// What is left, without the spaces before it.
    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn expected(&self, expected: &'static str) -> ConditionError {
        ConditionError::Expected { at: self.at, expected }
    }

    /// Goes on behind a sign, if it is next.
    fn take(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    /// As `take`, of a word that nothing may be joined to.
    fn take_word(&mut self, word: &str) -> bool {
        let rest = self.rest().strip_prefix(word);
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let found = rest.is_some_and(|rest| !rest.starts_with(is_part));
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn require(&mut self, sign: &str, expected: &'static str) -> Result<(), ConditionError> {
        if self.take(sign) { Ok(()) } else { Err(self.expected(expected)) }
    }

    fn any(&mut self) -> Result<Term, ConditionError> {
        let mut terms = vec![self.all()?];
        while self.take("||") {
            terms.push(self.all()?);
        }
        Ok(alone(terms, Term::Any))
    }

    fn all(&mut self) -> Result<Term, ConditionError> {
        let mut terms = vec![self.one()?];
        while self.take("&&") {
            terms.push(self.one()?);
        }
        Ok(alone(terms, Term::All))
    }

    fn one(&mut self) -> Result<Term, ConditionError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ConditionError::TooDeep(self.at));
        }
        let term = if self.take("!") {
            Term::Not(Box::new(self.one()?))
        } else if self.take("(") {
            let term = self.any()?;
            self.require(")", "&&, || or )")?;
            term
        } else if self.take_word("true") {
            Term::Always(true)
        } else if self.take_word("false") {
            Term::Always(false)
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(term)
    }

    fn test(&mut self) -> Result<Term, ConditionError> {
        let field = FIELDS.iter().find(|(name, _)| self.take_word(name));
        let (_, field) = field
            .ok_or_else(|| self.expected("pkg.id, pkg.version.id, pkg.tag.id, !, ( or true"))?;
        if let Some((_, test)) = RELATIONS.iter().find(|(sign, _)| self.take(sign)) {
            return Ok(Term::Is(*field, test(self.quoted()?)));
        }
        if let Some((_, test)) = METHODS.iter().find(|(name, _)| self.take_word(name)) {
            self.require("(", "(")?;
            let text = self.quoted()?;
            self.require(")", ")")?;
            return Ok(Term::Is(*field, test(text)));
        }
        if !self.take_word("in") {
            return Err(self.expected(
                "==, !=, <, <=, >, >=, in, .startsWith(…), .endsWith(…) or .contains(…)",
            ));
        }
        self.require("[", "[")?;
        let mut texts = vec![self.quoted()?];
        while self.take(",") {
            texts.push(self.quoted()?);
        }
        self.require("]", ", or ]")?;
        Ok(Term::Is(*field, Test::In(texts)))
    }

    /// A text in quotes. No name has a character that would have to be escaped.
    fn quoted(&mut self) -> Result<String, ConditionError> {
        const TEXT: &str = "a text in quotes, without \\ and control characters,";
        let rest = self.rest();
        let quote = rest.chars().next().filter(|quote| ['\'', '"'].contains(quote));
        let quote = quote.ok_or_else(|| self.expected(TEXT))?;
        let (text, _) = rest[1..].split_once(quote).ok_or_else(|| self.expected(TEXT))?;
        if text.contains(|c: char| c == '\\' || c.is_control()) {
            return Err(self.expected(TEXT));
        }
        self.at += text.len() + 2;
        Ok(text.to_owned())
    }
}

/// One term is itself, several are joined.
fn alone(mut terms: Vec<Term>, joined: fn(Vec<Term>) -> Term) -> Term {
    match terms.pop() {
        Some(only) if terms.is_empty() => only,
        last => joined(terms.into_iter().chain(last).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject<'static> =
        Subject { package: "team/web", version: "sha256:ab12", tag: "dev-1.0" };

    /// `holds`, `not`, or the error's words up to the byte.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual = match text.parse::<Condition>() {
            Ok(condition) if condition.holds(SUBJECT) => "holds".to_owned(),
            Ok(_) => "not".to_owned(),
            Err(ConditionError::Expected { at, .. }) => format!("at {at}"),
            Err(ConditionError::TooLong) => "too long".to_owned(),
            Err(ConditionError::TooDeep(_)) => "too deep".to_owned(),
        };
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn tests_of_a_field() {
        check("pkg.id == 'team/web'", "holds");
        check("pkg.id == \"team/web\"", "holds");
        check("pkg.id=='team'", "not");
        check("pkg.id != 'team'", "holds");
        check("pkg.version.id == 'sha256:ab12'", "holds");
        check("pkg.version.id < 'sha256:b'", "holds");
        check("pkg.version.id < '2.0'", "not");
        check("pkg.version.id <= 'sha256:ab12'", "holds");
        check("pkg.version.id > 'sha256:ab12'", "not");
        check("pkg.version.id >= 'sha256:ab12'", "holds");
        check("pkg.tag.id.startsWith('dev-')", "holds");
        check("pkg.tag.id.startsWith ( 'dev-' )", "holds");
        check("pkg.tag.id.endsWith('.0')", "holds");
        check("pkg.tag.id.endsWith('')", "holds");
        check("pkg.tag.id.contains('v-1')", "holds");
        check("pkg.tag.id.contains('x')", "not");
        check("pkg.tag.id in ['latest', 'dev-1.0']", "holds");
        check("pkg.tag.id in ['latest']", "not");
        check("pkg.tag.id == 'DEV-1.0'", "not");
    }

    #[test]
    fn tests_are_joined() {
        check("true", "holds");
        check("false", "not");
        check("!false", "holds");
        check("!!true", "holds");
        check("true || false && false", "holds");
        check("(true || false) && false", "not");
        check("false || false || true", "holds");
        check("true && true && false", "not");
        check(" ( pkg.id == 'x' )\n|| !pkg.tag.id.startsWith('v') ", "holds");
        // It binds to what is next to it.
        check("!pkg.id.startsWith('x') && true", "holds");
        check("!(true && false)", "holds");
    }

    #[test]
    fn what_is_not_understood_is_refused_by_its_place() {
        check("", "at 0");
        check("  ", "at 2");
        check("pkg", "at 0");
        check("pkg.idx == 'a'", "at 0");
        check("pkg.id", "at 6");
        check("pkg.id = 'a'", "at 7");
        check("pkg.id == a", "at 10");
        check("pkg.id == 'a", "at 10");
        check("pkg.id == 'a\\'b'", "at 10");
        check("pkg.id == 'a\0b'", "at 10");
        check("pkg.id == 1", "at 10");
        check("'a' == pkg.id", "at 0");
        check("pkg.id in []", "at 11");
        check("pkg.id in ['a'", "at 14");
        check("pkg.id.matches('a')", "at 6");
        check("pkg.id.startsWith('a'", "at 21");
        check("pkg.id.startsWithin('a')", "at 6");
        check("pkg.id == 'a' and pkg.id == 'b'", "at 14");
        check("pkg.id == 'a' &&", "at 16");
        check("pkg.id == 'a' & true", "at 14");
        check("(true", "at 5");
        check("true)", "at 4");
        check("truely", "at 0");
        check("resource.name == 'a'", "at 0");
        check("pkg.id == 'é' || 🐳", "at 18");
        check("'; DROP TABLE rules; --", "at 0");
    }

    #[test]
    fn size_and_depth_are_bounded() {
        check(&"!".repeat(MAX_DEPTH + 1), "too deep");
        check(&format!("{}true", "!".repeat(MAX_DEPTH - 1)), "not");
        check(&format!("{}true{}", "(".repeat(31), ")".repeat(31)), "holds");
        check(&format!("{}true{}", "(".repeat(32), ")".repeat(32)), "too deep");
        check(&"(".repeat(MAX_LENGTH), "too deep");
        check(&["true"; 250].join(" &&"), "holds");
        check(&format!("true{}", " ".repeat(MAX_LENGTH)), "too long");
    }

    #[test]
    fn what_it_asks_for() {
        for (text, expected) in [
            ("pkg.id == 'a'", false),
            ("true", false),
            ("pkg.id == 'a' || !(pkg.version.id == 'a' && pkg.tag.id == 'a')", true),
        ] {
            assert_eq!(
                text.parse::<Condition>().expect("valid").asks_for_tag(),
                expected,
                "{text}"
            );
        }
    }
}
