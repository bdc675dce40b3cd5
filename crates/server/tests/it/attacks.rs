//! Attacks on registries that are known to have worked somewhere, by the numbers of our list of them. Each is
//! one test; what it must come to is asserted as the attacker sees it. `./test unit` prints those whose surface is not
//! built yet.

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
mod policies;
mod protocol;
mod reach;
mod revocation;
mod rotation;
mod secrets;
mod visibility;

pub(crate) use lures::{certificate_by_other, self_signed_certificate};
