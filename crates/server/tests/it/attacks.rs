//! Attacks on registries that are known to have worked somewhere, by the numbers of our list of them. Each is
//! one test; what it must come to is asserted as the attacker sees it. `./test unit` prints those whose surface is not
//! built yet.

mod authorization;
mod documents;
mod protocol;
