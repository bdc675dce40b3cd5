//! Words: doc comments begin with a noun phrase or a verb, values that belong together are a struct, and types have names.

use std::path::Path;

use super::{ARROWS, source_of, sources};

/// Words with which no doc comment begins: what follows them has to be decoded.
const RIDDLES: [&str; 14] = [
    "What",
    "Who",
    "Whom",
    "Whose",
    "Those",
    "Its",
    "It",
    "Where",
    "How",
    "That",
    "Which",
    "Whether",
    "Somebody",
    "Everybody",
];

/// The rules that a file breaks, one line each. Tests within the file are left out.
fn faults(text: &str) -> Vec<String> {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let mut faults = Vec::new();
    let mut is_doc = false;
    for line in text[..end].lines().map(str::trim_start) {
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        let first = doc.and_then(|doc| doc.split_whitespace().next()).unwrap_or_default();
        if !is_doc && RIDDLES.contains(&first) {
            faults.push(format!("a doc comment begins with {first}: {line}"));
        }
        is_doc = doc.is_some();
    }
    faults.extend(
        signatures(&text[..end]).into_iter().filter(|head| takes_tuple(head)).map(|head| {
            format!("a function takes a tuple, where a struct would have names: {head}")
        }),
    );
    faults.extend(one_letter_types(&text[..end]));
    faults
}

/// The heads of functions, from `fn` to the body.
fn signatures(text: &str) -> Vec<String> {
    let heads = text.split("fn ").skip(1).filter(|rest| {
        rest.split(['(', '<']).next().is_some_and(|name| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    });
    heads.map(|rest| rest.split(['{', ';']).next().unwrap_or_default().to_owned()).collect()
}

/// Whether a parameter is a pattern with several names, `(a, b): (A, B)`.
fn takes_tuple(head: &str) -> bool {
    head.split("): (").zip(head.split("): (").skip(1)).any(|(before, _)| {
        let pattern = before.rsplit('(').next().unwrap_or_default();
        pattern.contains(',')
            && pattern.chars().all(|c| c.is_ascii_alphanumeric() || "_, &".contains(c))
    })
}

fn one_letter_types(text: &str) -> Vec<String> {
    let names = ["struct ", "enum ", "trait "].iter().flat_map(|kind| {
        text.lines()
            .filter_map(move |line| line.trim_start().trim_start_matches("pub ").strip_prefix(kind))
    });
    let short =
        names.filter(|rest| rest.chars().nth(1).is_some_and(|c| !c.is_alphanumeric() && c != '_'));
    short.map(|rest| format!("a type has a name of one letter: {rest}")).collect()
}

#[test]
fn words_are_clear() {
    let mut found = Vec::new();
    for path in ARROWS.iter().flat_map(|(room, _)| sources(&source_of(room))) {
        let is_test = path.ends_with("tests.rs") || path.iter().any(|part| part == "tests");
        let text =
            if is_test { String::new() } else { std::fs::read_to_string(&path).expect("readable") };
        found.extend(faults(&text).into_iter().map(|fault| format!("{}: {fault}", shown(&path))));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn shown(path: &Path) -> String {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates/");
    path.strip_prefix(crates).expect("within").display().to_string()
}

#[test]
fn planted_faults_are_found() {
    let check = |text: &str, expected: usize| {
        assert_eq!(faults(text).len(), expected, "{text}: {:?}", faults(text));
    };
    check("/// The name.\n/// What follows is the same comment.\nfn f() {}", 0);
    check("/// What came of it.\nfn f() {}", 1);
    check("    //! How it is done.\n", 1);
    check("fn f(&self, (a, b): (A, B)) -> C {}", 1);
    check("fn f(\n    (a, b): (A, B),\n    c: C,\n) {\n}", 1);
    check("fn f(a: (A, B), State(app): State<App>) {}", 0);
    check("pub struct X {\n}", 1);
    check("struct Xy;\ntype T = ();", 0);
    check("fn f() {}\n#[cfg(test)]\nmod tests {\n    /// What\n    fn f((a, b): (A, B)) {}\n}", 0);
}
