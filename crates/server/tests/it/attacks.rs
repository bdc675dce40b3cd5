//! Attacks on registries that are known to have worked somewhere, by the numbers of our list of them. Each is
//! one test; what it must come to is asserted as the attacker sees it.

mod authorization;
mod credentials;
mod documents;
mod doors;
mod forgery;
mod matrix;
mod policies;
mod protocol;
mod revocation;
mod secrets;
mod visibility;

// Attack 37 measures how long it takes to compare a secret. There is nothing to measure: no secret is compared.
// A token of ours is found by the SHA-256 of what was sent, and its signature is checked with a public key; a key
// file is proven by deriving the public key from the private one and comparing public keys; keys and accounts are
// looked up by names that are no secrets. A test of times would be one that cannot fail honestly.

/// Attacks of the same list whose surface is not built yet. They come with it.
#[test]
fn surfaces_that_do_not_exist_yet() {
    println!(
        "attack 11, deletes that are switched off: immutable tags are kept, and not acted on yet"
    );
    println!(
        "attack 12, immutable tags: kept, and not acted on yet; the APIs' tags are not built yet"
    );
    println!("attack 25, reading by way of a virtual repository: pulls from one are not built yet");
    println!("attack 26, what a remote repository has fetched: pulls from one are not built yet");
    println!("attack 36, ten thousand passwords: there are no people, and so no passwords, yet");
    println!("attack 39, tokens of other issuers: workload identity is not built yet");
    println!("attack 62, names in the console: not built yet");
}
