//! A server as `berth serve` starts it, with the account that owns everything signed in.

use berth_server::config::Config;
use serde_json::{Value, json};

use super::google::{LOCATION, account_name};
use super::{AccountKey, Backend, Client, GoogleClient, Reply, StartOn, TestServer};

/// The first project.
pub(crate) const PROJECT: &str = "my-project";
/// The one organization.
pub(crate) const ORGANIZATION: &str = "organizations/1";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A server and its owner.
pub(crate) struct AccountServer {
    pub(crate) server: TestServer,
    pub(crate) owner_key: AccountKey,
    pub(crate) owner: GoogleClient,
}

impl StartOn for AccountServer {
    /// The owner may also make tokens for every account, so that a test needs no key for each account.
    async fn start(backend: Backend) -> Self {
        Self::start_with(backend, |_| ()).await
    }
}

impl AccountServer {
    /// Starts with settings that the test changes.
    pub(crate) async fn start_with(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        let server = TestServer::start_with_owner(backend, change).await;
        let file = std::fs::read(server.data.join("owner-key.json")).expect("the first start's");
        let owner_key = AccountKey::new(&file);
        let owner = sign_in(&server, &owner_key).await;
        owner
            .grant_role(ORGANIZATION, "roles/iam.serviceAccountTokenCreator", &owner.member())
            .await;
        Self { server, owner_key, owner }
    }
}

/// Exchanges an assertion for a token.
pub(crate) async fn exchange_assertion(client: &Client, assertion: &str) -> Reply {
    post_form(client, "/token", &[("grant_type", JWT_BEARER), ("assertion", assertion)]).await
}

/// Posts a form.
pub(crate) async fn post_form(client: &Client, path: &str, fields: &[(&str, &str)]) -> Reply {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let client = client.clone().with_header("content-type", "application/x-www-form-urlencoded");
    client.post(path, body).await
}

/// Asserts an error as RFC 6749 has it.
#[track_caller]
pub(crate) fn expect_oauth_error(reply: &Reply, error: &str, what: &str) {
    assert_eq!(reply.status, 400, "{what}: {reply:#?}");
    let answer = reply.json();
    assert_eq!(answer["error"], error, "{what}: {reply:#?}");
    let description = answer["error_description"].as_str();
    assert!(description.is_some_and(|text| !text.is_empty()), "{what}: {reply:#?}");
    assert_eq!(reply.header("cache-control"), "no-store", "{what}");
    assert!(reply.header("content-type").starts_with("application/json"), "{what}");
}

/// Signs in with a key file, as gcloud does.
pub(crate) async fn sign_in(server: &TestServer, key: &AccountKey) -> GoogleClient {
    let client = server.anonymous();
    let assertion = key.signed_token(&key.assertion_claims(server.clock.unix_seconds()));
    let signed_in = exchange_assertion(&client, &assertion).await.expect_status(200).json();
    let token = signed_in["access_token"].as_str().expect("text");
    GoogleClient::new(&client, token, key.email())
}

impl AccountServer {
    /// A client without a credential.
    pub(crate) fn anonymous(&self) -> Client {
        self.server.anonymous()
    }

    /// A client that sends `Authorization: Basic`.
    pub(crate) fn basic_client(&self, user: &str, password: &str) -> Client {
        self.anonymous().with_password(user, password)
    }

    /// Creates an account in a project, unless it is there, and a token for it. The account may do nothing yet.
    pub(crate) async fn create_actor_in(&self, project: &str, id: &str) -> GoogleClient {
        let created = self.owner.create_account(project, id).await;
        assert!([200, 409].contains(&created.status.as_u16()), "{created:#?}");
        self.sign_in_as(&format!("{id}@{project}.iam.gserviceaccount.com")).await
    }

    /// Creates an account in the first project.
    pub(crate) async fn create_actor(&self, id: &str) -> GoogleClient {
        self.create_actor_in(PROJECT, id).await
    }

    /// Creates an account that has a role on a resource.
    pub(crate) async fn create_actor_with(
        &self,
        id: &str,
        (role, resource): (&str, &str),
    ) -> GoogleClient {
        let actor = self.create_actor(id).await;
        self.owner.grant_role(resource, role, &actor.member()).await;
        actor
    }

    /// Makes a new token for an account.
    pub(crate) async fn sign_in_as(&self, email: &str) -> GoogleClient {
        let reply = self.owner.generate_access_token(email).await.expect_status(200).json();
        let token = reply["accessToken"].as_str().expect("text");
        GoogleClient::new(&self.anonymous(), token, email)
    }

    /// Creates a project, unless it is there, and a repository in it.
    pub(crate) async fn create_repository(&self, project: &str, id: &str) {
        let created = self.owner.create_project(project).await;
        assert!([200, 409].contains(&created.status.as_u16()), "{created:#?}");
        self.owner.create_repository(project, id).await.expect_status(200);
    }

    /// Repeats a request until its answer has this status, because other processes see a change some seconds later.
    /// Fails after 200 requests.
    pub(crate) async fn wait_for_status<Asked: Future<Output = Reply>>(
        ask: impl Fn() -> Asked,
        status: u16,
    ) -> Reply {
        for _ in 0..200 {
            let reply = ask().await;
            if reply.status.as_u16() == status {
                return reply;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        ask().await.expect_status(status)
    }
}

/// The path of a repository's collection.
pub(crate) fn repositories_path(project: &str) -> String {
    format!("/v1/projects/{project}/locations/{LOCATION}/repositories")
}

/// A key's resource name.
pub(crate) fn key_name(key: &AccountKey) -> String {
    format!("{}/keys/{}", account_name(key.email()), key.id())
}

/// The permissions in an answer of `testIamPermissions`.
pub(crate) fn granted_permissions(reply: &Reply) -> Vec<String> {
    let permissions = reply.json()["permissions"].clone();
    serde_json::from_value(permissions).unwrap_or_default()
}

/// Asks which of these permissions the caller has.
pub(crate) async fn test_permissions(
    caller: &GoogleClient,
    resource: &str,
    permissions: &[&str],
) -> Reply {
    let body: Value = json!({ "permissions": permissions });
    caller.post(&format!("/v1/{resource}:testIamPermissions"), &body).await
}
