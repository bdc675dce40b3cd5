//! Attacks that have worked on registries somewhere. `attacks/README.md` lists them by number. Each test asserts the
//! outcome as the attacker sees it.

mod apart;
mod authorization;
mod comparisons;
mod credentials;
mod deletions;
mod derivation;
mod documents;
mod doors;
mod egress;
mod enumeration;
mod forgery;
mod guesses;
mod immutability;
mod lures;
mod matrix;
mod metadata;
mod pages;
mod policies;
mod protocol;
mod reach;
mod revocation;
mod rotation;
mod secrets;
mod visibility;

pub(crate) use lures::{certificate_by_other, certificate_of_host, self_signed_certificate};
