//! Who callers are, and what they may do: accounts and keys, tokens, policies, projects.
//!
//! Knows credentials, not how they travel: which header or form they came in is the server's business. What a
//! caller may do is always asked here, of policies; [`Engine::admit`] answers with the proof of it that every
//! administrative function takes.

mod account_keys;
mod accounts;
mod ancestry;
mod answers;
mod assertions;
mod bootstrap;
mod credentials;
mod crypto;
mod exchange;
mod fresh;
mod impersonation;
mod jwt;
mod key_file;
mod places;
mod policies;
mod projects;
mod revocations;
mod seals;
mod tokens;

use std::sync::Arc;

use model::digest::Digest;
use tokio::sync::Semaphore;

pub use account_keys::{KeyKind, NewKey};
pub use accounts::AccountChange;
pub(crate) use answers::Answers;
pub use assertions::{WrongTimes, self_signed_token};
pub use bootstrap::{OPERATOR, Owner, RestoredOwner};
pub use credentials::{CredentialError, Proof, Surface, claimed_account};
pub use crypto::MasterKey;
pub use exchange::{Exchanged, Introspection};
pub use impersonation::Chain;
pub use jwt::JwtError;
pub use policies::{Admitted, StoredPolicy};
pub use projects::{NewProject, Project};
pub use revocations::Revocation;
pub use seals::{LostSeals, holds_sealed_keys};
pub use tokens::IssuedToken;

/// What this process holds of identities.
pub(crate) struct Identity {
    /// Opens the private keys that are in the database.
    master: MasterKey,
    epoch: fresh::Epoch,
    ring: fresh::Cache<(), Arc<tokens::Ring>>,
    policies: fresh::Cache<String, policies::Loaded>,
    /// By the hash of the credential, so that no credential is kept. Fewer than of the others: a token that anybody
    /// may have made can name very many images, which take some 20 KiB.
    callers: fresh::Cache<Digest, credentials::Known, 1_000>,
    revocations: revocations::Revocations,
    /// Two at a time: the threads that make keys read files and sync them as well.
    making_keys: Semaphore,
}

impl Identity {
    pub(crate) fn new(master: MasterKey) -> Self {
        Self {
            master,
            epoch: fresh::Epoch::default(),
            ring: fresh::Cache::default(),
            policies: fresh::Cache::default(),
            callers: fresh::Cache::default(),
            revocations: revocations::Revocations::default(),
            making_keys: Semaphore::new(2),
        }
    }
}
