//! A caller who is signed in to the Google APIs, and the calls that tests make most.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use super::{AccountKey, Client, Reply};

/// The location of every repository of these tests.
pub(crate) const LOCATION: &str = "us-west1";

/// The sentence with which a change of an immutable tag is refused. Clients look for it.
pub(crate) const IMMUTABLE_SENTENCE: &str = "The repository has enabled tag immutability";

/// The OAuth scope that allows every API.
pub(crate) const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The resource name of a repository.
pub(crate) fn repository_name(project: &str, id: &str) -> String {
    format!("projects/{project}/locations/{LOCATION}/repositories/{id}")
}

/// The resource name of an account.
pub(crate) fn account_name(email: &str) -> String {
    format!("projects/-/serviceAccounts/{email}")
}

/// A caller with an access token.
#[derive(Clone)]
pub(crate) struct GoogleClient {
    pub(crate) client: Client,
    pub(crate) token: String,
    pub(crate) email: String,
}

impl GoogleClient {
    pub(crate) fn new(client: &Client, token: &str, email: &str) -> Self {
        let client = client.clone().with_token(token);
        Self { client, token: token.to_owned(), email: email.to_owned() }
    }

    /// The caller as a policy names it.
    pub(crate) fn member(&self) -> String {
        format!("serviceAccount:{}", self.email)
    }

    /// The account's own resource name.
    pub(crate) fn account_name(&self) -> String {
        account_name(&self.email)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.client.get(path).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.client.delete(path).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.client.post(path, body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.client.patch(path, body.to_string()).await
    }

    pub(crate) async fn create_project(&self, id: &str) -> Reply {
        self.post("/v1/projects", &json!({ "projectId": id })).await
    }

    pub(crate) async fn create_repository(&self, project: &str, id: &str) -> Reply {
        let path =
            format!("/v1/projects/{project}/locations/{LOCATION}/repositories?repositoryId={id}");
        self.post(&path, &json!({ "format": "DOCKER" })).await
    }

    pub(crate) async fn create_account(&self, project: &str, id: &str) -> Reply {
        let body = json!({ "accountId": id });
        self.post(&format!("/v1/projects/{project}/serviceAccounts"), &body).await
    }

    /// Creates a custom role of a project or of the organization.
    pub(crate) async fn create_role(&self, parent: &str, id: &str, permissions: &[&str]) -> Reply {
        let role = json!({ "title": "Own", "includedPermissions": permissions, "stage": "GA" });
        self.post(&format!("/v1/{parent}/roles"), &json!({ "roleId": id, "role": role })).await
    }

    /// Changes the stage of a custom role: to `DISABLED`, it grants nothing.
    pub(crate) async fn set_role_stage(&self, role: &str, stage: &str) {
        let path = format!("/v1/{role}?updateMask=stage");
        self.patch(&path, &json!({ "stage": stage })).await.expect_status(200);
    }

    /// Makes a key, and returns its file.
    pub(crate) async fn create_key(&self, email: &str) -> AccountKey {
        let path = format!("/v1/{}/keys", account_name(email));
        let made = self.post(&path, &json!({})).await.expect_status(200).json();
        let file = made["privateKeyData"].as_str().expect("the one copy of the file");
        AccountKey::new(&STANDARD.decode(file).expect("bytes are base64"))
    }

    /// A resource's policy.
    pub(crate) async fn get_policy(&self, resource: &str) -> Value {
        let method = if resource.contains("/repositories/") { Method::GET } else { Method::POST };
        let path = format!("/v1/{resource}:getIamPolicy");
        self.client.send(method, &path, "").await.expect_status(200).json()
    }

    pub(crate) async fn set_policy(&self, resource: &str, policy: &Value) -> Reply {
        self.post(&format!("/v1/{resource}:setIamPolicy"), &json!({ "policy": policy })).await
    }

    /// Switches tag immutability of a repository on or off.
    pub(crate) async fn set_immutable_tags(&self, resource: &str, immutable: bool) {
        let path = format!("/v1/{resource}?updateMask=dockerConfig.immutableTags");
        let body = json!({ "dockerConfig": { "immutableTags": immutable } });
        self.patch(&path, &body).await.expect_status(200);
    }

    /// Gives a role to a member, as `add-iam-policy-binding` does.
    pub(crate) async fn grant_role(&self, resource: &str, role: &str, member: &str) {
        let mut policy = self.get_policy(resource).await;
        if policy["bindings"].is_null() {
            policy["bindings"] = json!([]);
        }
        let bindings = policy["bindings"].as_array_mut().expect("a list");
        bindings.push(json!({ "role": role, "members": [member] }));
        self.set_policy(resource, &policy).await.expect_status(200);
    }

    /// Takes a role from a member.
    pub(crate) async fn revoke_role(&self, resource: &str, role: &str, member: &str) {
        let mut policy = self.get_policy(resource).await;
        for binding in policy["bindings"].as_array_mut().into_iter().flatten() {
            if binding["role"] == role {
                binding["members"].as_array_mut().expect("a list").retain(|own| own != member);
            }
        }
        self.set_policy(resource, &policy).await.expect_status(200);
    }

    /// Asks for an access token of another account.
    pub(crate) async fn generate_access_token(&self, email: &str) -> Reply {
        let path = format!("/v1/{}:generateAccessToken", account_name(email));
        self.post(&path, &json!({ "scope": [CLOUD_PLATFORM] })).await
    }

    /// Gets a registry token for these scopes by the access token.
    pub(crate) async fn registry_token(&self, scopes: &[&str]) -> String {
        let query: Vec<_> = scopes.iter().map(|scope| format!("scope={scope}")).collect();
        let reply = self.get(&format!("/v2/token?{}", query.join("&"))).await.expect_status(200);
        reply.json()["token"].as_str().expect("text").to_owned()
    }
}
