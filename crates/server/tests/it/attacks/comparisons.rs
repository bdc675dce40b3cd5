//! Attack 37: learning a secret from the time that a comparison takes.
//!
//! Times are not measured here, because no secret is compared. A token of ours is found by the SHA-256 of the sent
//! bytes, and its signature is verified with a public key. A key file is proven by deriving the public key from the
//! private key and comparing public keys. Keys and accounts are found by names that are not secret. The test asserts
//! that the sources stay so: no name of a secret stands beside `==`.

use std::path::Path;

use crate::house::sources;

/// Names of secrets and of values derived from secrets.
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

/// The last name on each side of each comparison in a line, without calls such as `as_str`.
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
    for room in ["identity", "engine", "meta", "web", "google", "oci", "console", "server"] {
        for path in sources(&crates.join(room).join("src")) {
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
