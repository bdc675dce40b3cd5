//! Attacks on registries that are known to have worked somewhere, by the numbers of our list of them. Each is
//! one test; what it must come to is asserted as the attacker sees it. `./test unit` prints those whose surface is not
//! built yet.

mod apart;
mod authorization;
mod credentials;
mod derivation;
mod documents;
mod doors;
mod forgery;
mod guesses;
mod immutability;
mod lures;
mod matrix;
mod metadata;
mod policies;
mod protocol;
mod reach;
mod revocation;
mod rotation;
mod secrets;
mod visibility;

// Attack 37 measures how long it takes to compare a secret. There is nothing to measure: no secret is compared.
// A token of ours is found by the SHA-256 of what was sent, and its signature is checked with a public key; a key
// file is proven by deriving the public key from the private one and comparing public keys; keys and accounts are
// looked up by names that are no secrets. A test of times would be one that cannot fail honestly.
