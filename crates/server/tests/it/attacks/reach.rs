//! Attack 32: using a token with narrow OAuth scopes for more.

use serde_json::json;

use crate::util::accounts::{PROJECT, exchange_assertion, repositories_path};
use crate::util::google::repository_name;
use crate::util::{AccountServer, Client, GoogleClient, Image, digest_of, on_both};

const IMAGE: &str = "my-project/r1/image";

fn scope_urls(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("https://www.googleapis.com/auth/{name}")).collect()
}

/// The owner of everything, with an access token for these scopes.
async fn owner_with_scopes(accounts: &AccountServer, names: &[&str]) -> GoogleClient {
    let path = format!("/v1/{}:generateAccessToken", accounts.owner.account_name());
    let made =
        accounts.owner.post(&path, &json!({ "scope": scope_urls(names) })).await.expect_status(200);
    let token = made.json()["accessToken"].as_str().expect("text").to_owned();
    GoogleClient::new(&accounts.anonymous(), &token, &accounts.owner.email)
}

/// The rights of a client on an image: pull, push, delete.
async fn registry_rights(client: &Client) -> String {
    let image = Image::new(7);
    let mut may = String::new();
    if client.get(&format!("/v2/{IMAGE}/manifests/latest")).await.status == 200 {
        may.push_str("pull ");
    }
    let started = client.post(&format!("/v2/{IMAGE}/blobs/uploads/"), "").await;
    if started.status == 202 {
        image.push(client, (IMAGE, "other")).await;
        may.push_str("push ");
    }
    let layer = format!("/v2/{IMAGE}/blobs/{}", digest_of("nothing"));
    if client.delete(&layer).await.status != 403 {
        may.push_str("delete");
    }
    may.trim_end().to_owned()
}

on_both![attack_32_oauth_scopes_limit_a_token, attack_32_oauth_scopes_limit_a_self_signed_token];

async fn attack_32_oauth_scopes_limit_a_token(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    Image::new(1).push(&accounts.owner.client, (IMAGE, "latest")).await;
    let name = format!("/v1/{}", repository_name(PROJECT, "r1"));
    let insufficient = |reply: crate::util::Reply| {
        let reply = reply.expect_google_error("403 PERMISSION_DENIED");
        let error = &reply.json()["error"];
        assert_eq!(error["message"], "Request had insufficient authentication scopes.");
        assert_eq!(error["details"][0]["reason"], "ACCESS_TOKEN_SCOPE_INSUFFICIENT");
    };
    for (names, on_images, reads, acts_as_accounts) in [
        (&["cloud-platform"][..], "pull push delete", true, true),
        (&["cloud-platform.read-only"], "pull", true, false),
        (&["devstorage.full_control"], "pull push delete", true, false),
        (&["devstorage.read_write", "userinfo.email"], "pull push", true, false),
        (&["devstorage.read_only"], "pull", true, false),
        (&["iam"], "", false, true),
        (&["userinfo.email"], "", false, false),
    ] {
        let bound = owner_with_scopes(&accounts, names).await;
        assert_eq!(registry_rights(&bound.client).await, on_images, "{names:?}");
        // A registry token gives no more than the access token that it was made with.
        let scope = format!("repository:{IMAGE}:pull,push,delete");
        let derived = accounts.anonymous().with_token(&bound.registry_token(&[&scope]).await);
        assert_eq!(registry_rights(&derived).await, on_images, "{names:?}");
        let described = bound.get(&name).await;
        let acted = bound.generate_access_token(&bound.email).await;
        for (reply, allowed) in [(described, reads), (acted, acts_as_accounts)] {
            if allowed { drop(reply.expect_status(200)) } else { insufficient(reply) }
        }
        let projects = bound.get("/v1/projects").await.expect_status(200).json();
        let everything = names[0].starts_with("cloud-platform");
        assert_eq!(projects["projects"].is_array(), everything, "{names:?}");
        if names != ["cloud-platform"] {
            if !acts_as_accounts {
                insufficient(bound.create_account(PROJECT, "planted").await);
            }
            insufficient(bound.create_repository(PROJECT, "planted").await);
            let policy = json!({ "policy": {} });
            insufficient(bound.post(&format!("{name}:setIamPolicy"), &policy).await);
            insufficient(bound.delete(&name).await);
        }
    }
    assert!(
        !accounts
            .owner
            .get(&repositories_path(PROJECT))
            .await
            .json()
            .to_string()
            .contains("planted")
    );
}

/// docker-credential-gcr signs such tokens for Docker. Another program may sign narrower ones.
async fn attack_32_oauth_scopes_limit_a_self_signed_token(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    Image::new(1).push(&accounts.owner.client, (IMAGE, "latest")).await;
    let (key, now) = (&accounts.owner_key, accounts.server.clock.unix_seconds());
    for (name, on_images) in
        [("devstorage.read_write", "pull push"), ("devstorage.read_only", "pull")]
    {
        let mut claims = key.assertion_claims(now);
        claims["aud"] = json!("");
        claims["scope"] = json!(scope_urls(&[name])[0]);
        let signed = key.signed_token(&claims);
        let client = accounts.anonymous().with_token(&signed);
        assert_eq!(registry_rights(&client).await, on_images, "{name}");
        let bound = GoogleClient::new(&accounts.anonymous(), &signed, key.email());
        bound.create_account(PROJECT, "planted").await.expect_google_error("403 PERMISSION_DENIED");
    }
    for scope in [json!(null), json!(""), json!(" ")] {
        let mut claims = key.assertion_claims(now);
        claims["scope"] = scope;
        let refused = exchange_assertion(&accounts.anonymous(), &key.signed_token(&claims))
            .await
            .expect_status(400);
        assert_eq!(refused.json()["error"], "invalid_scope");
    }
}
