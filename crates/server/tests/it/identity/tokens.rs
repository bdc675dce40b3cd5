//! The token endpoints: their answers and their errors.

use serde_json::{Value, json};

use crate::util::accounts::{PROJECT, exchange_assertion, expect_oauth_error, post_form, sign_in};
use crate::util::google::repository_name;
use crate::util::key::decode_token;
use crate::util::{AccountServer, Image, on_both};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

on_both![
    errors_have_the_form_of_oauth,
    a_token_that_cannot_be_revoked_is_an_error,
    an_assertion_becomes_an_access_token_or_an_id_token,
    docker_signs_in,
    docker_shows_the_reason_of_a_refusal,
    everybody_may_read_a_public_repository,
    an_account_is_impersonated_by_a_chain_of_roles,
    a_project_with_a_domain_works_everywhere
];

async fn errors_have_the_form_of_oauth(accounts: AccountServer) {
    let nobody = accounts.anonymous();
    let post = async |fields: &[(&str, &str)]| post_form(&nobody, "/token", fields).await;
    expect_oauth_error(&post(&[]).await, "invalid_request", "nothing");
    expect_oauth_error(
        &post(&[("grant_type", "")]).await,
        "unsupported_grant_type",
        "an empty grant",
    );
    for grant in ["password", "client_credentials", "authorization_code", "refresh_token", "x"] {
        expect_oauth_error(&post(&[("grant_type", grant)]).await, "unsupported_grant_type", grant);
    }
    expect_oauth_error(
        &post(&[("grant_type", JWT_BEARER)]).await,
        "invalid_request",
        "no assertion",
    );
    for assertion in ["", "x", "a.b.c", "...", "\0", &"x".repeat(100_000)] {
        let fields = [("grant_type", JWT_BEARER), ("assertion", assertion)];
        expect_oauth_error(&post(&fields).await, "invalid_grant", "no token");
    }
    let endless = "x".repeat(300 << 10);
    expect_oauth_error(&post(&[("grant_type", &endless)]).await, "invalid_request", "too long");
    for path in ["/introspect", "/revoke"] {
        expect_oauth_error(&post_form(&nobody, path, &[]).await, "invalid_request", path);
    }
    for path in ["/token", "/introspect", "/revoke"] {
        assert_eq!(nobody.get(path).await.status, 405, "{path}");
    }
    for token in ["", "x", "a.b.c", "\0", &"x".repeat(100_000)] {
        let known = post_form(&nobody, "/introspect", &[("token", token)]).await.expect_status(200);
        assert_eq!(known.json(), json!({ "active": false }));
        post_form(&nobody, "/revoke", &[("token", token)]).await.expect_status(200);
    }
}

async fn a_token_that_cannot_be_revoked_is_an_error(accounts: AccountServer) {
    let (key, nobody) = (&accounts.owner_key, accounts.anonymous());
    let revoke = async |token: &str| post_form(&nobody, "/revoke", &[("token", token)]).await;
    let now = accounts.server.clock.unix_seconds();
    let mut claims = key.assertion_claims(now);
    claims.as_object_mut().expect("an object").remove("aud");
    let signed = key.signed_token(&claims);
    let refused = revoke(&signed).await;
    assert!(String::from_utf8_lossy(&refused.body).contains("disable or delete the key"));
    expect_oauth_error(&refused, "unsupported_token_type", "signed by its account");
    nobody.clone().with_token(&signed).get("/v1/projects").await.expect_status(200);
    let anonymous = nobody.get("/v2/token").await.expect_status(200).json();
    let anonymous = anonymous["token"].as_str().expect("text");
    expect_oauth_error(&revoke(anonymous).await, "unsupported_token_type", "nobody's");
    let path = format!("/v1/{}:generateIdToken", accounts.owner.account_name());
    let made =
        accounts.owner.post(&path, &json!({ "audience": "x" })).await.expect_status(200).json();
    let id_token = made["token"].as_str().expect("text");
    expect_oauth_error(&revoke(id_token).await, "unsupported_token_type", "an ID token");
    // These tokens are invalid already.
    claims["exp"] = json!(now - 3600);
    for token in [&key.signed_token(&claims), &format!("{signed}x"), &key.file.to_string()] {
        assert_eq!(revoke(token).await.expect_status(200).json(), json!({}));
    }
}

async fn an_assertion_becomes_an_access_token_or_an_id_token(accounts: AccountServer) {
    let (key, now) = (&accounts.owner_key, accounts.server.clock.unix_seconds());
    let nobody = accounts.anonymous();
    let reply = exchange_assertion(&nobody, &key.signed_token(&key.assertion_claims(now)))
        .await
        .expect_status(200);
    assert_eq!(reply.header("cache-control"), "no-store");
    let answer = reply.json();
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(3599)));
    let token = answer["access_token"].as_str().expect("text");
    let known =
        post_form(&nobody, "/introspect", &[("token", token)]).await.expect_status(200).json();
    assert_eq!((&known["active"], &known["username"]), (&json!(true), &json!(key.email())));
    // The audience may be the token URL of the key file, or the one that gcloud always sends.
    let mut claims = key.assertion_claims(now);
    claims["aud"] = key.file["token_uri"].clone();
    exchange_assertion(&nobody, &key.signed_token(&claims)).await.expect_status(200);
    claims["target_audience"] = json!("https://service.example");
    let id =
        exchange_assertion(&nobody, &key.signed_token(&claims)).await.expect_status(200).json();
    assert!(id["access_token"].is_null());
    let (_, said) = decode_token(id["id_token"].as_str().expect("text"));
    assert_eq!(
        (&said["aud"], &said["email"]),
        (&json!("https://service.example"), &json!(key.email()))
    );
}

/// Docker asks for tokens in several ways.
async fn docker_signs_in(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    let image = "my-project/r1/image";
    Image::new(1).push(&accounts.owner.client, (image, "latest")).await;
    let key = accounts.owner_key.file.to_string();
    let scope = format!("repository:{image}:pull");
    let form = |user: &str, password: &str| {
        [
            ("grant_type", "password"),
            ("username", user),
            ("password", password),
            ("scope", scope.as_str()),
            ("service", "x"),
            ("access_type", "offline"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    for (user, password) in [
        ("_json_key", key.as_str()),
        ("oauth2accesstoken", &accounts.owner.token),
        ("_dcgcr_2_1_5_token", &accounts.owner.token),
    ] {
        let by_form = form(user, password);
        let by_form: Vec<_> =
            by_form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        for reply in [
            accounts
                .basic_client(user, password)
                .get(&format!("/v2/token?scope={scope}&offline_token=true"))
                .await,
            post_form(&accounts.anonymous(), "/v2/token", &by_form).await,
        ] {
            let answer = reply.expect_status(200).json();
            assert!(
                answer["refresh_token"].is_null()
                    && answer["expires_in"].as_i64().expect("a number") >= 60
            );
            assert_eq!(answer["token"], answer["access_token"]);
            let token = accounts.anonymous().with_token(answer["token"].as_str().expect("text"));
            token.get(&format!("/v2/{image}/manifests/latest")).await.expect_status(200);
        }
    }
}

async fn docker_shows_the_reason_of_a_refusal(accounts: AccountServer) {
    let key = accounts.owner_key.file.to_string();
    for (user, password) in [
        ("admin", "admin"),
        ("", ""),
        ("berth-owner", &key),
        ("oauth2accesstoken", "x"),
        ("_json_key", "{}"),
        ("_dcgcr_x_token", "y"),
    ] {
        let refused = accounts
            .basic_client(user, password)
            .get("/v2/token")
            .await
            .expect_oci_error("401 UNAUTHORIZED");
        assert!(
            refused.json()["errors"][0]["message"]
                .as_str()
                .expect("text")
                .starts_with("authentication failed")
        );
        let refused = accounts
            .basic_client(user, password)
            .get("/v2/")
            .await
            .expect_oci_error("401 UNAUTHORIZED");
        let challenge = refused.header("www-authenticate");
        assert!(challenge.starts_with("Bearer realm="), "{challenge}");
    }
    let foreign = [("grant_type", "refresh_token"), ("refresh_token", "from somewhere")];
    post_form(&accounts.anonymous(), "/v2/token", &foreign)
        .await
        .expect_oci_error("401 UNAUTHORIZED");
    for header in [
        "",
        "Bearer",
        "Bearer ",
        "Basic",
        "Basic !!!",
        "Basic bm9jb2xvbg==",
        "Digest x",
        "Negotiate x",
        "Bearer \u{e9}",
    ] {
        let odd = accounts.anonymous().with_header("authorization", header);
        odd.get("/v2/").await.expect_status(401);
        odd.get("/v2/token").await.expect_status(401);
        odd.get("/v1/projects").await.expect_google_error("401 UNAUTHENTICATED");
    }
}

async fn everybody_may_read_a_public_repository(accounts: AccountServer) {
    accounts.create_repository(PROJECT, "r1").await;
    Image::new(1).push(&accounts.owner.client, ("my-project/r1/image", "latest")).await;
    let path = "/v2/my-project/r1/image/manifests/latest";
    let nobody = accounts.anonymous();
    let refused = nobody.get(path).await.expect_oci_error("401 UNAUTHORIZED");
    assert!(
        refused
            .header("www-authenticate")
            .contains("scope=\"repository:my-project/r1/image:pull\"")
    );
    accounts
        .owner
        .grant_role(&repository_name(PROJECT, "r1"), "roles/artifactregistry.reader", "allUsers")
        .await;
    nobody.get(path).await.expect_status(200);
    let token = nobody
        .get("/v2/token?scope=repository:my-project/r1/image:pull,push")
        .await
        .expect_status(200)
        .json();
    let token = nobody.clone().with_token(token["token"].as_str().expect("text"));
    token.get(path).await.expect_status(200);
    for client in [&nobody, &token] {
        let refused = client.post("/v2/my-project/r1/image/blobs/uploads/", "").await;
        refused.expect_oci_error("401 UNAUTHORIZED");
    }
}

async fn an_account_is_impersonated_by_a_chain_of_roles(accounts: AccountServer) {
    let owner = &accounts.owner;
    let creator = "roles/iam.serviceAccountTokenCreator";
    let [caller, middle, target] = [
        accounts.create_actor("caller-1").await,
        accounts.create_actor("middle-1").await,
        accounts.create_actor("target-1").await,
    ];
    let name = |email: &str| format!("projects/{PROJECT}/serviceAccounts/{email}");
    let asked = |delegates: &[&str]| {
        let delegates: Vec<_> = delegates.iter().map(|email| name(email)).collect();
        json!({ "scope": ["x"], "delegates": delegates })
    };
    let path = format!("/v1/{}:generateAccessToken", name(&target.email));
    caller.post(&path, &asked(&[])).await.expect_google_error("403 PERMISSION_DENIED");
    // The caller acts through another account, and each account in the chain needs the role.
    owner.grant_role(&name(&target.email), creator, &middle.member()).await;
    caller.post(&path, &asked(&[&middle.email])).await.expect_google_error("403 PERMISSION_DENIED");
    owner.grant_role(&name(&middle.email), creator, &caller.member()).await;
    caller.post(&path, &asked(&[&middle.email])).await.expect_status(200);
    caller.post(&path, &asked(&[])).await.expect_google_error("403 PERMISSION_DENIED");
    caller.post(&path, &asked(&[&target.email])).await.expect_google_error("403 PERMISSION_DENIED");
    caller
        .post(&path, &asked(&[&middle.email, &middle.email]))
        .await
        .expect_google_error("403 PERMISSION_DENIED");
    owner
        .post(&format!("/v1/{}:disable", name(&middle.email)), &json!({}))
        .await
        .expect_status(200);
    let refused = caller.post(&path, &asked(&[&middle.email])).await;
    // The caller is authenticated, so that signing in again would not help.
    assert_eq!(refused.google_outcome(), "400 FAILED_PRECONDITION");
    for (what, body) in [
        ("no scope", json!({})),
        ("0 s", json!({ "scope": ["x"], "lifetime": "0s" })),
        ("negative", json!({ "scope": ["x"], "lifetime": "-5s" })),
        ("a day", json!({ "scope": ["x"], "lifetime": "86400s" })),
        ("no duration", json!({ "scope": ["x"], "lifetime": "soon" })),
        ("no account", json!({ "scope": ["x"], "delegates": ["nobody"] })),
        ("a long chain", asked(&[middle.email.as_str(); 11])),
    ] {
        assert_eq!(
            impersonation_outcome(&accounts, &target.email, &body).await,
            "400 INVALID_ARGUMENT",
            "{what}"
        );
    }
    let sign = async |payload: String| {
        let path = format!("/v1/{}:signJwt", name(&target.email));
        owner.post(&path, &json!({ "payload": payload })).await
    };
    let many: Vec<_> = (0..150_000).map(|key| format!("\"{key}\":0")).collect();
    for payload in [
        "[]".to_owned(),
        r#"{"sub":"a","sub":"b"}"#.to_owned(),
        r#"{"sub":"a","Sub":"b"}"#.to_owned(),
        "{\"\u{17f}ub\":\"b\"}".to_owned(),
        format!("{{{}}}", many.join(",")),
    ] {
        sign(payload).await.expect_google_error("400 INVALID_ARGUMENT");
    }
    let claims = format!(
        r#"{{"name":"a","Name":"b","x":{{"sub":1,"Sub":2}},"y":"{}"}}"#,
        "y".repeat(50_000)
    );
    sign(claims).await.expect_status(200);
    let blob = json!({ "payload": "aGVsbG8=" });
    let signed = owner
        .post(&format!("/v1/{}:signBlob", name(&target.email)), &blob)
        .await
        .expect_status(200)
        .json();
    assert!(!signed["signedBlob"].as_str().expect("base64").is_empty());
}

/// A domain-scoped project has a colon in the APIs, a slash under `/v2/` and dots in its accounts' addresses.
async fn a_project_with_a_domain_works_everywhere(accounts: AccountServer) {
    accounts.create_repository("example.com:my-project", "r1").await;
    let robot = accounts
        .owner
        .create_account("example.com:my-project", "robot-1")
        .await
        .expect_status(200)
        .json();
    let email = "robot-1@my-project.example.com.iam.gserviceaccount.com";
    assert_eq!(robot["email"], email);
    let robot = sign_in(&accounts.server, &accounts.owner.create_key(email).await).await;
    let image = "example.com/my-project/r1/image";
    accounts
        .owner
        .grant_role(
            "projects/example.com:my-project",
            "roles/artifactregistry.writer",
            &robot.member(),
        )
        .await;
    Image::new(1).push(&robot.client, (image, "latest")).await;
    robot.get(&format!("/v2/{image}/manifests/latest")).await.expect_status(200);
    // The project of the same name without the domain is another project.
    robot.get("/v2/my-project/r1/image/manifests/latest").await.expect_oci_error("403 DENIED");
    robot.get("/v1/projects/example.com%3Amy-project").await.expect_status(200);
}

/// The outcome for the owner, who may impersonate everybody.
async fn impersonation_outcome(accounts: &AccountServer, target: &str, body: &Value) -> String {
    let path = format!("/v1/projects/-/serviceAccounts/{target}:generateAccessToken");
    accounts.owner.post(&path, body).await.google_outcome()
}
