//! Attack 37: how long it takes to compare a secret tells what it is.
//!
//! Times are not measured here, as nothing compares a secret. A token of ours is found by the SHA-256 of what was sent,
//! and its signature is checked with a public key; a key file is proven by deriving the public key from the private one
//! and comparing public keys; keys and accounts are looked up by names that are no secrets. What can be looked at is
//! that it stays so: in the sources, nothing that is called like a secret stands beside `==`.

use std::path::Path;

use crate::house::rust_files;

/// What secrets, and what is made of them, are called.
const SECRETS: [&str; 10] = [
    "token",
    "password",
    "secret",
    "credential",
    "assertion",
    "signature",
    "hash",
    "mac",
    "private_key",
    "key_file",
];

/// What stands left and right of each comparison in a line: the last name of each side, however it is borrowed.
fn compared_names(line: &str) -> Vec<&str> {
    const BORROWED: [&str; 4] = [".as_str", ".as_bytes", ".as_ref", ".as_slice"];
    let code = line.split("//").next().unwrap_or_default();
    let ends = |c: char| !(c.is_alphanumeric() || c == '_' || c == '.');
    let mut names = Vec::new();
    for (at, sign) in code.match_indices(" == ").chain(code.match_indices(" != ")) {
        let left = code[..at].trim_end_matches("()").rsplit(ends).next();
        let right = code[at + sign.len()..].trim_start_matches(['&', '*']).split(ends).next();
        for path in [left, right].into_iter().flatten() {
            let path =
                BORROWED.iter().fold(path, |path, end| path.strip_suffix(end).unwrap_or(path));
            names.extend(path.rsplit('.').next());
        }
    }
    names
}

#[test]
fn attack_37_no_secret_is_compared() {
    assert_eq!(
        compared_names("if *stored.token.as_str() != &sent.hash.as_ref() {"),
        ["token", "hash"]
    );
    assert_eq!(
        compared_names("kind == x.rights && token.len() == 5 // a == b"),
        ["kind", "rights", "len", "5"]
    );
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates/");
    let mut looked = 0;
    for room in ["engine", "meta", "server"] {
        for path in rust_files(&crates.join(room).join("src")) {
            let text = std::fs::read_to_string(&path).expect("readable");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for name in code.lines().flat_map(compared_names) {
                let place = path.display();
                assert!(
                    !SECRETS.contains(&name),
                    "{place} compares {name}: look it up by its hash"
                );
                looked += 1;
            }
        }
    }
    assert!(looked > 200, "comparisons were found: {looked}");
}
