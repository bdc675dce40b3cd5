//! Uploads that outlive their token or their permissions.

use bytes::Bytes;
use http::Method;
use model::media_type::OCI_INDEX;
use serde_json::json;

use crate::util::accounts::{PROJECT, key_name, post_form, sign_in};
use crate::util::google::{CLOUD_PLATFORM, repository_name};
use crate::util::{
    AccountKey, AccountServer, Client, GoogleClient, PendingRequest, digest_of, on_both,
    random_bytes,
};

const IMAGE: &str = "my-project/r1/image";
const WRITER: &str = "roles/artifactregistry.writer";
/// A manifest that names no content.
const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

/// A client with a token that is valid for two seconds: an access token, or a registry token made from one.
async fn two_second_client(accounts: &AccountServer, (email, token): (&str, TokenKind)) -> Client {
    let path = format!("/v1/projects/-/serviceAccounts/{email}:generateAccessToken");
    let body = json!({ "scope": [CLOUD_PLATFORM], "lifetime": "2s" });
    let made = accounts.owner.post(&path, &body).await.expect_status(200).json();
    let access = made["accessToken"].as_str().expect("text");
    let access = GoogleClient::new(&accounts.anonymous(), access, email);
    match token {
        TokenKind::Access => access.client,
        TokenKind::Registry => accounts.anonymous().with_token(&image_token(&access).await),
    }
}

#[derive(Clone, Copy)]
enum TokenKind {
    Access,
    Registry,
}

async fn image_token(access: &GoogleClient) -> String {
    access.registry_token(&[&format!("repository:{IMAGE}:pull,push")]).await
}

/// The last request of an upload and a push of a manifest. Both wait for their bodies.
struct PendingPush {
    blob: PendingRequest,
    manifest: PendingRequest,
    bytes: Bytes,
    upload: String,
    tag: &'static str,
}

impl PendingPush {
    async fn begin(client: &Client, tag: &'static str) -> Self {
        let bytes = random_bytes(100_000, tag.len() as u64);
        let upload = client.start_upload(IMAGE).await;
        client.patch(&upload, bytes.slice(..50_000)).await.expect_status(202);
        let last = format!("{upload}?digest={}", digest_of(&bytes));
        let blob = PendingRequest::new(client, (Method::PUT, &last), 50_000).await;
        let manifest = format!("/v2/{IMAGE}/manifests/{tag}");
        let client = client.clone().with_header("content-type", OCI_INDEX);
        let manifest = PendingRequest::new(&client, (Method::PUT, &manifest), INDEX.len()).await;
        Self { blob, manifest, bytes, upload, tag }
    }

    /// Sends both bodies, asserts the status of both answers, and whether the content is stored.
    async fn expect_outcome(self, owner: &GoogleClient, status: u16) {
        let Self { blob, manifest, bytes, upload, tag } = self;
        let stored = if status == 201 { 200 } else { 404 };
        blob.finish(bytes.slice(50_000..)).await.expect_status(status);
        manifest.finish(INDEX).await.expect_status(status);
        let path = format!("/v2/{IMAGE}/blobs/{}", digest_of(&bytes));
        owner.client.head(&path).await.expect_status(stored);
        owner.client.get(&format!("/v2/{IMAGE}/manifests/{tag}")).await.expect_status(stored);
        let over = owner.client.get(&upload).await;
        over.expect_oci_error("404 BLOB_UPLOAD_UNKNOWN");
    }
}

/// Creates an account that may push, and signs in with a new key of it.
async fn create_writer(accounts: &AccountServer, id: &str) -> (GoogleClient, AccountKey) {
    let writer = accounts.create_actor_with(id, (WRITER, &repository_name(PROJECT, "r1"))).await;
    let key = accounts.owner.create_key(&writer.email).await;
    (sign_in(&accounts.server, &key).await, key)
}

on_both![
    a_chunk_outlives_its_token_and_the_next_chunk_needs_a_new_one,
    a_push_outlives_its_token,
    a_push_does_not_outlive_a_revocation,
    a_push_does_not_outlive_an_old_revocation,
    an_account_disabled_meanwhile_makes_no_repository,
    an_upload_waits_for_its_permission_to_come_back
];

async fn a_chunk_outlives_its_token_and_the_next_chunk_needs_a_new_one(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    let writer =
        accounts.create_actor_with("writer-1", (WRITER, &repository_name(PROJECT, "r1"))).await;
    accounts.server.clock.freeze();
    for (seed, token) in [(1, TokenKind::Access), (2, TokenKind::Registry)] {
        let client = two_second_client(&accounts, (&writer.email, token)).await;
        let bytes = random_bytes(300_000, seed);
        let upload = client.start_upload(IMAGE).await;
        let patch = PendingRequest::new(&client, (Method::PATCH, &upload), 100_000).await;
        accounts.server.clock.advance_seconds(3);
        let patch = patch.finish(bytes.slice(..100_000)).await.expect_status(202);
        assert_eq!(patch.header("range"), "0-99999");

        let second = |client: &Client| client.clone().with_header("content-range", "100000-199999");
        let chunk = bytes.slice(100_000..200_000);
        let refused = second(&client).patch(&upload, chunk.clone()).await;
        let refused = refused.expect_oci_error("401 UNAUTHORIZED");
        assert!(refused.header("www-authenticate").contains("error=\"invalid_token\""));
        let last = format!("{upload}?digest={}", digest_of(&bytes));
        client.put(&last, bytes.slice(100_000..)).await.expect_oci_error("401 UNAUTHORIZED");

        // The owner of everything is not the one who began the upload.
        let owner = &accounts.owner.client;
        for reply in [
            owner.get(&upload).await,
            second(owner).patch(&upload, chunk.clone()).await,
            owner.put(&last, bytes.slice(100_000..)).await,
            owner.delete(&upload).await,
        ] {
            reply.expect_oci_error("404 BLOB_UPLOAD_UNKNOWN");
        }

        let fresh = two_second_client(&accounts, (&writer.email, token)).await;
        second(&fresh).patch(&upload, chunk).await.expect_status(202);
        let put = PendingRequest::new(&fresh, (Method::PUT, &last), 100_000).await;
        accounts.server.clock.advance_seconds(3);
        put.finish(bytes.slice(200_000..)).await.expect_status(201);
        let blob = format!("/v2/{IMAGE}/blobs/{}", digest_of(&bytes));
        assert_eq!(owner.get(&blob).await.expect_status(200).body, bytes);
    }
}

async fn a_push_outlives_its_token(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    let writer =
        accounts.create_actor_with("writer-1", (WRITER, &repository_name(PROJECT, "r1"))).await;
    accounts.server.clock.freeze();
    let client = two_second_client(&accounts, (&writer.email, TokenKind::Registry)).await;
    let push = PendingPush::begin(&client, "latest").await;
    accounts.server.clock.advance_seconds(3);
    // A change makes the server look at the caller again.
    accounts.create_actor("somebody-else").await;
    push.expect_outcome(&accounts.owner, 201).await;
    client.get("/v2/").await.expect_status(401);
}

async fn a_push_does_not_outlive_a_revocation(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    let (owner, name) = (&accounts.owner, repository_name(PROJECT, "r1"));
    let begin = async |writer: &GoogleClient, tag| {
        PendingPush::begin(&accounts.anonymous().with_token(&image_token(writer).await), tag).await
    };

    let (by_role, _) = create_writer(&accounts, "loses-its-role").await;
    let push = begin(&by_role, "role").await;
    owner.revoke_role(&name, WRITER, &by_role.member()).await;
    push.expect_outcome(owner, 403).await;

    let (by_account, _) = create_writer(&accounts, "is-switched-off").await;
    let push = begin(&by_account, "account").await;
    let account = by_account.account_name();
    owner.post(&format!("/v1/{account}:disable"), &json!({})).await.expect_status(200);
    push.expect_outcome(owner, 401).await;

    let (by_key, key) = create_writer(&accounts, "loses-its-key").await;
    let push = begin(&by_key, "key").await;
    owner.post(&format!("/v1/{}:disable", key_name(&key)), &json!({})).await.expect_status(200);
    push.expect_outcome(owner, 401).await;

    // The revoked token is the one from which the registry token was made.
    let (by_token, _) = create_writer(&accounts, "loses-its-token").await;
    let push = begin(&by_token, "access-token").await;
    post_form(&accounts.anonymous(), "/revoke", &[("token", &by_token.token)])
        .await
        .expect_status(200);
    push.expect_outcome(owner, 401).await;

    let (by_file, key) = create_writer(&accounts, "has-a-file-only").await;
    let client = accounts.basic_client("_json_key", &key.file.to_string());
    let push = PendingPush::begin(&client, "the-key-itself").await;
    owner.delete(&format!("/v1/{}", key_name(&key))).await.expect_status(200);
    push.expect_outcome(owner, 401).await;

    // A change for another account has no effect.
    let (bystander, _) = create_writer(&accounts, "loses-nothing").await;
    let push = begin(&bystander, "and-nothing-of-it").await;
    owner.revoke_role(&name, WRITER, &by_file.member()).await;
    push.expect_outcome(owner, 201).await;
}

/// The revoked token is refused even after later revocations and after its own expiry.
async fn a_push_does_not_outlive_an_old_revocation(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    let (writer, _) = create_writer(&accounts, "loses-its-token").await;
    accounts.server.clock.freeze();
    let push =
        PendingPush::begin(&accounts.anonymous().with_token(&image_token(&writer).await), "old")
            .await;
    let revoke = async |token: &str| {
        post_form(&accounts.anonymous(), "/revoke", &[("token", token)]).await.expect_status(200);
    };
    revoke(&writer.token).await;
    accounts.server.clock.advance_hours(20);
    let owner = sign_in(&accounts.server, &accounts.owner_key).await;
    revoke(&sign_in(&accounts.server, &accounts.owner_key).await.token).await;
    push.expect_outcome(&owner, 401).await;
}

async fn an_account_disabled_meanwhile_makes_no_repository(accounts: AccountServer) {
    let role = ("roles/artifactregistry.createOnPushWriter", format!("projects/{PROJECT}"));
    let writer = accounts.create_actor_with("writer-1", (role.0, &role.1)).await;
    let client = writer.client.clone().with_header("content-type", OCI_INDEX);
    let path = format!("/v2/{IMAGE}/manifests/latest");
    let manifest = PendingRequest::new(&client, (Method::PUT, &path), INDEX.len()).await;
    let switch = async |action: &str| {
        let path = format!("/v1/{}:{action}", writer.account_name());
        accounts.owner.post(&path, &json!({})).await.expect_status(200);
    };
    switch("disable").await;
    manifest.finish(INDEX).await.expect_oci_error("401 UNAUTHORIZED");
    let repository = format!("/v1/{}", repository_name(PROJECT, "r1"));
    accounts.owner.get(&repository).await.expect_google_error("404 NOT_FOUND");
    switch("enable").await;
    client.put(&path, INDEX).await.expect_status(201);
    accounts.owner.get(&repository).await.expect_status(200);
}

/// An account that gets its role back can continue the upload.
async fn an_upload_waits_for_its_permission_to_come_back(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    let (owner, name) = (&accounts.owner, repository_name(PROJECT, "r1"));
    let (writer, _) = create_writer(&accounts, "writer-1").await;
    let push = PendingPush::begin(&writer.client, "latest").await;
    let (upload, bytes) = (push.upload.clone(), push.bytes.clone());
    owner.revoke_role(&name, WRITER, &writer.member()).await;
    push.expect_outcome(owner, 403).await;
    owner.grant_role(&name, WRITER, &writer.member()).await;
    let stands = writer.client.get(&upload).await.expect_status(204);
    assert_eq!(stands.header("range"), "0-49999");
    let last = format!("{upload}?digest={}", digest_of(&bytes));
    writer.client.put(&last, bytes.slice(50_000..)).await.expect_status(201);
}
