//! Who callers are, and what they may do: credentials, tokens, policies, accounts, projects.
//!
//! This crate knows credentials, not how they travel: which header or form they came in is the doors' business. It knows
//! neither HTTP nor content. The rooms, each of which uses only those before it:
//!
//! - [`credentials`]: key files, JSON Web Tokens, the cryptographic library;
//! - [`policies`]: whether a caller has a permission, and the caches of that;
//! - [`tokens`]: our own tokens, their exchange and revocation, acting as an account;
//! - [`accounts`]: service accounts and their keys, projects, the first owner.

mod accounts;
mod admitted;
mod authenticate;
mod caller;
mod clock;
mod credentials;
mod error;
mod identity;
mod page_token;
mod policies;
mod tokens;

pub use accounts::first_owner::{FirstOwner, OPERATOR_PRINCIPAL, RestoredOwner};
pub use accounts::projects::{NewProject, Project};
pub use accounts::sealed_keys::{LostSeals, holds_sealed_keys};
pub use accounts::service_account_keys::NewKey;
pub use accounts::service_accounts::AccountChange;
pub use admitted::Authorized;
pub use authenticate::{TokenAudience, claimed_account};
pub use caller::{AuthenticatedBy, AuthorizationMode, Caller, Grant};
pub use clock::{Clock, Micros, SystemClock, micros};
pub use credentials::account_key::KeyKind;
pub use credentials::assertions::self_signed_token;
pub use credentials::crypto::MasterKey;
pub use error::{CredentialError, IdentityError, JwtError, WrongTokenTimes};
pub use identity::Identity;
pub use meta::accounts::{AccountKeyRow, AccountRow};
pub use policies::evaluate::StoredPolicy;
pub use tokens::exchange::{AssertionAnswer, TokenIntrospection};
pub use tokens::impersonation::{ImpersonationChain, JwtSigner};
pub use tokens::issue::IssuedToken;
pub use tokens::revocations::RevocationOutcome;
