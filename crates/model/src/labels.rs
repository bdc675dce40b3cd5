//! Labels of projects and repositories: pairs of short texts, as Google Cloud has them.

use std::collections::BTreeMap;

/// The largest number of labels.
const MAX_LABELS: usize = 64;
/// The largest number of characters in a key or a value.
const MAX_CHARACTERS: usize = 63;

/// The problem with labels that Google Cloud would not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// There are too many labels.
    #[error("at most {MAX_LABELS} labels")]
    TooMany,
    /// A key is empty, too long, or has other characters.
    #[error(
        "key {0:?} is not valid: up to {MAX_CHARACTERS} lower-case letters, digits, _ and -, beginning with a letter"
    )]
    Key(String),
    /// The value of this key is too long, or has other characters.
    #[error(
        "value of {0:?} is not valid: up to {MAX_CHARACTERS} lower-case letters, digits, _ and -"
    )]
    Value(String),
}

/// Checks that labels are at most 64, with keys and values of lower-case letters, digits, `_` and `-`.
pub fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), LabelError> {
    if labels.len() > MAX_LABELS {
        return Err(LabelError::TooMany);
    }
    for (key, value) in labels {
        if !key.starts_with(char::is_lowercase) || !is_plain(key) {
            return Err(LabelError::Key(key.chars().take(70).collect()));
        }
        if !is_plain(value) {
            return Err(LabelError::Value(key.clone()));
        }
    }
    Ok(())
}

fn is_plain(text: &str) -> bool {
    text.chars().count() <= MAX_CHARACTERS
        && text.chars().all(|c| {
            c.is_ascii_digit() || c == '_' || c == '-' || (c.is_alphabetic() && !c.is_uppercase())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, value: &str, valid: bool) {
        let labels = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        assert_eq!(check_labels(&labels).is_ok(), valid, "{key}={value}");
    }

    #[test]
    fn labels() {
        check("team", "platform", true);
        check("team", "", true);
        check("a-b_c9", "9-_x", true);
        check("", "x", false);
        check("9team", "x", false);
        check("Team", "x", false);
        check("team", "Platform", false);
        check("team", "a b", false);
        check(&"a".repeat(63), &"a".repeat(63), true);
        check(&"a".repeat(64), "x", false);
        check("a", &"x".repeat(64), false);
        let many: BTreeMap<_, _> = (0..65).map(|n| (format!("k{n}"), String::new())).collect();
        assert!(check_labels(&many).is_err());
    }
}
