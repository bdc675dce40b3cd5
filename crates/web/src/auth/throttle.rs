//! Limits for guesses at credentials: for each address that guesses come from, and for each account that they are for.
//!
//! Only the answer to a wrong credential changes. A right credential is never refused because others sent wrong ones,
//! so that nobody can lock an account out.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use identity::{CredentialError, IdentityError};
use model::client_network::network;

use super::refusal::printable_claim;
use crate::layer;
use crate::layer::rate_limiter::RateLimiter;

/// The wrong credentials that an address may send at once, before [`REFILL`] applies.
const ADDRESS_BURST: NonZeroU32 = NonZeroU32::new(1000).expect("more than nothing");
/// The wrong credentials for one account that may be sent at once, before [`REFILL`] applies.
const ACCOUNT_BURST: NonZeroU32 = NonZeroU32::new(300).expect("more than nothing");
/// The wrong credentials that an address, or an account, has in each second after that.
const REFILL: NonZeroU32 = NonZeroU32::MIN;

/// Counts wrong credentials by address and by account. Cheap to clone; every clone is the same count.
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
    /// Returns `outcome`, or `TooMany` if it is a wrong credential and this address or account has used up its
    /// failures.
    pub fn limit_guesses<T>(
        &self,
        credential: &str,
        outcome: Result<T, IdentityError>,
    ) -> Result<T, IdentityError> {
        match outcome {
            Err(IdentityError::Credential(error)) if error.is_guess() => {
                let may_fail = self.address_may_fail() && self.account_may_fail(credential);
                Err(if may_fail { error } else { CredentialError::TooMany }.into())
            }
            outcome => outcome,
        }
    }

    /// Counts a wrong credential of the current request's address, and returns whether the address may still fail. An
    /// address that cannot be counted, because too many are, may.
    fn address_may_fail(&self) -> bool {
        let client = layer::client().map(network);
        client.and_then(|client| self.0.addresses.try_acquire(&client)).unwrap_or(true)
    }

    /// Counts a wrong credential for the account that it claims, and returns whether the account may still fail.
    ///
    /// The address is asked before: an address that sends too many cannot fill the memory with invented accounts.
    fn account_may_fail(&self, credential: &str) -> bool {
        printable_claim(credential)
            .and_then(|account| self.0.accounts.try_acquire(&account))
            .unwrap_or(true)
    }
}
