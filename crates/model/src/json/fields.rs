//! The keys that clients take for the fields of a structure.
//!
//! Go's decoder compares keys with fields by simple case folding, so that `Layers` and `layerſ` are both taken for
//! `layers`.

/// The fields of one kind of object that clients read into a structure. All their names are ASCII.
#[derive(Debug)]
pub struct FieldTable(pub &'static [ClientField]);

/// One field of a structure.
#[derive(Debug)]
pub struct ClientField {
    /// The only accepted spelling of the key.
    pub name: &'static str,
    /// The fields of the object that the field holds, or of each object in the array that it holds. `None` if the field
    /// holds neither, or holds a map.
    pub inside: Option<&'static FieldTable>,
}

impl ClientField {
    /// Creates a field that holds no structure.
    pub const fn plain(name: &'static str) -> Self {
        Self { name, inside: None }
    }

    /// Creates a field that holds a structure, or an array of structures.
    pub const fn with_fields(name: &'static str, inside: &'static FieldTable) -> Self {
        Self { name, inside: Some(inside) }
    }
}

impl FieldTable {
    /// Returns the field that clients take `key` for, however `key` is spelled.
    pub(super) fn find(&self, key: &str) -> Option<&'static ClientField> {
        let exact = self.0.iter().find(|field| field.name == key);
        exact.or_else(|| self.0.iter().find(|field| folds_to(key, field.name)))
    }
}

/// Returns whether Go's decoder takes `key` for the field `name`. Only two characters outside of ASCII are folded to
/// ASCII letters: the long s and the sign of the kelvin.
fn folds_to(key: &str, name: &str) -> bool {
    let folded = key.chars().map(|letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(name.chars().map(|letter| letter.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, name: &str, expected: bool) {
        assert_eq!(folds_to(key, name), expected, "{key} and {name}");
    }

    #[test]
    fn keys_that_are_taken_for_a_field() {
        check("layers", "layers", true);
        check("LAYERS", "layers", true);
        check("layer\u{17f}", "layers", true);
        check("\u{17f}i\u{17f}E", "sise", true);
        check("\u{212a}ey", "key", true);
        check("MEDIATYPE", "mediaType", true);
        check("OS.Version", "os.version", true);
        check("layer", "layers", false);
        check("layerss", "layers", false);
        check("layer\u{df}", "layers", false);
        check("l\u{e4}yers", "layers", false);
        // Simple folding changes neither the dotless i nor the dotted one.
        check("s\u{131}ze", "size", false);
        check("s\u{130}ze", "size", false);
        // Full-width letters are folded to full-width letters.
        check("\u{ff53}ize", "size", false);
        check("", "size", false);
    }
}
