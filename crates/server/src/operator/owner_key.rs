//! The operator's command for a new key of the owner.

use anyhow::bail;
use identity::OPERATOR_PRINCIPAL;
use serde::{Deserialize, Serialize};
use web::audit::{AuditCode, UnrequestedChange};

use web::app::App;
use web::auth::Authenticator;

/// A new key of the account that owns everything.
#[derive(Serialize, Deserialize)]
pub(crate) struct NewOwnerKey {
    /// The account's email address.
    pub email: String,
    /// The id of the key.
    pub key_id: String,
    /// The key file in Google's format.
    pub key_file: String,
    /// The other repairs that were made, as sentences.
    pub repaired: Vec<String>,
}

/// Makes the key, and records that in the audit log.
pub(super) async fn make(app: &App, url: Option<String>) -> anyhow::Result<NewOwnerKey> {
    if matches!(app.authenticate, Authenticator::Dev) {
        bail!("this server runs with --dev, and lets everybody do everything without a key");
    }
    let Some(url) = url.or_else(|| app.origin.fixed()) else {
        bail!(
            "external_url is not set, and the key file has to say where clients reach the server: name it with --url"
        );
    };
    let made = app.engine.identity().restore_owner(&format!("{url}/token")).await;
    let record = |resource: &str, code, problem: &str| {
        let method = "google.iam.admin.v1.IAM.CreateServiceAccountKey";
        let change = UnrequestedChange { principal: OPERATOR_PRINCIPAL, method, resource };
        app.audit.record_unrequested(change, code, problem);
    };
    match &made {
        Ok(made) => {
            let key = format!("projects/-/serviceAccounts/{}/keys/{}", made.email, made.key_id);
            record(&key, AuditCode::Ok, "");
            tracing::warn!("the operator made a new key of {}: {}", made.email, made.key_id);
        }
        Err(error) => record("organizations/1", AuditCode::Internal, &error.to_string()),
    }
    let made = made?;
    let repaired = made.repaired.into_iter().map(str::to_owned).collect();
    Ok(NewOwnerKey { email: made.email, key_id: made.key_id, key_file: made.key_file, repaired })
}
