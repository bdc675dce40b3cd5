//! Attack 19 by way of others: what somebody got by acting as an account goes with what they got it by.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::revocation::{act, everywhere, second};
use crate::util::accounts::{exchange, key_name, post_form, sign_in};
use crate::util::google::account;
use crate::util::key::part;
use crate::util::{Accounts, Google, Key, on_both};

const CREATOR: &str = "roles/iam.serviceAccountTokenCreator";
const PROJECTS: &str = "/v1/projects";

/// An account that may make tokens for itself and for a target, signed in with a key; and the target.
struct Family {
    parent: Google,
    key: Key,
    target: Google,
}

impl Family {
    async fn new(accounts: &Accounts) -> Self {
        let parent = accounts.actor("the-parent").await;
        let target = accounts.actor("the-target").await;
        for account in [parent.account(), target.account()] {
            accounts.owner.bind(&account, CREATOR, &parent.member()).await;
        }
        let key = accounts.owner.create_key(&parent.email).await;
        Self { parent: sign_in(&accounts.server, &key).await, key, target }
    }

    /// The parent's own token once more, the target's, by way of that, and Docker's for both.
    async fn descendants(&self, accounts: &Accounts) -> [Google; 4] {
        let child = acting_as(accounts, &self.parent, &self.parent.email).await;
        let grandchild = acting_as(accounts, &child, &self.target.email).await;
        let [one, two] = [registry(accounts, &child).await, registry(accounts, &grandchild).await];
        [child, grandchild, one, two]
    }
}

async fn acting_as(accounts: &Accounts, caller: &Google, email: &str) -> Google {
    let made = caller.impersonate(email).await.expect(200).json();
    Google::new(&accounts.anonymous(), text(&made, "accessToken"), email)
}

async fn registry(accounts: &Accounts, caller: &Google) -> Google {
    Google::new(&accounts.anonymous(), &caller.registry_token(&[]).await, &caller.email)
}

/// At every server.
async fn until(accounts: &Accounts, callers: &[Google], status: u16) {
    let second = second(accounts).await;
    for caller in callers {
        for client in everywhere(accounts, second.as_ref(), &caller.token) {
            Accounts::until(async || client.get("/v2/").await, status).await;
        }
    }
}

/// What a bearer is told by the APIs.
async fn asked(accounts: &Accounts, token: &str) -> String {
    accounts.anonymous().token(token).get(PROJECTS).await.google()
}

on_both![
    attack_19_what_was_made_by_impersonation_goes_with_the_key,
    attack_19_what_was_made_by_a_self_signed_token_goes_with_the_key,
    attack_19_what_was_made_by_impersonation_goes_with_the_token,
    attack_19_what_was_made_by_impersonation_goes_with_the_account,
    attack_19_a_revocation_outlives_the_token,
    attack_19_a_token_does_not_renew_itself_without_end,
    attack_19_what_is_signed_on_behalf_of_an_account_opens_nothing
];

async fn attack_19_what_was_made_by_impersonation_goes_with_the_key(accounts: Accounts) {
    let family = Family::new(&accounts).await;
    let descendants = family.descendants(&accounts).await;
    let name = key_name(&family.key);
    until(&accounts, &descendants, 200).await;
    act(&accounts.owner, &format!("{name}:disable")).await;
    until(&accounts, &descendants, 401).await;
    act(&accounts.owner, &format!("{name}:enable")).await;
    until(&accounts, &descendants, 200).await;
    accounts.owner.delete(&format!("/v1/{name}")).await.expect(200);
    until(&accounts, &descendants, 401).await;
    let renewed = descendants[0].impersonate(&family.parent.email).await;
    renewed.expect_google("401 UNAUTHENTICATED");
    family.target.get("/v2/").await.expect(200);
}

/// The key signs a token that is one at once, without an exchange.
async fn attack_19_what_was_made_by_a_self_signed_token_goes_with_the_key(accounts: Accounts) {
    let Family { key, target, .. } = Family::new(&accounts).await;
    let mut claims = key.claims(accounts.server.clock.seconds());
    claims.as_object_mut().expect("an object").remove("aud");
    let signed = Google::new(&accounts.anonymous(), &key.signed(&claims), key.email());
    let child = acting_as(&accounts, &signed, &target.email).await;
    until(&accounts, std::slice::from_ref(&child), 200).await;
    accounts.owner.delete(&format!("/v1/{}", key_name(&key))).await.expect(200);
    until(&accounts, &[child], 401).await;
}

async fn attack_19_what_was_made_by_impersonation_goes_with_the_token(accounts: Accounts) {
    let family = Family::new(&accounts).await;
    let descendants = family.descendants(&accounts).await;
    let other = sign_in(&accounts.server, &family.key).await;
    let nephew = acting_as(&accounts, &other, &family.target.email).await;
    until(&accounts, &descendants, 200).await;
    let nobody = accounts.anonymous();
    post_form(&nobody, "/revoke", &[("token", &family.parent.token)]).await.expect(200);
    until(&accounts, &descendants, 401).await;
    let known = post_form(&nobody, "/introspect", &[("token", &descendants[1].token)]).await;
    assert_eq!(known.json(), json!({ "active": false }));
    until(&accounts, &[other, nephew, family.target], 200).await;
}

async fn attack_19_what_was_made_by_impersonation_goes_with_the_account(accounts: Accounts) {
    let family = Family::new(&accounts).await;
    let delegate = accounts.actor("the-delegate").await;
    accounts.owner.bind(&delegate.account(), CREATOR, &family.parent.member()).await;
    accounts.owner.bind(&family.target.account(), CREATOR, &delegate.member()).await;
    let path = format!("/v1/{}:generateAccessToken", family.target.account());
    let body = json!({ "scope": ["x"], "delegates": [delegate.account()] });
    let made = family.parent.post(&path, &body).await.expect(200).json();
    let token = text(&made, "accessToken");
    let by_delegate = [Google::new(&accounts.anonymous(), token, &family.target.email)];
    let descendants = family.descendants(&accounts).await;
    act(&accounts.owner, &format!("{}:disable", delegate.account())).await;
    until(&accounts, &by_delegate, 401).await;
    until(&accounts, &descendants, 200).await;
    act(&accounts.owner, &format!("{}:enable", delegate.account())).await;
    until(&accounts, &by_delegate, 200).await;
    act(&accounts.owner, &format!("{}:disable", family.parent.account())).await;
    until(&accounts, &by_delegate, 401).await;
    until(&accounts, &descendants, 401).await;
}

/// A token that is over may have children that are not: it can still be taken back, and stays taken back, also at
/// a process that was not there.
async fn attack_19_a_revocation_outlives_the_token(accounts: Accounts) {
    accounts.server.clock.freeze();
    let family = Family::new(&accounts).await;
    let others = sign_in(&accounts.server, &family.key).await;
    accounts.server.clock.advance_seconds(3500);
    let child = [acting_as(&accounts, &family.parent, &family.target.email).await];
    let cousin = [acting_as(&accounts, &others, &family.target.email).await];
    let revoke = async |token: &str| {
        post_form(&accounts.anonymous(), "/revoke", &[("token", token)]).await.expect(200);
    };
    revoke(&family.parent.token).await;
    accounts.server.clock.advance_seconds(200);
    assert_eq!(asked(&accounts, &others.token).await, "401 UNAUTHENTICATED");
    until(&accounts, &cousin, 200).await;
    revoke(&others.token).await;
    until(&accounts, &child, 401).await;
    until(&accounts, &cousin, 401).await;
}

/// Whoever makes tokens by tokens comes to an end, and the tokens stay small on the way.
async fn attack_19_a_token_does_not_renew_itself_without_end(accounts: Accounts) {
    let family = Family::new(&accounts).await;
    let mut newest = family.parent.clone();
    for _ in 0..16 {
        newest = acting_as(&accounts, &newest, &family.parent.email).await;
        assert!(newest.token.len() < 2048, "{} bytes", newest.token.len());
    }
    let refused = newest.impersonate(&family.parent.email).await;
    assert!(String::from_utf8_lossy(&refused.body).contains("sign in again"), "{refused:#?}");
    refused.expect_google("400 FAILED_PRECONDITION");
    until(&accounts, &[registry(&accounts, &newest).await, newest], 200).await;
    family.parent.impersonate(&family.parent.email).await.expect(200);
}

/// What is signed on an account's behalf is for others to check: here it would be a token that nothing takes back.
async fn attack_19_what_is_signed_on_behalf_of_an_account_opens_nothing(accounts: Accounts) {
    let family = Family::new(&accounts).await;
    let now = accounts.server.clock.seconds();
    let claims = |aud: Option<&str>| {
        let mut claims = family.key.claims(now);
        claims["iss"] = json!(family.target.email);
        claims["sub"] = json!(family.target.email);
        claims["aud"] = json!(aud);
        claims.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        claims.to_string()
    };
    let path = |verb: &str| format!("/v1/{}:{verb}", account(&family.target.email));
    let sign = async |payload: String| {
        let signed = family.parent.post(&path("signJwt"), &json!({ "payload": payload })).await;
        signed.expect(200).json()
    };
    let assertion = sign(claims(Some("https://oauth2.googleapis.com/token"))).await;
    let refused = exchange(&accounts.anonymous(), text(&assertion, "signedJwt")).await;
    assert_eq!(refused.json()["error"], "invalid_grant");
    let bearer = sign(claims(None)).await;
    assert_eq!(asked(&accounts, text(&bearer, "signedJwt")).await, "401 UNAUTHENTICATED");

    let header = json!({ "alg": "RS256", "kid": bearer["keyId"] }).to_string();
    let message = format!("{}.{}", part(header), part(claims(None)));
    let payload = json!({ "payload": STANDARD.encode(&message) });
    let signed = family.parent.post(&path("signBlob"), &payload).await.expect(200).json();
    let signature = STANDARD.decode(text(&signed, "signedBlob")).expect("base64");
    let forged = format!("{message}.{}", part(signature));
    assert_eq!(asked(&accounts, &forged).await, "401 UNAUTHENTICATED");
}

fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field].as_str().expect("text")
}
