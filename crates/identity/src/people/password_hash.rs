//! Hashes of passwords by argon2id. A hash takes some tens of milliseconds of a processor and 19 MiB: few are made at
//! once, few more wait, and the rest is refused at once.

use std::sync::{Arc, LazyLock};

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier, Version,
};
use meta::Id;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::IdentityError;

/// The hashes that are made at once.
const MAX_RUNNING: usize = 4;
/// The requests that wait for a hash, beside those whose hashes are being made.
const MAX_WAITING: usize = 32;

/// The costs of a hash: 19 MiB of memory, two passes, one thread, as OWASP advises for argon2id.
static ARGON2: LazyLock<Argon2<'static>> = LazyLock::new(|| {
    let params = Params::new(19_456, 2, 1, None).expect("costs that argon2 allows");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
});

/// The hash that a password is compared with where there is none, so that the answer takes as long. No password is known
/// that has it.
const NO_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The limit of the hashes that are made at once.
pub(crate) struct PasswordHasher {
    /// One permit for each request that hashes or waits.
    places: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Default for PasswordHasher {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_RUNNING + MAX_WAITING)),
            running: Arc::new(Semaphore::new(MAX_RUNNING)),
        }
    }
}

impl PasswordHasher {
    /// Takes a place for one hash, or returns `None` if all are taken.
    pub(crate) fn try_reserve(&self) -> Option<HashingPlace> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        Some(HashingPlace { place, running: self.running.clone() })
    }
}

/// A place for one hash.
pub(crate) struct HashingPlace {
    place: OwnedSemaphorePermit,
    running: Arc<Semaphore>,
}

impl HashingPlace {
    /// Returns whether a password has the stored hash. Without a stored hash, this takes as long and returns `false`.
    pub(crate) async fn verify(
        self,
        password: String,
        stored: Option<String>,
    ) -> Result<bool, IdentityError> {
        let verified = self.run(move || {
            let text = stored.as_deref().unwrap_or(NO_HASH);
            let hash = PasswordHash::new(text).map_err(|_| "a stored hash of a password")?;
            let matches = ARGON2.verify_password(password.as_bytes(), &hash).is_ok();
            Ok(matches && stored.is_some())
        });
        verified.await
    }

    /// Returns the hash of a new password, with a salt of its own.
    pub(crate) async fn hash(self, password: String) -> Result<String, IdentityError> {
        let hashed = self.run(move || {
            let salt = Id::random().to_bytes();
            let hash = ARGON2.hash_password_with_salt(password.as_bytes(), &salt);
            Ok(hash.map_err(|_| "a password that cannot be hashed")?.to_string())
        });
        hashed.await
    }

    /// Runs `work` on a thread that may block. The place is free again when the work is done, also if nobody waits for it
    /// any more.
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, &'static str> + Send + 'static,
    ) -> Result<T, IdentityError> {
        let Self { place, running } = self;
        let running = running.acquire_owned().await.expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((running, place));
            done
        });
        let failed = |problem: &str| IdentityError::Internal(problem.to_owned());
        let done = done.await.map_err(|_| failed("the hash of a password was not finished"))?;
        done.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserve(hasher: &PasswordHasher) -> HashingPlace {
        hasher.try_reserve().expect("a place is free")
    }

    #[tokio::test]
    async fn a_password_has_its_own_hash() {
        let hasher = PasswordHasher::default();
        let password = || "correct horse battery".to_owned();
        let hash = reserve(&hasher).hash(password()).await.expect("hashed");
        let other = reserve(&hasher).hash(password()).await.expect("hashed");
        assert_ne!(hash, other, "each has a salt");
        let (costs, none) =
            (|hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>(), NO_HASH);
        assert_eq!(costs(&hash), costs(none));
        assert_eq!(hash.len(), none.len());
        let verify = async |password: &str, stored: Option<&String>| {
            reserve(&hasher).verify(password.to_owned(), stored.cloned()).await.expect("verified")
        };
        assert!(verify(&password(), Some(&hash)).await);
        assert!(!verify("correct horse batter", Some(&hash)).await);
        assert!(!verify(&password(), None).await);
        let unreadable = reserve(&hasher).verify(password(), Some("x".to_owned())).await;
        assert!(matches!(unreadable, Err(IdentityError::Internal(_))));
    }

    #[tokio::test]
    async fn places_are_few() {
        let hasher = PasswordHasher::default();
        let mut places: Vec<_> = std::iter::from_fn(|| hasher.try_reserve()).collect();
        assert_eq!(places.len(), MAX_RUNNING + MAX_WAITING);
        let place = places.pop().expect("some are");
        assert!(!place.verify("a password".to_owned(), None).await.expect("it has its turn"));
        let again = hasher.try_reserve();
        assert!(again.is_some() && hasher.try_reserve().is_none());
    }
}
