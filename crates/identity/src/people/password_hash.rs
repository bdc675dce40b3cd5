//! Hashes of passwords by argon2id. A hash takes some tens of milliseconds of a processor and 19 MiB: few are made at
//! once, few more wait, and the rest is refused at once. One network gets a part of the places, so that the others have
//! some left.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier, Version,
};
use meta::Id;
use model::client_network::network;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::IdentityError;

/// The hashes that are made at once.
const MAX_RUNNING: usize = 4;
/// The requests that wait for a hash, beside those whose hashes are being made.
const MAX_WAITING: usize = 32;
/// The most places that requests of one network have: a quarter of all.
const MAX_OF_NETWORK: usize = (MAX_RUNNING + MAX_WAITING) / 4;

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
    networks: NetworkPlaces,
}

/// The reason why a request gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// The network has as many places as it may have.
    OfNetwork,
    /// All places are taken.
    AtAll,
}

impl Default for PasswordHasher {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_RUNNING + MAX_WAITING)),
            running: Arc::new(Semaphore::new(MAX_RUNNING)),
            networks: NetworkPlaces::default(),
        }
    }
}

impl PasswordHasher {
    /// Takes a place for one hash, for a client at this address.
    pub(crate) fn try_reserve(&self, address: Option<IpAddr>) -> Result<HashingPlace, NoPlace> {
        let of_network = self.networks.enter(address.map(network)).ok_or(NoPlace::OfNetwork)?;
        let place = self.places.clone().try_acquire_owned().map_err(|_| NoPlace::AtAll)?;
        Ok(HashingPlace { place, of_network, running: self.running.clone() })
    }
}

/// The numbers of places that networks have.
#[derive(Clone, Default)]
struct NetworkPlaces(Arc<Mutex<HashMap<Option<IpAddr>, usize>>>);

impl NetworkPlaces {
    /// Takes a place of a network, or returns `None` if the network has as many as it may have.
    fn enter(&self, network: Option<IpAddr>) -> Option<NetworkPlace> {
        let mut taken = self.lock();
        let count = taken.entry(network).or_default();
        if *count >= MAX_OF_NETWORK {
            return None;
        }
        *count += 1;
        Some(NetworkPlace { networks: self.clone(), network })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<IpAddr>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One place of a network, which is given back when this is dropped.
struct NetworkPlace {
    networks: NetworkPlaces,
    network: Option<IpAddr>,
}

impl Drop for NetworkPlace {
    fn drop(&mut self) {
        let mut taken = self.networks.lock();
        if let Some(count) = taken.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.network);
            }
        }
    }
}

/// A place for one hash.
pub(crate) struct HashingPlace {
    place: OwnedSemaphorePermit,
    of_network: NetworkPlace,
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
        let Self { place, of_network, running } = self;
        let running = running.acquire_owned().await.expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((running, place, of_network));
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
        hasher.try_reserve(None).expect("a place is free")
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
        let reserve = |network: u8| hasher.try_reserve(Some([192, 0, 2, network].into()));
        let mut places: Vec<_> = (0..4)
            .flat_map(|network| std::iter::repeat_n(network, MAX_OF_NETWORK))
            .map(|network| reserve(network).expect("a place is free"))
            .collect();
        assert_eq!(places.len(), MAX_RUNNING + MAX_WAITING);
        assert_eq!(reserve(4).err(), Some(NoPlace::AtAll));
        let place = places.pop().expect("some are");
        assert!(!place.verify("a password".to_owned(), None).await.expect("it has its turn"));
        let again = reserve(4);
        assert!(again.is_ok() && reserve(4).err() == Some(NoPlace::AtAll));
    }

    #[tokio::test]
    async fn a_network_has_a_part_of_the_places() {
        let hasher = PasswordHasher::default();
        let reserve = |address: &str| hasher.try_reserve(Some(address.parse().expect("one")));
        let mut places: Vec<_> =
            std::iter::from_fn(|| reserve("2001:db8::1").ok()).take(100).collect();
        assert_eq!(places.len(), MAX_OF_NETWORK);
        assert_eq!(reserve("2001:db8::2").err(), Some(NoPlace::OfNetwork), "the same /64");
        let elsewhere = [reserve("2001:db8:0:1::1"), reserve("192.0.2.1")];
        assert!(elsewhere.iter().all(Result::is_ok));
        places.pop();
        assert!(reserve("2001:db8::2").is_ok());
        drop((places, elsewhere));
        assert!(hasher.networks.lock().is_empty(), "nothing is kept of networks without a place");
    }
}
