//! Attack 19 by impersonation: a token that was made through an account is revoked together with what it was made with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::revocation::{clients_everywhere, post_action, second_server};
use crate::util::accounts::{exchange_assertion, key_name, post_form, sign_in};
use crate::util::google::account_name;
use crate::util::key::encode_part;
use crate::util::{AccountKey, AccountServer, GoogleClient, on_both};

const CREATOR: &str = "roles/iam.serviceAccountTokenCreator";
const PROJECTS: &str = "/v1/projects";

/// The parent account, signed in with a key, and the target account. The parent may make tokens for both.
struct TokenFamily {
    parent: GoogleClient,
    key: AccountKey,
    target: GoogleClient,
}

impl TokenFamily {
    async fn new(accounts: &AccountServer) -> Self {
        let parent = accounts.create_actor("the-parent").await;
        let target = accounts.create_actor("the-target").await;
        for account in [parent.account_name(), target.account_name()] {
            accounts.owner.grant_role(&account, CREATOR, &parent.member()).await;
        }
        let key = accounts.owner.create_key(&parent.email).await;
        Self { parent: sign_in(&accounts.server, &key).await, key, target }
    }

    /// Makes four tokens: the parent's once more, the target's by that token, and a registry token for each.
    async fn derive_tokens(&self, accounts: &AccountServer) -> [GoogleClient; 4] {
        let child = act_as(accounts, &self.parent, &self.parent.email).await;
        let grandchild = act_as(accounts, &child, &self.target.email).await;
        let [one, two] =
            [registry_client(accounts, &child).await, registry_client(accounts, &grandchild).await];
        [child, grandchild, one, two]
    }
}

async fn act_as(accounts: &AccountServer, caller: &GoogleClient, email: &str) -> GoogleClient {
    let made = caller.generate_access_token(email).await.expect_status(200).json();
    GoogleClient::new(&accounts.anonymous(), text_field(&made, "accessToken"), email)
}

async fn registry_client(accounts: &AccountServer, caller: &GoogleClient) -> GoogleClient {
    GoogleClient::new(&accounts.anonymous(), &caller.registry_token(&[]).await, &caller.email)
}

/// Asserts that each caller gets this status at every server.
async fn expect_everywhere(accounts: &AccountServer, callers: &[GoogleClient], status: u16) {
    let second = second_server(accounts).await;
    for caller in callers {
        for client in clients_everywhere(accounts, second.as_ref(), &caller.token) {
            AccountServer::wait_for_status(async || client.get("/v2/").await, status).await;
        }
    }
}

/// The outcome of an API call with a bearer token.
async fn projects_outcome(accounts: &AccountServer, token: &str) -> String {
    accounts.anonymous().with_token(token).get(PROJECTS).await.google_outcome()
}

on_both![
    attack_19_tokens_by_impersonation_are_revoked_with_the_key,
    attack_19_tokens_by_a_self_signed_token_are_revoked_with_the_key,
    attack_19_tokens_by_impersonation_are_revoked_with_the_token,
    attack_19_tokens_by_impersonation_are_revoked_with_the_account,
    attack_19_a_revocation_outlives_the_token,
    attack_19_a_token_does_not_renew_itself_without_end,
    attack_19_signatures_on_behalf_of_an_account_are_no_credentials
];

async fn attack_19_tokens_by_impersonation_are_revoked_with_the_key(accounts: AccountServer) {
    let family = TokenFamily::new(&accounts).await;
    let descendants = family.derive_tokens(&accounts).await;
    let name = key_name(&family.key);
    expect_everywhere(&accounts, &descendants, 200).await;
    post_action(&accounts.owner, &format!("{name}:disable")).await;
    expect_everywhere(&accounts, &descendants, 401).await;
    post_action(&accounts.owner, &format!("{name}:enable")).await;
    expect_everywhere(&accounts, &descendants, 200).await;
    accounts.owner.delete(&format!("/v1/{name}")).await.expect_status(200);
    expect_everywhere(&accounts, &descendants, 401).await;
    let renewed = descendants[0].generate_access_token(&family.parent.email).await;
    renewed.expect_google_error("401 UNAUTHENTICATED");
    family.target.get("/v2/").await.expect_status(200);
}

/// A self-signed token works without an exchange.
async fn attack_19_tokens_by_a_self_signed_token_are_revoked_with_the_key(accounts: AccountServer) {
    let TokenFamily { key, target, .. } = TokenFamily::new(&accounts).await;
    let mut claims = key.assertion_claims(accounts.server.clock.unix_seconds());
    claims.as_object_mut().expect("an object").remove("aud");
    let signed = GoogleClient::new(&accounts.anonymous(), &key.signed_token(&claims), key.email());
    let child = act_as(&accounts, &signed, &target.email).await;
    expect_everywhere(&accounts, std::slice::from_ref(&child), 200).await;
    accounts.owner.delete(&format!("/v1/{}", key_name(&key))).await.expect_status(200);
    expect_everywhere(&accounts, &[child], 401).await;
}

async fn attack_19_tokens_by_impersonation_are_revoked_with_the_token(accounts: AccountServer) {
    let family = TokenFamily::new(&accounts).await;
    let descendants = family.derive_tokens(&accounts).await;
    let other = sign_in(&accounts.server, &family.key).await;
    let nephew = act_as(&accounts, &other, &family.target.email).await;
    expect_everywhere(&accounts, &descendants, 200).await;
    let nobody = accounts.anonymous();
    post_form(&nobody, "/revoke", &[("token", &family.parent.token)]).await.expect_status(200);
    expect_everywhere(&accounts, &descendants, 401).await;
    let known = post_form(&nobody, "/introspect", &[("token", &descendants[1].token)]).await;
    assert_eq!(known.json(), json!({ "active": false }));
    expect_everywhere(&accounts, &[other, nephew, family.target], 200).await;
}

async fn attack_19_tokens_by_impersonation_are_revoked_with_the_account(accounts: AccountServer) {
    let family = TokenFamily::new(&accounts).await;
    let delegate = accounts.create_actor("the-delegate").await;
    accounts.owner.grant_role(&delegate.account_name(), CREATOR, &family.parent.member()).await;
    accounts.owner.grant_role(&family.target.account_name(), CREATOR, &delegate.member()).await;
    let path = format!("/v1/{}:generateAccessToken", family.target.account_name());
    let body = json!({ "scope": ["x"], "delegates": [delegate.account_name()] });
    let made = family.parent.post(&path, &body).await.expect_status(200).json();
    let token = text_field(&made, "accessToken");
    let by_delegate = [GoogleClient::new(&accounts.anonymous(), token, &family.target.email)];
    let descendants = family.derive_tokens(&accounts).await;
    post_action(&accounts.owner, &format!("{}:disable", delegate.account_name())).await;
    expect_everywhere(&accounts, &by_delegate, 401).await;
    expect_everywhere(&accounts, &descendants, 200).await;
    post_action(&accounts.owner, &format!("{}:enable", delegate.account_name())).await;
    expect_everywhere(&accounts, &by_delegate, 200).await;
    post_action(&accounts.owner, &format!("{}:disable", family.parent.account_name())).await;
    expect_everywhere(&accounts, &by_delegate, 401).await;
    expect_everywhere(&accounts, &descendants, 401).await;
}

/// A token that has expired may have children that have not. It can still be revoked, and stays revoked at a process
/// that started later.
async fn attack_19_a_revocation_outlives_the_token(accounts: AccountServer) {
    accounts.server.clock.freeze();
    let family = TokenFamily::new(&accounts).await;
    let others = sign_in(&accounts.server, &family.key).await;
    accounts.server.clock.advance_seconds(3500);
    let child = [act_as(&accounts, &family.parent, &family.target.email).await];
    let cousin = [act_as(&accounts, &others, &family.target.email).await];
    let revoke = async |token: &str| {
        post_form(&accounts.anonymous(), "/revoke", &[("token", token)]).await.expect_status(200);
    };
    revoke(&family.parent.token).await;
    accounts.server.clock.advance_seconds(200);
    assert_eq!(projects_outcome(&accounts, &others.token).await, "401 UNAUTHENTICATED");
    expect_everywhere(&accounts, &cousin, 200).await;
    revoke(&others.token).await;
    expect_everywhere(&accounts, &child, 401).await;
    expect_everywhere(&accounts, &cousin, 401).await;
}

/// A chain of tokens has a maximal length, and the tokens in it stay short.
async fn attack_19_a_token_does_not_renew_itself_without_end(accounts: AccountServer) {
    let family = TokenFamily::new(&accounts).await;
    let mut newest = family.parent.clone();
    for _ in 0..16 {
        newest = act_as(&accounts, &newest, &family.parent.email).await;
        assert!(newest.token.len() < 2048, "{} bytes", newest.token.len());
    }
    let refused = newest.generate_access_token(&family.parent.email).await;
    assert!(String::from_utf8_lossy(&refused.body).contains("sign in again"), "{refused:#?}");
    refused.expect_google_error("400 FAILED_PRECONDITION");
    expect_everywhere(&accounts, &[registry_client(&accounts, &newest).await, newest], 200).await;
    family.parent.generate_access_token(&family.parent.email).await.expect_status(200);
}

/// Other services verify what is signed on an account's behalf. This registry does not accept it, because it could not
/// be revoked.
async fn attack_19_signatures_on_behalf_of_an_account_are_no_credentials(accounts: AccountServer) {
    let family = TokenFamily::new(&accounts).await;
    let now = accounts.server.clock.unix_seconds();
    let claims = |aud: Option<&str>| {
        let mut claims = family.key.assertion_claims(now);
        claims["iss"] = json!(family.target.email);
        claims["sub"] = json!(family.target.email);
        claims["aud"] = json!(aud);
        claims.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        claims.to_string()
    };
    let path = |verb: &str| format!("/v1/{}:{verb}", account_name(&family.target.email));
    let sign = async |payload: String| {
        let signed = family.parent.post(&path("signJwt"), &json!({ "payload": payload })).await;
        signed.expect_status(200).json()
    };
    let assertion = sign(claims(Some("https://oauth2.googleapis.com/token"))).await;
    let refused =
        exchange_assertion(&accounts.anonymous(), text_field(&assertion, "signedJwt")).await;
    assert_eq!(refused.json()["error"], "invalid_grant");
    let bearer = sign(claims(None)).await;
    assert_eq!(
        projects_outcome(&accounts, text_field(&bearer, "signedJwt")).await,
        "401 UNAUTHENTICATED"
    );

    let header = json!({ "alg": "RS256", "kid": bearer["keyId"] }).to_string();
    let message = format!("{}.{}", encode_part(header), encode_part(claims(None)));
    let payload = json!({ "payload": STANDARD.encode(&message) });
    let signed = family.parent.post(&path("signBlob"), &payload).await.expect_status(200).json();
    let signature = STANDARD.decode(text_field(&signed, "signedBlob")).expect("base64");
    let forged = format!("{message}.{}", encode_part(signature));
    assert_eq!(projects_outcome(&accounts, &forged).await, "401 UNAUTHENTICATED");
}

fn text_field<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field].as_str().expect("text")
}
