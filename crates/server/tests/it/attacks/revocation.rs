//! Attacks 19, 27 and 28: using revoked credentials, deleted content and old names, also at another process.

use meta::epochs;
use model::media_type::OCI_MANIFEST;
use serde_json::json;

use crate::util::accounts::{PROJECT, key_name, post_form, sign_in};
use crate::util::google::{account_name, repository_name};
use crate::util::{
    AccountServer, Backend, Client, GoogleClient, Image, Reply, TestServer, digest_of, on_both,
};

const IMAGE: &str = "my-project/r1/image";
const MANIFEST: &str = "/v2/my-project/r1/image/manifests/latest";
const READER: &str = "roles/artifactregistry.reader";

/// Starts a second server on the same database if it is PostgreSQL.
pub(super) async fn second_server(accounts: &AccountServer) -> Option<TestServer> {
    match accounts.server.backend {
        Backend::Sqlite => None,
        Backend::Postgres(_) => Some(accounts.server.start_second().await),
    }
}

/// Clients with the same credential, one for each server.
pub(super) fn clients_everywhere(
    accounts: &AccountServer,
    second: Option<&TestServer>,
    token: &str,
) -> Vec<Client> {
    let servers = std::iter::once(&accounts.server).chain(second);
    servers.map(|server| server.anonymous().with_token(token)).collect()
}

/// Asserts that each client gets the status after a while, and gets it again.
async fn expect_status_stays(clients: &[Client], path: &str, status: u16) {
    for client in clients {
        AccountServer::wait_for_status(async || client.get(path).await, status).await;
        client.get(path).await.expect_status(status);
    }
}

async fn expect_status_everywhere(clients: &[Client], status: u16) {
    expect_status_stays(clients, MANIFEST, status).await;
}

/// Creates a repository with an image, and an account that may read it.
async fn create_reader(accounts: &AccountServer) -> GoogleClient {
    accounts.create_repository(PROJECT, "r1").await;
    Image::new(1).push(&accounts.owner.client, (IMAGE, "latest")).await;
    accounts.create_actor_with("reader", (READER, &repository_name(PROJECT, "r1"))).await
}

pub(super) async fn post_action(owner: &GoogleClient, action: &str) -> Reply {
    owner.post(&format!("/v1/{action}"), &json!({})).await.expect_status(200)
}

on_both![
    attack_19_a_revoked_role_is_lost_everywhere,
    attack_19_a_disabled_or_deleted_role_is_lost_everywhere,
    attack_19_a_deleted_project_is_lost_everywhere,
    attack_19_a_disabled_account_is_refused_everywhere,
    attack_19_a_disabled_or_deleted_key_is_refused_everywhere,
    attack_19_a_revoked_token_is_refused_everywhere,
    attack_19_a_revoked_registry_token_is_refused_everywhere,
    attack_19_revoking_tokens_does_not_empty_other_callers_caches,
    attack_19_a_token_revoked_while_its_key_is_disabled_stays_revoked,
    attack_27_content_deleted_here_is_not_read_from_another_repository,
    attack_28_a_repository_under_an_old_name_is_empty,
    attack_28_an_account_under_an_old_name_has_no_roles,
    attack_28_a_repository_can_be_created_again_and_again,
    attack_28_an_account_under_an_old_name_is_a_new_one
];

async fn attack_19_a_revoked_role_is_lost_everywhere(accounts: AccountServer) {
    let reader = create_reader(&accounts).await;
    let second = second_server(&accounts).await;
    let registry = reader.registry_token(&["repository:my-project/r1/image:pull"]).await;
    let tokens = [&reader.token, &registry];
    let everywhere =
        tokens.map(|token| clients_everywhere(&accounts, second.as_ref(), token)).concat();
    expect_status_everywhere(&everywhere, 200).await;
    let name = repository_name(PROJECT, "r1");
    accounts.owner.revoke_role(&name, READER, &reader.member()).await;
    // The server that changed the policy refuses at once.
    everywhere[0].get(MANIFEST).await.expect_status(403);
    expect_status_everywhere(&everywhere, 403).await;
    accounts.owner.grant_role(&name, READER, &reader.member()).await;
    expect_status_everywhere(&everywhere, 200).await;
}

/// A custom role grants nothing while it is disabled or deleted, and not what was taken out of it.
async fn attack_19_a_disabled_or_deleted_role_is_lost_everywhere(accounts: AccountServer) {
    const PULL: &str = "artifactregistry.repositories.downloadArtifacts";
    const LIST: &str = "artifactregistry.repositories.list";
    accounts.create_repository(PROJECT, "r1").await;
    Image::new(1).push(&accounts.owner.client, (IMAGE, "latest")).await;
    let (owner, second) = (&accounts.owner, second_server(&accounts).await);
    for parent in ["projects/my-project", "organizations/1"] {
        let role = format!("{parent}/roles/puller");
        owner.create_role(parent, "puller", &[PULL]).await.expect_status(200);
        let name = repository_name(PROJECT, "r1");
        let reader = accounts.create_actor_with("reader", (&role, &name)).await;
        let registry = reader.registry_token(&["repository:my-project/r1/image:pull"]).await;
        let everywhere = [&reader.token, &registry]
            .map(|token| clients_everywhere(&accounts, second.as_ref(), token))
            .concat();
        let expect = async |status: u16| {
            // The server that changed the role sees it at once.
            everywhere[0].get(MANIFEST).await.expect_status(status);
            expect_status_everywhere(&everywhere, status).await;
        };
        expect(200).await;
        owner.set_role_stage(&role, "DISABLED").await;
        expect(403).await;
        owner.set_role_stage(&role, "DEPRECATED").await;
        expect(200).await;
        for (permissions, status) in [(json!([LIST]), 403), (json!([LIST, PULL]), 200)] {
            let change = json!({ "includedPermissions": permissions });
            owner.patch(&format!("/v1/{role}"), &change).await.expect_status(200);
            expect(status).await;
        }
        owner.delete(&format!("/v1/{role}")).await.expect_status(200);
        expect(403).await;
        post_action(owner, &format!("{role}:undelete")).await;
        expect(200).await;
        owner.revoke_role(&name, &role, &reader.member()).await;
        expect(403).await;
    }
}

/// Nobody may do anything in a deleted project, and its accounts may do nothing elsewhere.
async fn attack_19_a_deleted_project_is_lost_everywhere(accounts: AccountServer) {
    const GONE: &str = "gone-soon";
    let second = second_server(&accounts).await;
    accounts.create_repository(GONE, "r1").await;
    Image::new(1).push(&accounts.owner.client, ("gone-soon/r1/image", "latest")).await;
    let manifest = "/v2/gone-soon/r1/image/manifests/latest";
    let reader = accounts.create_actor_with("reader", (READER, &repository_name(GONE, "r1"))).await;
    let inside = clients_everywhere(&accounts, second.as_ref(), &reader.token);
    expect_status_stays(&inside, manifest, 200).await;
    accounts.create_repository(PROJECT, "r1").await;
    Image::new(2).push(&accounts.owner.client, (IMAGE, "latest")).await;
    let guest = accounts.create_actor_in(GONE, "guest-account").await;
    accounts.owner.grant_role(&repository_name(PROJECT, "r1"), READER, &guest.member()).await;
    let outside = clients_everywhere(&accounts, second.as_ref(), &guest.token);
    expect_status_everywhere(&outside, 200).await;
    accounts.owner.delete(&format!("/v1/projects/{GONE}")).await.expect_status(200);
    expect_status_stays(&inside, manifest, 403).await;
    expect_status_everywhere(&outside, 401).await;
    accounts.owner.get(&format!("/v1/{}", repository_name(GONE, "r1"))).await.expect_status(403);
}

async fn attack_19_a_disabled_account_is_refused_everywhere(accounts: AccountServer) {
    let reader = create_reader(&accounts).await;
    let second = second_server(&accounts).await;
    let key = accounts.owner.create_key(&reader.email).await;
    let by_key = sign_in(&accounts.server, &key).await;
    let registry = reader.registry_token(&["repository:my-project/r1/image:pull"]).await;
    let now = accounts.server.clock.unix_seconds();
    let claims = json!({ "iss": key.email(), "iat": now, "exp": now + 600 });
    let tokens = [reader.token.clone(), registry, by_key.token.clone(), key.signed_token(&claims)];
    let mut everywhere =
        tokens.map(|token| clients_everywhere(&accounts, second.as_ref(), &token)).concat();
    everywhere.push(accounts.basic_client("_json_key", &key.file.to_string()));
    expect_status_everywhere(&everywhere, 200).await;
    post_action(&accounts.owner, &format!("{}:disable", reader.account_name())).await;
    expect_status_everywhere(&everywhere, 401).await;
    let refused = crate::util::accounts::exchange_assertion(
        &accounts.anonymous(),
        &key.signed_token(&key.assertion_claims(now)),
    )
    .await;
    assert_eq!(refused.json()["error"], "invalid_grant");
    let known = post_form(&accounts.anonymous(), "/introspect", &[("token", &reader.token)]).await;
    assert_eq!(known.json()["active"], false);
    post_action(&accounts.owner, &format!("{}:enable", reader.account_name())).await;
    expect_status_everywhere(&everywhere, 200).await;
    accounts.owner.delete(&format!("/v1/{}", reader.account_name())).await.expect_status(200);
    expect_status_everywhere(&everywhere, 401).await;
    // A new account of the same address is another account, and the old tokens are not valid.
    accounts.owner.create_account(PROJECT, "reader").await.expect_status(200);
    for client in &everywhere {
        client.get(MANIFEST).await.expect_status(401);
    }
}

async fn attack_19_a_disabled_or_deleted_key_is_refused_everywhere(accounts: AccountServer) {
    let reader = create_reader(&accounts).await;
    let second = second_server(&accounts).await;
    let owner = &accounts.owner;
    let (key, other) =
        (owner.create_key(&reader.email).await, owner.create_key(&reader.email).await);
    let (one, two) =
        (sign_in(&accounts.server, &key).await, sign_in(&accounts.server, &other).await);
    let registry = one.registry_token(&["repository:my-project/r1/image:pull"]).await;
    let mut with_key = [one.token, registry]
        .map(|token| clients_everywhere(&accounts, second.as_ref(), &token))
        .concat();
    with_key.push(accounts.basic_client("_json_key", &key.file.to_string()));
    let with_other = clients_everywhere(&accounts, second.as_ref(), &two.token);
    expect_status_everywhere(&with_key, 200).await;
    post_action(owner, &format!("{}:disable", key_name(&key))).await;
    expect_status_everywhere(&with_key, 401).await;
    expect_status_everywhere(&with_other, 200).await;
    post_action(owner, &format!("{}:enable", key_name(&key))).await;
    expect_status_everywhere(&with_key, 200).await;
    owner.delete(&format!("/v1/{}", key_name(&key))).await.expect_status(200);
    expect_status_everywhere(&with_key, 401).await;
    expect_status_everywhere(&with_other, 200).await;
}

async fn attack_19_a_revoked_token_is_refused_everywhere(accounts: AccountServer) {
    let reader = create_reader(&accounts).await;
    let second = second_server(&accounts).await;
    let other = accounts.sign_in_as(&reader.email).await;
    let registry = reader.registry_token(&["repository:my-project/r1/image:pull"]).await;
    let revoked = clients_everywhere(&accounts, second.as_ref(), &reader.token);
    let derived = clients_everywhere(&accounts, second.as_ref(), &registry);
    expect_status_everywhere(&revoked, 200).await;
    expect_status_everywhere(&derived, 200).await;
    let nobody = accounts.anonymous();
    post_form(&nobody, "/revoke", &[("token", &reader.token)]).await.expect_status(200);
    expect_status_everywhere(&revoked, 401).await;
    let refused = revoked[0].get(MANIFEST).await;
    assert!(refused.header("www-authenticate").contains("error=\"invalid_token\""));
    reader.get("/v1/projects").await.expect_google_error("401 UNAUTHENTICATED");
    // Tokens that were made from it are revoked, too. Other tokens stay valid.
    expect_status_everywhere(&derived, 401).await;
    other.get(MANIFEST).await.expect_status(200);
    for nonsense in ["", "x", &reader.token] {
        post_form(&nobody, "/revoke", &[("token", nonsense)]).await.expect_status(200);
    }
}

/// Revoking a registry token revokes nothing else.
async fn attack_19_a_revoked_registry_token_is_refused_everywhere(accounts: AccountServer) {
    let reader = create_reader(&accounts).await;
    let second = second_server(&accounts).await;
    let scope = "repository:my-project/r1/image:pull";
    let registry = reader.registry_token(&[scope]).await;
    let other = accounts.anonymous().with_token(&reader.registry_token(&[scope]).await);
    let revoked = clients_everywhere(&accounts, second.as_ref(), &registry);
    expect_status_everywhere(&revoked, 200).await;
    post_form(&accounts.anonymous(), "/revoke", &[("token", &registry)]).await.expect_status(200);
    revoked[0].get(MANIFEST).await.expect_status(401);
    expect_status_everywhere(&revoked, 401).await;
    other.get(MANIFEST).await.expect_status(200);
    reader.get("/v1/projects").await.expect_status(200);
}

/// Callers may revoke their own tokens as often as they like, which does not empty the caches of others.
async fn attack_19_revoking_tokens_does_not_empty_other_callers_caches(accounts: AccountServer) {
    let meta = accounts.server.open_meta().await;
    let epoch = async || meta.read(|tx| epochs::get(tx, epochs::ACCESS)).await.expect("readable");
    let nobody_special = accounts.create_actor("nobody-special").await;
    let before = epoch().await;
    for _ in 0..3 {
        let token = nobody_special.registry_token(&[]).await;
        post_form(&accounts.anonymous(), "/revoke", &[("token", &token)]).await.expect_status(200);
    }
    post_form(&accounts.anonymous(), "/revoke", &[("token", &nobody_special.token)])
        .await
        .expect_status(200);
    nobody_special.get("/v1/projects").await.expect_google_error("401 UNAUTHENTICATED");
    assert_eq!(epoch().await, before);
}

/// A token that was revoked while its key was disabled stays revoked when the key is enabled.
async fn attack_19_a_token_revoked_while_its_key_is_disabled_stays_revoked(
    accounts: AccountServer,
) {
    let reader = create_reader(&accounts).await;
    let key = accounts.owner.create_key(&reader.email).await;
    let token = sign_in(&accounts.server, &key).await.token;
    post_action(&accounts.owner, &format!("{}:disable", key_name(&key))).await;
    post_form(&accounts.anonymous(), "/revoke", &[("token", &token)]).await.expect_status(200);
    post_action(&accounts.owner, &format!("{}:enable", key_name(&key))).await;
    accounts.anonymous().with_token(&token).get(MANIFEST).await.expect_status(401);
    sign_in(&accounts.server, &key).await.get(MANIFEST).await.expect_status(200);
}

async fn attack_27_content_deleted_here_is_not_read_from_another_repository(
    accounts: AccountServer,
) {
    let image = Image::new(1);
    for id in ["r1", "r2"] {
        accounts.create_repository(PROJECT, id).await;
        image.push(&accounts.owner.client, (&format!("{PROJECT}/{id}/image"), "latest")).await;
    }
    let second = second_server(&accounts).await;
    let everywhere = clients_everywhere(&accounts, second.as_ref(), &accounts.owner.token);
    let manifest = |id: &str| format!("/v2/{PROJECT}/{id}/image/manifests/{}", image.digest());
    let blob = |id: &str| format!("/v2/{PROJECT}/{id}/image/blobs/{}", digest_of(&image.blobs[1]));
    for client in &everywhere {
        for path in [manifest("r1"), blob("r1"), manifest("r2"), blob("r2")] {
            client.get(&path).await.expect_status(200);
        }
    }
    accounts.owner.delete(&manifest("r1")).await.expect_status(202);
    accounts.owner.delete(&blob("r1")).await.expect_status(202);
    // Content is not cached, so that nothing has to be waited for.
    for client in &everywhere {
        for (id, expected) in [("r1", 404), ("r2", 200), ("r1", 404)] {
            client.get(&manifest(id)).await.expect_status(expected);
            client.head(&blob(id)).await.expect_status(expected);
            client.get(&blob(id)).await.expect_status(expected);
        }
    }
}

async fn attack_28_a_repository_under_an_old_name_is_empty(accounts: AccountServer) {
    let reader = create_reader(&accounts).await;
    let second = second_server(&accounts).await;
    let name = repository_name(PROJECT, "r1");
    let writer =
        accounts.create_actor_with("writer", ("roles/artifactregistry.writer", &name)).await;
    let heir = accounts
        .create_actor_with(
            "heir-apparent",
            ("roles/artifactregistry.admin", &format!("projects/{PROJECT}")),
        )
        .await;
    let upload = writer.client.start_upload(IMAGE).await;
    writer.client.patch(&upload, "begun before").await.expect_status(202);
    let registry = reader.registry_token(&["repository:my-project/r1/image:pull"]).await;
    let old = [&reader.token, &registry]
        .map(|token| clients_everywhere(&accounts, second.as_ref(), token))
        .concat();
    let blob = format!("/v2/{IMAGE}/blobs/{}", digest_of(&Image::new(1).blobs[1]));
    let referrers = format!("/v2/{IMAGE}/referrers/{}", Image::new(1).digest());
    expect_status_everywhere(&old, 200).await;
    accounts.owner.delete(&format!("/v1/{name}")).await.expect_status(200);
    heir.create_repository(PROJECT, "r1").await.expect_status(200);
    // The policy is deleted in the same transaction as the repository.
    old[0].get(MANIFEST).await.expect_status(403);
    expect_status_everywhere(&old, 403).await;
    assert!(heir.get_policy(&name).await["bindings"].is_null());
    let described = heir.get(&format!("/v1/{name}")).await.expect_status(200).json();
    assert_eq!(described["sizeBytes"].as_str().unwrap_or("0"), "0");
    let again =
        accounts.create_actor_with("writer", ("roles/artifactregistry.writer", &name)).await;
    for client in [&heir.client, &again.client] {
        client.get(MANIFEST).await.expect_oci_error("404 MANIFEST_UNKNOWN");
        client.get(&blob).await.expect_oci_error("404 BLOB_UNKNOWN");
        client.get(&upload).await.expect_oci_error("404 BLOB_UPLOAD_UNKNOWN");
        client.patch(&upload, "more").await.expect_oci_error("404 BLOB_UPLOAD_UNKNOWN");
        client
            .put(&format!("{upload}?digest={}", digest_of("begun before")), "")
            .await
            .expect_status(404);
        client.get(&format!("/v2/{IMAGE}/tags/list")).await.expect_oci_error("404 NAME_UNKNOWN");
        let listed = client.get(&referrers).await.json();
        assert_eq!(listed["manifests"].as_array().map_or(0, Vec::len), 0);
        assert_eq!(client.get("/v2/_catalog").await.json()["repositories"], json!([]));
    }
    // The old blobs are unknown until they are pushed again.
    let refused =
        again.client.push_manifest((IMAGE, "x"), OCI_MANIFEST, Image::new(1).manifest).await;
    refused.expect_oci_error("400 MANIFEST_BLOB_UNKNOWN");
}

/// A caller who may create accounts must not inherit the roles of a deleted account.
async fn attack_28_an_account_under_an_old_name_has_no_roles(accounts: AccountServer) {
    let name = repository_name(PROJECT, "r1");
    accounts.create_repository(PROJECT, "r1").await;
    Image::new(1).push(&accounts.owner.client, (IMAGE, "latest")).await;
    let first =
        accounts.create_actor_with("builder", ("roles/artifactregistry.reader", &name)).await;
    let bystander = accounts.create_actor("bystander").await;
    accounts.owner.grant_role(&name, "roles/artifactregistry.reader", &bystander.member()).await;
    let project = format!("projects/{PROJECT}");
    accounts.owner.grant_role(&project, "roles/owner", &first.member()).await;
    first.get(MANIFEST).await.expect_status(200);
    accounts.owner.delete(&format!("/v1/{}", first.account_name())).await.expect_status(200);

    // A role cannot be granted to the deleted account.
    let ahead = json!({ "bindings": [{ "role": "roles/viewer", "members": [first.member()] }] });
    let refused =
        accounts.owner.set_policy(&name, &ahead).await.expect_google_error("400 INVALID_ARGUMENT");
    let message = refused.json()["error"]["message"].as_str().expect("text").to_owned();
    assert!(
        message.contains(&format!("Service account {} does not exist", first.email)),
        "{message}"
    );

    let second = accounts.create_actor("builder").await;
    second.get(MANIFEST).await.expect_status(403);
    second.get(&format!("/v1/{project}")).await.expect_status(403);
    first.get(MANIFEST).await.expect_status(401);
    bystander.get(MANIFEST).await.expect_status(200);
    assert!(accounts.owner.get_policy(&project).await["bindings"].is_null());
}

async fn attack_28_a_repository_can_be_created_again_and_again(accounts: AccountServer) {
    let name = repository_name(PROJECT, "r1");
    for n in 0..4 {
        accounts.create_repository(PROJECT, "r1").await;
        let image = Image::new(n);
        image.push(&accounts.owner.client, (IMAGE, "latest")).await;
        let pulled = accounts.owner.get(MANIFEST).await.expect_status(200);
        assert_eq!(pulled.header("docker-content-digest"), image.digest());
        assert_eq!(accounts.owner.get("/v2/_catalog").await.json()["repositories"], json!([IMAGE]));
        accounts.owner.delete(&format!("/v1/{name}")).await.expect_status(200);
    }
    crate::gc::collect_garbage(&accounts.server).await;
    assert_eq!(accounts.owner.get("/v2/_catalog").await.json()["repositories"], json!([]));
    accounts.owner.get(MANIFEST).await.expect_status(404);
}

async fn attack_28_an_account_under_an_old_name_is_a_new_one(accounts: AccountServer) {
    let (owner, thief) = (&accounts.owner, accounts.create_actor("thief-of-names").await);
    let robot = accounts.create_actor("robot-1").await;
    let creator = "roles/iam.serviceAccountTokenCreator";
    let name = format!("projects/{PROJECT}/serviceAccounts/{}", robot.email);
    owner.grant_role(&name, creator, &thief.member()).await;
    thief.generate_access_token(&robot.email).await.expect_status(200);
    let key = owner.create_key(&robot.email).await;
    owner.delete(&format!("/v1/{}", account_name(&robot.email))).await.expect_status(200);
    thief.generate_access_token(&robot.email).await.expect_google_error("403 PERMISSION_DENIED");
    owner.create_account(PROJECT, "robot-1").await.expect_status(200);
    thief.generate_access_token(&robot.email).await.expect_google_error("403 PERMISSION_DENIED");
    assert!(owner.get_policy(&name).await["bindings"].is_null());
    robot.get("/v1/projects").await.expect_google_error("401 UNAUTHENTICATED");
    accounts.basic_client("_json_key", &key.file.to_string()).get("/v2/").await.expect_status(401);
    let keys =
        owner.get(&format!("/v1/{}/keys?keyTypes=USER_MANAGED", account_name(&robot.email))).await;
    assert!(keys.expect_status(200).json()["keys"].is_null());
    // The id of a deleted project cannot be used again, so that nobody inherits its bindings.
    owner.create_project("short-lived").await.expect_status(200);
    owner.delete("/v1/projects/short-lived").await.expect_status(200);
    owner.create_project("short-lived").await.expect_google_error("409 ALREADY_EXISTS");
}
