//! Attacks 29 to 32: forged tokens, invalid times, other audiences, and tokens at the wrong endpoint.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::util::accounts::{PROJECT, exchange_assertion, post_form};
use crate::util::key::{decode_token, encode_part};
use crate::util::{AccountKey, AccountServer, Backend, StartOn, on_both};

/// The claims of a self-signed token that `/v1` and `/v2/` accept.
pub(super) fn self_signed_claims(key: &AccountKey, now: i64) -> Value {
    json!({ "iss": key.email(), "sub": key.email(), "iat": now, "exp": now + 600, "scope": "x" })
}

/// Asserts that a token is refused wherever it is sent.
pub(super) async fn expect_refused_everywhere(accounts: &AccountServer, token: &str, what: &str) {
    let nobody = accounts.anonymous();
    let bearer = nobody.clone().with_token(token);
    assert_eq!(bearer.get("/v1/projects").await.google_outcome(), "401 UNAUTHENTICATED", "{what}");
    assert_eq!(bearer.get("/v2/").await.oci_outcome(), "401 UNAUTHORIZED", "{what}");
    for user in ["oauth2accesstoken", "_token", "_dcgcloud_token", "_json_key"] {
        let basic = accounts.basic_client(user, token);
        assert_eq!(basic.get("/v2/").await.oci_outcome(), "401 UNAUTHORIZED", "{what}");
        assert_eq!(basic.get("/v2/token").await.oci_outcome(), "401 UNAUTHORIZED", "{what}");
    }
    let exchanged = exchange_assertion(&nobody, token).await;
    assert_eq!(
        (exchanged.status.as_u16(), &exchanged.json()["error"]),
        (400, &json!("invalid_grant")),
        "{what}"
    );
    let known = post_form(&nobody, "/introspect", &[("token", token)]).await.expect_status(200);
    assert_eq!(known.json(), json!({ "active": false }), "{what}");
}

/// Signs `HEADER.CLAIMS` with an HMAC under `secret`.
fn sign_with_hmac(message: &str, secret: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("{message}.{}", encode_part(hmac::sign(&key, message.as_bytes())))
}

/// The public keys of our own tokens in several encodings, which a library might take for an HMAC secret.
async fn public_keys_as_secrets(accounts: &AccountServer) -> Vec<Vec<u8>> {
    let keys = accounts.anonymous().get("/oauth2/v3/certs").await.expect_status(200);
    let key = &keys.json()["keys"][0];
    let point =
        |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().expect("text")).expect("base64");
    let raw = [&[4][..], &point("x"), &point("y")].concat();
    vec![raw, keys.body.to_vec(), key.to_string().into_bytes(), Vec::new(), b" ".to_vec()]
}

on_both![
    attack_29_self_signed_tokens_with_forged_headers_are_refused,
    attack_29_tokens_without_our_signature_are_refused,
    attack_30_times_must_be_whole_numbers_within_bounds,
    attack_30_our_own_tokens_expire_to_the_second,
    attack_31_tokens_for_another_audience_are_refused,
    attack_31_the_request_does_not_choose_the_audience,
    attack_32_a_token_is_valid_for_its_own_endpoint_only,
    attack_32_a_registry_token_does_not_widen_itself
];

async fn attack_29_self_signed_tokens_with_forged_headers_are_refused(accounts: AccountServer) {
    let (key, now) = (&accounts.owner_key, accounts.server.clock.unix_seconds());
    let claims = self_signed_claims(key, now);
    // The token is accepted before it is forged below.
    let honest = accounts.anonymous().with_token(&key.signed_token(&claims));
    honest.get("/v1/projects").await.expect_status(200);
    honest.get("/v2/").await.expect_status(200);
    let attacker = accounts.create_actor("attacker").await;
    let own = accounts.owner.create_key(&attacker.email).await;
    let (kid, claims) = (key.id(), claims.to_string());
    let headers = [
        ("the key of another", json!({ "alg": "RS256", "kid": own.id() })),
        ("signed by another", json!({ "alg": "RS256", "kid": kid })),
        ("unknown kid", json!({ "alg": "RS256", "kid": "0".repeat(40) })),
        ("no kid", json!({ "alg": "RS256" })),
        ("a path as kid", json!({ "alg": "RS256", "kid": "../../../../dev/null" })),
        ("SQL as kid", json!({ "alg": "RS256", "kid": "' OR '1'='1" })),
        ("NUL as kid", json!({ "alg": "RS256", "kid": "\0" })),
        ("kid is a list", json!({ "alg": "RS256", "kid": [kid] })),
        ("crit", json!({ "alg": "RS256", "kid": kid, "crit": ["exp"] })),
        ("b64", json!({ "alg": "RS256", "kid": kid, "b64": false, "crit": ["b64"] })),
        ("RS512", json!({ "alg": "RS512", "kid": kid })),
        ("PS256", json!({ "alg": "PS256", "kid": kid })),
        ("ES256", json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid })),
    ];
    for (what, header) in headers {
        expect_refused_everywhere(&accounts, &own.sign_token(&header.to_string(), &claims), what)
            .await;
    }
    // A valid signature does not help if the header is ambiguous.
    for (what, header) in [
        ("two algs", format!(r#"{{"alg":"none","alg":"RS256","kid":"{kid}"}}"#)),
        ("two kids", format!(r#"{{"alg":"RS256","kid":"{}","kid":"{kid}"}}"#, own.id())),
        ("the same in capitals", format!(r#"{{"alg":"RS256","ALG":"none","kid":"{kid}"}}"#)),
        ("escaped", format!(r#"{{"alg":"RS256","\u0061lg":"none","kid":"{kid}"}}"#)),
        ("crit by the right key", format!(r#"{{"alg":"RS256","kid":"{kid}","crit":["exp"]}}"#)),
        ("not JSON", "RS256".to_owned()),
    ] {
        expect_refused_everywhere(&accounts, &key.sign_token(&header, &claims), what).await;
    }
    let twice = format!(r#"{{"iss":"{}",{}"#, attacker.email, &claims[1..]);
    let header = json!({ "alg": "RS256", "kid": kid }).to_string();
    expect_refused_everywhere(&accounts, &key.sign_token(&header, &twice), "two issuers").await;
}

async fn attack_29_tokens_without_our_signature_are_refused(accounts: AccountServer) {
    let (key, now) = (&accounts.owner_key, accounts.server.clock.unix_seconds());
    let claims = self_signed_claims(key, now).to_string();
    for alg in ["none", "None", "NONE", ""] {
        let header = json!({ "alg": alg, "kid": key.id() }).to_string();
        let message = format!("{}.{}", encode_part(header), encode_part(&claims));
        expect_refused_everywhere(&accounts, &format!("{message}."), alg).await;
        expect_refused_everywhere(&accounts, &message, alg).await;
    }
    let stored = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(
        aws_lc_rs::signature::KeyPair::public_key(&key.key_pair()),
    );
    let header = json!({ "alg": "HS256", "kid": key.id() }).to_string();
    let message = format!("{}.{}", encode_part(header), encode_part(&claims));
    let forged = sign_with_hmac(&message, stored.expect("a public key").as_ref());
    expect_refused_everywhere(&accounts, &forged, "HS256 with an account's public key").await;

    let token = &accounts.owner.token;
    let (header, mut claims) = decode_token(token);
    let (_, signature) = token.rsplit_once('.').expect("three parts");
    for secret in public_keys_as_secrets(&accounts).await {
        for typ in ["at+jwt", "JWT"] {
            let header = json!({ "alg": "HS256", "typ": typ, "kid": header["kid"] }).to_string();
            let forged = sign_with_hmac(
                &format!("{}.{}", encode_part(header), encode_part(claims.to_string())),
                &secret,
            );
            expect_refused_everywhere(&accounts, &forged, "HS256 with a public key").await;
        }
    }
    claims["exp"] = json!(now + 1_000_000);
    let longer = format!(
        "{}.{}.{signature}",
        encode_part(header.to_string()),
        encode_part(claims.to_string())
    );
    expect_refused_everywhere(&accounts, &longer, "a longer life under the old signature").await;
    expect_refused_everywhere(&accounts, &format!("{token}.{signature}"), "two signatures").await;
    for changed in [format!("{token}A"), token.replacen('.', "..", 1), token.replace('.', "")] {
        expect_refused_everywhere(&accounts, &changed, "another shape").await;
    }
}

/// Each token has a valid signature. Only its times are wrong.
async fn attack_30_times_must_be_whole_numbers_within_bounds(accounts: AccountServer) {
    accounts.server.clock.freeze();
    let (key, now) = (&accounts.owner_key, accounts.server.clock.unix_seconds());
    let exchanged = async |claims: &Value| {
        let reply = exchange_assertion(&accounts.anonymous(), &key.signed_token(claims)).await;
        // The limits are the same for a self-signed token without an exchange.
        let mut bare = claims.clone();
        bare.as_object_mut().expect("an object").remove("aud");
        let used =
            accounts.anonymous().with_token(&key.signed_token(&bare)).get("/v1/projects").await;
        assert_eq!(reply.status.is_success(), used.status.is_success(), "{claims}");
        reply.status.is_success()
    };
    let with = |changes: &[(&str, Value)]| {
        let mut claims = key.assertion_claims(now);
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        claims
    };
    for exp in [
        json!("9999999999"),
        json!((now + 600).to_string()),
        Value::Null,
        json!(now as f64 + 600.5),
        json!(1e300),
        json!(-1),
        json!(0),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
        json!([now + 600]),
        json!(true),
        json!(now + 3601),
        json!(now + 86_400 * 365),
    ] {
        assert!(!exchanged(&with(&[("exp", exp.clone())])).await, "exp {exp}");
    }
    for iat in
        [json!(now.to_string()), Value::Null, json!(-1), json!(i64::MAX), json!(now as f64 + 0.5)]
    {
        assert!(!exchanged(&with(&[("iat", iat.clone())])).await, "iat {iat}");
    }
    for name in ["exp", "iat", "iss"] {
        let mut claims = with(&[]);
        claims.as_object_mut().expect("an object").remove(name);
        assert!(!exchanged(&claims).await, "without {name}");
    }
    for (skew, good) in [(0, true), (59, true), (61, false)] {
        let ahead = [("iat", json!(now + skew)), ("exp", json!(now + skew + 600))];
        assert_eq!(exchanged(&with(&ahead)).await, good, "a clock that is {skew} s ahead");
        let over = [("iat", json!(now - 600)), ("exp", json!(now - skew))];
        assert_eq!(exchanged(&with(&over)).await, good, "over for {skew} s");
        let later = [("nbf", json!(now + skew))];
        assert_eq!(exchanged(&with(&later)).await, good, "good in {skew} s");
    }
}

async fn attack_30_our_own_tokens_expire_to_the_second(accounts: AccountServer) {
    accounts.server.clock.freeze();
    let path = format!("/v1/{}:generateAccessToken", accounts.owner.account_name());
    let asked = json!({ "scope": ["x"], "lifetime": "120s" });
    let made = accounts.owner.post(&path, &asked).await.expect_status(200).json();
    let short = accounts.anonymous().with_token(made["accessToken"].as_str().expect("text"));
    let registry = short.get("/v2/token").await.expect_status(200).json();
    assert!(registry["expires_in"].as_i64().expect("a number") <= 120);
    let registry = accounts.anonymous().with_token(registry["token"].as_str().expect("text"));
    accounts.server.clock.advance_seconds(119);
    short.get("/v1/projects").await.expect_status(200);
    registry.get("/v2/").await.expect_status(200);
    accounts.server.clock.advance_seconds(1);
    short.get("/v1/projects").await.expect_google_error("401 UNAUTHENTICATED");
    for over in [&short, &registry] {
        let reply = over.get("/v2/").await.expect_status(401);
        assert!(reply.header("www-authenticate").contains("error=\"invalid_token\""));
    }
}

async fn attack_31_tokens_for_another_audience_are_refused(accounts: AccountServer) {
    let (key, now) = (&accounts.owner_key, accounts.server.clock.unix_seconds());
    let nobody = accounts.anonymous();
    for aud in [
        json!("https://other.example/token"),
        json!(["https://other.example", "https://oauth2.googleapis.com/token"]),
        json!("https://oauth2.googleapis.com/token.other.example"),
        json!(""),
    ] {
        let mut claims = key.assertion_claims(now);
        claims["aud"] = aud.clone();
        let token = key.signed_token(&claims);
        let reply = exchange_assertion(&nobody, &token).await;
        assert_eq!(reply.status, 400, "{aud}");
        if aud != "" {
            expect_refused_everywhere(&accounts, &token, &aud.to_string()).await;
        }
    }
    let mut claims = key.assertion_claims(now);
    claims["sub"] = json!("somebody@my-project.iam.gserviceaccount.com");
    expect_refused_everywhere(&accounts, &key.signed_token(&claims), "on behalf of another").await;
    // The other registry has the same name, project and owner.
    let other = AccountServer::start(Backend::Sqlite).await;
    expect_refused_everywhere(&accounts, &other.owner.token, "another instance's access token")
        .await;
    let registry = other.owner.registry_token(&[]).await;
    expect_refused_everywhere(&accounts, &registry, "another instance's registry token").await;
    let assertion = other.owner_key.signed_token(&other.owner_key.assertion_claims(now));
    expect_refused_everywhere(&accounts, &assertion, "another instance's key").await;
    // An anonymous token gives no access, whatever service it names.
    let anonymous = nobody.get("/v2/token?service=anything&scope=repository:a/b/c:*").await;
    let anonymous = anonymous.expect_status(200).json()["token"].as_str().expect("text").to_owned();
    let anonymous = nobody.with_token(&anonymous);
    anonymous.get("/v1/projects").await.expect_google_error("401 UNAUTHENTICATED");
    let keys = format!("/v1/{}/keys", accounts.owner.account_name());
    anonymous.post(&keys, "{}").await.expect_google_error("401 UNAUTHENTICATED");
    anonymous.get("/v2/").await.expect_oci_error("401 UNAUTHORIZED");
}

/// An account signed the token for another service. A request that gives our server that service's name does not make
/// the token valid.
async fn attack_31_the_request_does_not_choose_the_audience(accounts: AccountServer) {
    let (key, now) = (&accounts.owner_key, accounts.server.clock.unix_seconds());
    let at = |host: &str| accounts.anonymous().with_header("host", host);
    let signed = |aud: String| {
        let mut claims = key.assertion_claims(now);
        claims["aud"] = json!(aud);
        key.signed_token(&claims)
    };
    let port = accounts.server.address.port();
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
        let token = signed(format!("http://{host}/"));
        at(&host).with_token(&token).get("/v1/projects").await.expect_status(200);
        exchange_assertion(&at(&host), &signed(format!("http://{host}/token")))
            .await
            .expect_status(200);
    }
    for host in [
        "localhost",
        "localhost:3000",
        "127.0.0.1:9999",
        "[::1]:80",
        "us-west1-docker.localhost:1",
        "gcr.io",
        "eu.gcr.io",
        "other.example",
    ] {
        for scheme in ["http", "https"] {
            let token = signed(format!("{scheme}://{host}"));
            let used = at(host).with_token(&token).get("/v1/projects").await;
            assert_eq!(used.google_outcome(), "401 UNAUTHENTICATED", "{host}");
            let reply =
                exchange_assertion(&at(host), &signed(format!("{scheme}://{host}/token"))).await;
            assert_eq!(reply.json()["error"], "invalid_grant", "{host}");
        }
        // The request's host does not determine the issuer of an ID token, or the URL in a key file.
        let account = accounts.owner.account_name();
        let path = format!("/v1/{account}:generateIdToken");
        let owner = at(host).with_token(&accounts.owner.token);
        let made =
            owner.post(&path, json!({ "audience": "x" }).to_string()).await.expect_status(200);
        let (_, said) = decode_token(made.json()["token"].as_str().expect("text"));
        assert_eq!(said["iss"], json!(format!("http://127.0.0.1:{port}")), "{host}");
        let made = owner.post(&format!("/v1/{account}/keys"), "{}").await.expect_status(200).json();
        let file = made["privateKeyData"].as_str().expect("base64");
        let file = AccountKey::new(&STANDARD.decode(file).expect("base64"));
        assert_eq!(file.file["token_uri"], json!(format!("http://127.0.0.1:{port}/token")));
    }
}

async fn attack_32_a_token_is_valid_for_its_own_endpoint_only(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    let (owner, nobody) = (&accounts.owner, accounts.anonymous());
    owner.client.push_blob("my-project/r1/image", "x").await;
    let registry = owner.registry_token(&["repository:my-project/r1/image:pull"]).await;
    let narrow = nobody.clone().with_token(&registry);
    narrow.get("/v1/projects").await.expect_google_error("401 UNAUTHENTICATED");
    assert_eq!(
        exchange_assertion(&nobody, &registry).await.status,
        400,
        "a registry token as assertion"
    );
    let known = post_form(&nobody, "/introspect", &[("token", &registry)]).await;
    assert_eq!(known.json(), json!({ "active": false }));
    // An access token is no assertion.
    assert_eq!(exchange_assertion(&nobody, &owner.token).await.status, 400);
    // An assertion is no bearer token, because its audience is the token endpoint.
    let key = &accounts.owner_key;
    let assertion = key.signed_token(&key.assertion_claims(accounts.server.clock.unix_seconds()));
    exchange_assertion(&nobody, &assertion).await.expect_status(200);
    let bearer = nobody.clone().with_token(&assertion);
    bearer.get("/v1/projects").await.expect_google_error("401 UNAUTHENTICATED");
    bearer.get("/v2/").await.expect_oci_error("401 UNAUTHORIZED");
    // The same keys sign ID tokens, whose audience the caller chooses.
    for audience in ["berth/api", "berth/v2", "https://oauth2.googleapis.com/token"] {
        let path = format!("/v1/{}:generateIdToken", owner.account_name());
        let made = owner.post(&path, &json!({ "audience": audience, "includeEmail": true })).await;
        let token = made.expect_status(200).json()["token"].as_str().expect("text").to_owned();
        expect_refused_everywhere(&accounts, &token, "an ID token").await;
    }
    // Key files are for `/v2/` only; the APIs take tokens.
    let file = accounts.basic_client("_json_key", &key.file.to_string());
    file.get("/v2/").await.expect_status(200);
    file.get("/v1/projects").await.expect_google_error("401 UNAUTHENTICATED");
}

/// A registry token that leaked from one job must not become a token for all of its owner's permissions.
async fn attack_32_a_registry_token_does_not_widen_itself(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    let owner = &accounts.owner;
    owner.client.push_blob("my-project/r1/image", "x").await;
    let registry = owner.registry_token(&["repository:my-project/r1/image:pull"]).await;
    let nobody = accounts.anonymous();
    nobody
        .clone()
        .with_token(&registry)
        .get("/v2/my-project/r1/image/tags/list")
        .await
        .expect_oci_error("404 NAME_UNKNOWN");
    let wider = "/v2/token?scope=repository:my-project/r1/image:pull,push,delete";
    let form = [
        ("grant_type", "password"),
        ("username", "oauth2accesstoken"),
        ("password", &registry),
        ("scope", "repository:my-project/r1/image:pull,push,delete"),
    ];
    for reply in [
        nobody.clone().with_token(&registry).get(wider).await,
        accounts.basic_client("oauth2accesstoken", &registry).get(wider).await,
        post_form(&nobody, "/v2/token", &form).await,
    ] {
        let token = reply.json()["token"].as_str().unwrap_or("none").to_owned();
        let wide = nobody.clone().with_token(&token);
        let pushed = wide.post("/v2/my-project/r1/image/blobs/uploads/", "").await;
        assert_eq!(pushed.status, 401, "the new token pushes: {pushed:#?}");
    }
}
