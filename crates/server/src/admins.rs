//! The setting `admins`: its changes at a start, and what the audit log says of them.

use anyhow::Context;
use identity::{AdminChanges, SETTINGS_PRINCIPAL};
use web::app::App;
use web::audit::{AuditCode, AuditLog, UnrequestedChange};
use web::auth::Authenticator;

/// A change that the setting `admins` made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AdminChange {
    /// A member got the roles of an administrator.
    Added,
    /// A member lost these roles.
    Removed,
}

/// Records in the audit log that a member got or lost the roles of an administrator by the setting.
pub(crate) fn record(audit: &AuditLog, change: AdminChange, member: &str) {
    let method = match change {
        AdminChange::Added => "berth.users.v1.Users.AddAdmin",
        AdminChange::Removed => "berth.users.v1.Users.RemoveAdmin",
    };
    let change = UnrequestedChange { principal: SETTINGS_PRINCIPAL, method, resource: member };
    audit.record_unrequested(change, AuditCode::Ok, "");
}

/// Gives the roles of an administrator to those whom the setting names, and takes them from those that it names no
/// longer. Logs who that is. In development mode nobody needs a role.
pub(crate) async fn apply(app: &App) -> anyhow::Result<()> {
    if let Authenticator::Dev = &app.authenticate {
        return Ok(());
    }
    let applied = app.engine.identity().apply_admins().await.context("cannot apply admins")?;
    let AdminChanges { given, taken, missing, has_administrator } = applied;
    for member in given {
        record(&app.audit, AdminChange::Added, &member);
        tracing::info!(member, "admins: {member} administers everything now");
    }
    for member in taken {
        record(&app.audit, AdminChange::Removed, &member);
        tracing::info!(member, "admins: {member} administers everything no longer");
    }
    for member in missing {
        let advice = match member.strip_prefix("user:") {
            Some(email) => format!("`berth users add {email}` adds that person"),
            None => "create the account and start again, or take it from the setting".to_owned(),
        };
        tracing::warn!(member, "admins: {member} does not exist yet: {advice}");
    }
    if !has_administrator {
        tracing::warn!(
            "nobody is left who can sign in and administer everything: `berth owner-key` makes a key of the owner"
        );
    }
    Ok(())
}
