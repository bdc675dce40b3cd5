//! The conditions of rules: a small part of CEL that compares the names of an image, a version and a tag with texts.
//!
//! ```text
//! pkg.tag.id.startsWith('dev-') && !(pkg.id in ['web', 'team/api'])
//! ```
//!
//! A comparison has a field to the left: `pkg.id` is the image, `pkg.version.id` the digest, `pkg.tag.id` the tag. The
//! field is compared with a text by `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `startsWith`, `endsWith` or `contains`.
//! Comparisons are combined by `&&`, `||`, `!`, parentheses, `true` and `false`. All other syntax of CEL is refused
//! with its position, so that every stored condition can be evaluated.

use std::str::FromStr;

/// The largest length of a condition, in bytes.
const MAX_CONDITION_BYTES: usize = 2_048;

/// The largest number of levels that parentheses and `!` are nested. Parsing and evaluation recurse once for each
/// level.
const MAX_DEPTH: usize = 32;

/// The reasons why a condition is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// The condition does not follow the syntax.
    #[error("at byte {at}: {expected} was expected")]
    Expected {
        /// The number of bytes before the error.
        at: usize,
        /// The text that would be accepted there.
        expected: &'static str,
    },
    /// The condition is longer than anybody needs.
    #[error("has more than {MAX_CONDITION_BYTES} bytes")]
    TooLong,
    /// The condition is nested deeper than anybody needs. The number is the position in bytes.
    #[error("at byte {0}: nested more than {MAX_DEPTH} deep")]
    TooDeep(usize),
}

/// The names of the image, version and tag that a rule is applied to.
#[derive(Debug, Clone, Copy)]
pub struct RuleSubject<'a> {
    /// The name of the image.
    pub package: &'a str,
    /// The digest of the version.
    pub version: &'a str,
    /// The tag, or an empty text if there is no tag.
    pub tag: &'a str,
}

/// A condition that has been parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCondition(Term);

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

/// A function that makes a test of the text that a field is compared with.
type MakeTest = fn(String) -> Test;

/// The relational operators. Longer operators are first, because `<=` begins with `<`.
const RELATIONS: [(&str, MakeTest); 6] = [
    ("==", Test::Equal),
    ("!=", Test::Different),
    ("<=", Test::AtMost),
    (">=", Test::AtLeast),
    ("<", Test::Less),
    (">", Test::Greater),
];

const METHODS: [(&str, MakeTest); 3] =
    [(".startsWith", Test::Begins), (".endsWith", Test::Ends), (".contains", Test::Contains)];

impl RuleCondition {
    /// Returns whether the condition is true for these names.
    pub fn is_true_for(&self, subject: RuleSubject<'_>) -> bool {
        self.0.holds(subject)
    }

    /// Returns whether the condition compares the tag, so that the result may depend on the tag.
    pub fn compares_tag(&self) -> bool {
        self.0.compares(Field::Tag)
    }
}

impl Term {
    fn holds(&self, subject: RuleSubject<'_>) -> bool {
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

    fn compares(&self, wanted: Field) -> bool {
        match self {
            Self::Always(_) => false,
            Self::Not(term) => term.compares(wanted),
            Self::All(terms) | Self::Any(terms) => terms.iter().any(|term| term.compares(wanted)),
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

impl FromStr for RuleCondition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        if text.len() > MAX_CONDITION_BYTES {
            return Err(ConditionError::TooLong);
        }
        let mut parser = ConditionParser { text, at: 0, depth: 0 };
        let term = parser.parse_any()?;
        match parser.rest() {
            "" => Ok(Self(term)),
            _ => Err(parser.expected("&&, || or the end")),
        }
    }
}

/// A parser that reads a condition from left to right.
struct ConditionParser<'a> {
    text: &'a str,
    /// The number of bytes that have been read.
    at: usize,
    /// The number of open parentheses and `!`.
    depth: usize,
}

impl<'a> ConditionParser<'a> {
    /// Skips white space, and returns the text that has not been read.
    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn expected(&self, expected: &'static str) -> ConditionError {
        ConditionError::Expected { at: self.at, expected }
    }

    /// Skips a sign if the rest of the text begins with it. Returns whether it did.
    fn take(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    /// Does the same as `take` for a word, which no letter, digit or `_` may follow.
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

    fn parse_any(&mut self) -> Result<Term, ConditionError> {
        let mut terms = vec![self.parse_all()?];
        while self.take("||") {
            terms.push(self.parse_all()?);
        }
        Ok(join(terms, Term::Any))
    }

    fn parse_all(&mut self) -> Result<Term, ConditionError> {
        let mut terms = vec![self.parse_term()?];
        while self.take("&&") {
            terms.push(self.parse_term()?);
        }
        Ok(join(terms, Term::All))
    }

    fn parse_term(&mut self) -> Result<Term, ConditionError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ConditionError::TooDeep(self.at));
        }
        let term = if self.take("!") {
            Term::Not(Box::new(self.parse_term()?))
        } else if self.take("(") {
            let term = self.parse_any()?;
            self.require(")", "&&, || or )")?;
            term
        } else if self.take_word("true") {
            Term::Always(true)
        } else if self.take_word("false") {
            Term::Always(false)
        } else {
            self.parse_comparison()?
        };
        self.depth -= 1;
        Ok(term)
    }

    fn parse_comparison(&mut self) -> Result<Term, ConditionError> {
        let field = FIELDS.iter().find(|(name, _)| self.take_word(name));
        let (_, field) = field
            .ok_or_else(|| self.expected("pkg.id, pkg.version.id, pkg.tag.id, !, ( or true"))?;
        if let Some((_, make_test)) = RELATIONS.iter().find(|(sign, _)| self.take(sign)) {
            return Ok(Term::Is(*field, make_test(self.parse_text()?)));
        }
        if let Some((_, make_test)) = METHODS.iter().find(|(name, _)| self.take_word(name)) {
            self.require("(", "(")?;
            let text = self.parse_text()?;
            self.require(")", ")")?;
            return Ok(Term::Is(*field, make_test(text)));
        }
        if !self.take_word("in") {
            return Err(self.expected(
                "==, !=, <, <=, >, >=, in, .startsWith(…), .endsWith(…) or .contains(…)",
            ));
        }
        self.require("[", "[")?;
        let mut texts = vec![self.parse_text()?];
        while self.take(",") {
            texts.push(self.parse_text()?);
        }
        self.require("]", ", or ]")?;
        Ok(Term::Is(*field, Test::In(texts)))
    }

    /// Parses a text in quotes. Escapes are not supported: no name has a character that would need one.
    fn parse_text(&mut self) -> Result<String, ConditionError> {
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

/// Combines several terms with `combine`. A single term is returned as it is.
fn join(mut terms: Vec<Term>, combine: fn(Vec<Term>) -> Term) -> Term {
    match terms.pop() {
        Some(only) if terms.is_empty() => only,
        last => combine(terms.into_iter().chain(last).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: RuleSubject<'static> =
        RuleSubject { package: "team/web", version: "sha256:ab12", tag: "dev-1.0" };

    /// Compares the result for `SUBJECT` with `expected`: `holds`, `not`, or a short name of the error.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual = match text.parse::<RuleCondition>() {
            Ok(condition) if condition.is_true_for(SUBJECT) => "holds".to_owned(),
            Ok(_) => "not".to_owned(),
            Err(ConditionError::Expected { at, .. }) => format!("at {at}"),
            Err(ConditionError::TooLong) => "too long".to_owned(),
            Err(ConditionError::TooDeep(_)) => "too deep".to_owned(),
        };
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn comparisons_of_a_field() {
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
    fn comparisons_are_combined() {
        check("true", "holds");
        check("false", "not");
        check("!false", "holds");
        check("!!true", "holds");
        check("true || false && false", "holds");
        check("(true || false) && false", "not");
        check("false || false || true", "holds");
        check("true && true && false", "not");
        check(" ( pkg.id == 'x' )\n|| !pkg.tag.id.startsWith('v') ", "holds");
        // `!` binds closer than `&&`.
        check("!pkg.id.startsWith('x') && true", "holds");
        check("!(true && false)", "holds");
    }

    #[test]
    fn other_syntax_is_refused_with_its_position() {
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
        check(&"(".repeat(MAX_CONDITION_BYTES), "too deep");
        check(&["true"; 250].join(" &&"), "holds");
        check(&format!("true{}", " ".repeat(MAX_CONDITION_BYTES)), "too long");
    }

    #[test]
    fn conditions_that_compare_the_tag() {
        for (text, expected) in [
            ("pkg.id == 'a'", false),
            ("true", false),
            ("pkg.id == 'a' || !(pkg.version.id == 'a' && pkg.tag.id == 'a')", true),
        ] {
            assert_eq!(
                text.parse::<RuleCondition>().expect("valid").compares_tag(),
                expected,
                "{text}"
            );
        }
    }
}
