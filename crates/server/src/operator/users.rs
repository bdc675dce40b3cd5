//! The operator's commands for people. A link to set a password goes out once, and is kept nowhere.

use identity::{
    AddedUser, DisabledUser, Identity, IdentityError, IssuedLink, NewUser, OPERATOR_PRINCIPAL,
    SessionSummary, UserSummary,
};
use model::principal::UserEmail;
use serde::{Deserialize, Serialize};
use web::app::App;
use web::audit::{AuditCode, UnrequestedChange};
use web::auth::Authenticator;
use web::layer::PASSWORD_PATH;

use super::audit_code;
use crate::admins::{self, AdminChange};

/// A command about people. Addresses are parsed by the server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UsersCommand {
    /// Adds a person.
    Add {
        /// The e-mail address.
        email: String,
        /// The name for people to read.
        #[serde(default)]
        name: String,
    },
    /// Lists all people.
    List,
    /// Disables a person, and ends their sessions.
    Disable {
        /// The e-mail address.
        email: String,
    },
    /// Enables a person.
    Enable {
        /// The e-mail address.
        email: String,
    },
    /// Makes a link by which a person sets a new password.
    Reset {
        /// The e-mail address.
        email: String,
    },
    /// Lists the sessions of a person.
    Sessions {
        /// The e-mail address.
        email: String,
    },
    /// Ends all sessions of a person.
    SignOut {
        /// The e-mail address.
        email: String,
    },
}

/// The answer to a command about people.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UsersAnswer {
    /// The person was added.
    Added {
        /// The link for the person.
        link: PrintedLink,
        /// True if the setting `admins` names the person.
        is_admin: bool,
    },
    /// The people, in the order of their addresses.
    Listed(Vec<ListedUser>),
    /// The person was disabled.
    Disabled {
        /// The number of sessions that were ended.
        ended_sessions: u64,
        /// False if nobody is left who can sign in and administer everything.
        has_administrator: bool,
    },
    /// The person was enabled.
    Enabled,
    /// The link for a new password.
    Reset(PrintedLink),
    /// The sessions of the person, the oldest first.
    Sessions(Vec<ListedSession>),
    /// The number of sessions that were ended.
    SignedOut(u64),
}

/// A link by which a person sets a password.
#[derive(Serialize, Deserialize)]
pub(crate) struct PrintedLink {
    /// The URL. It is a secret.
    pub url: String,
    /// The time from which the link is no longer good, in microseconds since 1970.
    pub expires_at: i64,
}

impl std::fmt::Debug for PrintedLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrintedLink").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// A person in a list.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ListedUser {
    /// The e-mail address.
    pub email: String,
    /// The name for people to read.
    pub name: String,
    /// True if the person may do nothing.
    pub disabled: bool,
    /// False if the person has not set a password yet.
    pub has_password: bool,
    /// The time at which the person was added, in microseconds since 1970.
    pub created_at: i64,
}

impl From<UserSummary> for ListedUser {
    fn from(summary: UserSummary) -> Self {
        let UserSummary { email, display_name, disabled, has_password, created_at } = summary;
        Self { email, name: display_name, disabled, has_password, created_at }
    }
}

/// A session in a list. Its times are in microseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ListedSession {
    /// The id of the session.
    pub id: String,
    /// The time of the sign-in.
    pub created_at: i64,
    /// The time of the last use.
    pub last_seen_at: i64,
    /// The time at which the session ends if it is not used again.
    pub expires_at: i64,
    /// The address that the person signed in from.
    pub address: Option<String>,
    /// The program that the person signed in with.
    pub agent: String,
}

impl From<SessionSummary> for ListedSession {
    fn from(summary: SessionSummary) -> Self {
        let SessionSummary { id, created_at, last_seen_at, expires_at, address, agent } = summary;
        let (id, address) = (id.to_string(), address.map(|address| address.to_string()));
        Self { id, created_at, last_seen_at, expires_at, address, agent }
    }
}

impl UsersCommand {
    /// Returns what the audit log records of the command: a method and an address; `None` for a command that changes
    /// nothing.
    fn audited(&self) -> Option<AuditedCommand> {
        let (method, email) = match self {
            Self::Add { email, .. } => ("AddUser", email),
            Self::Disable { email } => ("DisableUser", email),
            Self::Enable { email } => ("EnableUser", email),
            Self::Reset { email } => ("ResetPassword", email),
            Self::SignOut { email } => ("EndSessions", email),
            Self::List | Self::Sessions { .. } => return None,
        };
        Some(AuditedCommand { method, email: email.clone() })
    }
}

/// The facts of a command that the audit log records.
struct AuditedCommand {
    method: &'static str,
    email: String,
}

/// Carries a command out, and records changes in the audit log.
pub(super) async fn run(app: &App, command: UsersCommand) -> Result<UsersAnswer, String> {
    if matches!(app.authenticate, Authenticator::Dev) {
        return Err(
            "this server runs with --dev, and lets everybody do everything: nobody signs in"
                .to_owned(),
        );
    }
    let audited = command.audited();
    let answer = carry_out(app, command).await;
    if let Some(AuditedCommand { method, email }) = audited {
        let (code, problem) = match &answer {
            Ok(_) => (AuditCode::Ok, String::new()),
            Err(error) => (audit_code(error), error.to_string()),
        };
        let (method, resource) =
            (format!("berth.users.v1.Users.{method}"), format!("user:{}", email.to_lowercase()));
        let change = UnrequestedChange {
            principal: OPERATOR_PRINCIPAL,
            method: &method,
            resource: &resource,
        };
        app.audit.record_unrequested(change, code, &problem);
        if let Ok(UsersAnswer::Added { is_admin: true, .. }) = &answer {
            admins::record(&app.audit, AdminChange::Added, &resource);
        }
    }
    answer.map_err(|error| error.to_string())
}

async fn carry_out(app: &App, command: UsersCommand) -> Result<UsersAnswer, IdentityError> {
    let identity: &Identity = app.engine.identity();
    match command {
        UsersCommand::Add { email, name } => {
            let (base, email) = (link_base(app)?, parse(&email)?);
            let new = NewUser { email, display_name: name };
            let AddedUser { link, is_admin } = identity.add_user(new).await?;
            Ok(UsersAnswer::Added { link: printed(&base, link), is_admin })
        }
        UsersCommand::List => {
            let listed = identity.list_users().await?;
            Ok(UsersAnswer::Listed(listed.into_iter().map(ListedUser::from).collect()))
        }
        UsersCommand::Disable { email } => {
            let disabled = identity.disable_user(&parse(&email)?).await?;
            let DisabledUser { ended_sessions, has_administrator } = disabled;
            Ok(UsersAnswer::Disabled { ended_sessions, has_administrator })
        }
        UsersCommand::Enable { email } => {
            identity.enable_user(&parse(&email)?).await?;
            Ok(UsersAnswer::Enabled)
        }
        UsersCommand::Reset { email } => {
            let (base, email) = (link_base(app)?, parse(&email)?);
            Ok(UsersAnswer::Reset(printed(&base, identity.reset_password(&email).await?)))
        }
        UsersCommand::Sessions { email } => {
            let sessions = identity.list_user_sessions(&parse(&email)?).await?;
            Ok(UsersAnswer::Sessions(sessions.into_iter().map(ListedSession::from).collect()))
        }
        UsersCommand::SignOut { email } => {
            Ok(UsersAnswer::SignedOut(identity.end_user_sessions(&parse(&email)?).await?))
        }
    }
}

fn parse(email: &str) -> Result<UserEmail, IdentityError> {
    email.parse().map_err(|error: model::principal::PrincipalError| {
        IdentityError::InvalidArgument { field: "email", problem: error.to_string() }
    })
}

/// Returns the URL of the page for passwords, to which the token of a link is added.
fn link_base(app: &App) -> Result<String, IdentityError> {
    let url = app.origin.fixed().ok_or_else(|| {
        IdentityError::Precondition(
            "external_url is not set, and the link has to say where people reach the server"
                .to_owned(),
        )
    })?;
    Ok(format!("{url}{PASSWORD_PATH}"))
}

fn printed(base: &str, link: IssuedLink) -> PrintedLink {
    PrintedLink { url: format!("{base}{}", link.token), expires_at: link.expires_at }
}
