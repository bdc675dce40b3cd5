//! Who guesses is slowed down: by the address that guesses come from, and by the account that they are for.
//!
//! Only the answer to a wrong credential changes. A right one is never refused for the wrong ones that others sent,
//! so that nobody can lock an account out.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use engine::{CredentialError, EngineError, claimed_account};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::layer;

/// So many at once..
const ADDRESS_BURST: NonZeroU32 = NonZeroU32::new(1000).expect("more than nothing");
const ACCOUNT_BURST: NonZeroU32 = NonZeroU32::new(300).expect("more than nothing");
/// ..and one each second after that.
const REFILL: NonZeroU32 = NonZeroU32::MIN;
/// The most addresses and the most accounts that are remembered.
const MOST: usize = 10_000;
/// The longest address of an account that is counted by itself.
const LONGEST_ACCOUNT: usize = 256;

/// Counts wrong credentials.
#[derive(Debug, Clone)]
pub struct Throttle(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    accounts: DefaultKeyedRateLimiter<String>,
}

impl Default for Throttle {
    fn default() -> Self {
        let keyed = |burst| Quota::per_second(REFILL).allow_burst(burst);
        let addresses = RateLimiter::keyed(keyed(ADDRESS_BURST));
        let accounts = RateLimiter::keyed(keyed(ACCOUNT_BURST));
        Self(Arc::new(Counts { addresses, accounts }))
    }
}

impl Throttle {
    /// What came of a credential, which is another answer where it is wrong as too many before it.
    pub fn judge<T>(
        &self,
        credential: &str,
        outcome: Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        match outcome {
            Err(EngineError::Credential(error)) if error.is_guess() => {
                let one_more = self.one_more_here() && self.one_more_of(credential);
                Err(if one_more { error } else { CredentialError::TooMany }.into())
            }
            outcome => outcome,
        }
    }

    fn one_more_here(&self) -> bool {
        layer::peer().is_none_or(|peer| count(&self.0.addresses, network(peer)))
    }

    /// Asked after the address: one that sends too many fills no memory with accounts that it thought of.
    fn one_more_of(&self, credential: &str) -> bool {
        let account = claimed_account(credential).filter(|email| email.len() <= LONGEST_ACCOUNT);
        account.is_none_or(|account| count(&self.0.accounts, account))
    }
}

/// Whether there may be one more. Where very many are counted, new ones go free.
fn count<K: Clone + Eq + Hash>(counts: &DefaultKeyedRateLimiter<K>, key: K) -> bool {
    if counts.len() >= MOST {
        counts.retain_recent();
    }
    counts.len() >= MOST || counts.check_key(&key).is_ok()
}

/// Who has one address of IPv6 has all of its network.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}
