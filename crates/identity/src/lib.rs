//! Authentication and authorization: credentials, tokens, policies, accounts, projects.
//!
//! This crate checks credentials. The doors read them from headers and forms. It knows neither HTTP nor content. Each
//! of these rooms uses only the rooms before it:
//!
//! - `credentials`: key files, JSON Web Tokens, the cryptographic library;
//! - `policies`: the decision whether a caller has a permission, and its caches;
//! - `tokens`: the registry's own tokens, their exchange and revocation, impersonation;
//! - `accounts`: service accounts and their keys, projects, custom roles, secrets, the first owner;
//! - `people`: people with a password, their sessions, the administrators of the settings.

mod accounts;
mod admitted;
mod authenticate;
mod caller;
mod clock;
mod credentials;
mod error;
mod identity;
mod page_token;
mod people;
mod policies;
mod settings;
mod tokens;

pub use accounts::custom_roles::{CustomRole, CustomRoleChange, CustomRolePage, CustomRoleVersion};
pub use accounts::first_owner::{FirstOwner, OPERATOR_PRINCIPAL, RestoredOwner};
pub use accounts::projects::{NewProject, Project, ProjectList};
pub use accounts::sealed_keys::{LostSeals, holds_sealed_keys};
pub use accounts::secrets::{
    NewSecretVersion, OpenedSecret, SecretSummary, SecretUnusable, SecretVersionSummary,
};
pub use accounts::service_account_keys::NewKey;
pub use accounts::service_accounts::{AccountChange, NewAccount};
pub use admitted::Authorized;
pub use authenticate::{TokenAudience, claimed_account};
pub use caller::{AuthenticatedBy, AuthorizationMode, Caller};
pub use clock::{Clock, Micros, SystemClock, micros};
pub use credentials::account_key::KeyKind;
pub use credentials::assertions::self_signed_token;
pub use credentials::crypto::MasterKey;
pub use error::{CredentialError, IdentityError, JwtError, WrongTokenTimes};
pub use identity::Identity;
pub use meta::accounts::{AccountKeyRow, AccountRow};
pub use meta::change_way::ChangeWay;
pub use people::admins::{AdminChanges, SETTINGS_PRINCIPAL};
pub use people::password_links::{
    IssuedLink, PasswordLink, PasswordLinkError, PasswordProblem, PasswordPurpose,
};
pub use people::sessions::SessionSummary;
pub use people::sign_in::{NewSession, SessionDevice, SignInError, SignInRequest};
pub use people::signed_in::{SessionId, SessionUse, SignedInPerson};
pub use people::users::{AddedUser, DisabledUser, NewUser, UserSummary};
pub use policies::epoch_cache::EpochCache;
pub use policies::evaluate::StoredPolicy;
pub use settings::{IdentitySettings, SessionLimits};
pub use tokens::exchange::{AssertionAnswer, IdTokenRequest, TokenIntrospection};
pub use tokens::impersonation::{ImpersonationChain, JwtSigner};
pub use tokens::issue::IssuedToken;
pub use tokens::revocations::RevocationOutcome;
