//! Every text of the console, in each of its languages. A text that a language lacks does not compile.
//!
//! A file holds the texts of one area, those of all languages side by side.

/// Makes a method for each text of an area: `name: ENGLISH, CHINESE;`.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $english:literal, $chinese:literal;)+) => {
        impl Texts {
            $(
                $(#[$doc])*
                pub(crate) fn $name(self) -> &'static str {
                    match self {
                        Self::English => $english,
                        Self::Chinese => $chinese,
                    }
                }
            )+
        }
    };
}

mod activity;
mod changes;
mod errors;
mod frame;
mod lists;
mod messages;
mod nouns;
mod people;
mod upstreams;
mod version;

pub(crate) use version::SettingName;

/// The texts of one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Texts {
    English,
    Chinese,
}

/// The languages of the console, the default one first.
pub(crate) const LANGUAGES: [Texts; 2] = [Texts::English, Texts::Chinese];

texts! {
    /// The language, as HTML names it.
    language: "en", "zh-Hans";
    language_name: "English", "中文";
}

/// Returns the texts of a language by its name in a link.
pub(crate) fn by_name(language: &str) -> Option<Texts> {
    LANGUAGES.into_iter().find(|texts| texts.language() == language)
}

/// Returns the texts of the first language of an `Accept-Language` header that the console has.
pub(crate) fn accepted(header: &str) -> Texts {
    let languages = header.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    let known = languages.filter_map(|language| {
        let primary = language.split('-').next().unwrap_or_default();
        LANGUAGES.into_iter().find(|texts| {
            texts.language().split('-').next().is_some_and(|own| own.eq_ignore_ascii_case(primary))
        })
    });
    known.take(1).next().unwrap_or(Texts::English)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_language_is_taken() {
        for (header, expected) in [
            ("", "en"),
            ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
            ("de-DE,de;q=0.9,zh;q=0.5", "zh-Hans"),
            ("en-GB,zh", "en"),
            ("fr", "en"),
        ] {
            assert_eq!(accepted(header).language(), expected, "{header}");
        }
    }
}
