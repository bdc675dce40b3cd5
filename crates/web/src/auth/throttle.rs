//! Who guesses is slowed down: by the address that guesses come from, and by the account that they are for.
//!
//! Only the answer to a wrong credential changes. A right one is never refused for the wrong ones that others sent,
//! so that nobody can lock an account out.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use identity::{CredentialError, IdentityError};

use super::refusal::claimed;
use crate::layer;
use crate::layer::rate_limiter::{RateLimiter, network};

/// So many at once..
const ADDRESS_BURST: NonZeroU32 = NonZeroU32::new(1000).expect("more than nothing");
const ACCOUNT_BURST: NonZeroU32 = NonZeroU32::new(300).expect("more than nothing");
/// ..and one each second after that.
const REFILL: NonZeroU32 = NonZeroU32::MIN;

/// Counts wrong credentials.
#[derive(Debug, Clone)]
pub struct GuessThrottle(Arc<GuessCounts>);

#[derive(Debug)]
struct GuessCounts {
    addresses: RateLimiter<IpAddr>,
    accounts: RateLimiter<String>,
}

impl Default for GuessThrottle {
    fn default() -> Self {
        let addresses = RateLimiter::new(ADDRESS_BURST, REFILL);
        let accounts = RateLimiter::new(ACCOUNT_BURST, REFILL);
        Self(Arc::new(GuessCounts { addresses, accounts }))
    }
}

impl GuessThrottle {
    /// What came of a credential, which is another answer where it is wrong as too many before it.
    pub fn judge<T>(
        &self,
        credential: &str,
        outcome: Result<T, IdentityError>,
    ) -> Result<T, IdentityError> {
        match outcome {
            Err(IdentityError::Credential(error)) if error.is_guess() => {
                let one_more = self.one_more_here() && self.one_more_of(credential);
                Err(if one_more { error } else { CredentialError::TooMany }.into())
            }
            outcome => outcome,
        }
    }

    /// Where too many are counted, everybody goes free.
    fn one_more_here(&self) -> bool {
        let client = layer::client().map(network);
        client.and_then(|client| self.0.addresses.try_acquire(&client)).unwrap_or(true)
    }

    /// Asked after the address: one that sends too many fills no memory with accounts that it thought of.
    fn one_more_of(&self, credential: &str) -> bool {
        claimed(credential)
            .and_then(|account| self.0.accounts.try_acquire(&account))
            .unwrap_or(true)
    }
}
