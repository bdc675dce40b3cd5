//! Attacks 62, 77 and 79 to 83: on the web console, and on what a browser does with content.

use http::Method;
use serde_json::json;

use crate::console::{Browser, PASSWORD, REPOSITORY, form_token, person_with};
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::key::decode_token;
use crate::util::{AccountServer, Backend, Image, digest_of, on_both};

const IMAGE: &str = "my-project/my-repo/app";
const PAGE: &str = "/console/my-project/my-repo/app";
const SIGN_IN: &str = "/console/-/sign-in";
const YOU: &str = "/console/-/you";

on_both![
    attack_62_names_of_pages_stay_names,
    attack_77_texts_of_strangers_are_inert,
    attack_77_large_documents_take_little,
    attack_78_content_is_no_page,
    attack_79_forms_of_other_sites_are_refused,
    attack_79_cookies_are_for_pages_alone,
    attack_80_pages_are_for_one_origin,
    attack_81_signing_in_leads_to_own_pages,
    attack_82_pages_are_framed_and_kept_by_nobody,
    attack_83_a_session_is_new_and_ends
];

async fn administrator_of(accounts: &AccountServer) -> Browser {
    accounts.create_repository(PROJECT, REPOSITORY).await;
    let resource = repository_name(PROJECT, REPOSITORY);
    let role = "roles/artifactregistry.repoAdmin";
    person_with(accounts, "admin@example.com", (role, &resource)).await
}

async fn attack_62_names_of_pages_stay_names(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    for path in [
        "/console/../v2/",
        "/console/..%2f..%2fetc%2fpasswd",
        "/console/%2e%2e/%2e%2e/etc/passwd",
        "/console/%252e%252e%252fetc",
        "/console//etc/passwd",
        "/console/my-project\\my-repo",
        "/console/my-project/my-repo/%00",
        "/console/my-project/my-repo/a%0d%0aSet-Cookie:x=y",
        "/console/my-project/my-repo/UPPER",
        "/console/my-project/my-repo/ａｐｐ",
        "/console/my-project/my-repo/.hidden",
        "/console/my-project/my-repo/app:v1:v2",
        "/console/my-project/my-repo/app@sha256:..",
        "/console/-/assets/../../Cargo.toml",
        "/console/-/assets/%2e%2e%2fCargo.toml",
        "/console/-/nothing",
        &format!("/console/my-project/my-repo/{}", "a".repeat(5_000)),
        "/console/my-project/my-repo?location=../../etc",
    ] {
        let path: String =
            path.bytes()
                .map(|byte| {
                    if byte.is_ascii() {
                        (byte as char).to_string()
                    } else {
                        format!("%{byte:02x}")
                    }
                })
                .collect();
        let reply = admin.get(&path).await;
        assert!([400, 404].contains(&reply.status.as_u16()), "{path}: {reply:?}");
        assert!(!reply.text().contains("root:"), "{path}");
        assert!(reply.headers.get("set-cookie").is_none(), "{path}: {reply:?}");
    }
}

async fn attack_77_texts_of_strangers_are_inert(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    let client = &accounts.owner.client;
    for (n, hostile) in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'-alert(1)-'",
        "</pre></code></bdi><svg onload=alert(1)>",
        "javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "{{7*7}}${7*7}<%= 7*7 %>",
        "\u{202e}gnp.exe\u{200b}\u{feff}",
        "\u{1b}[31mred\u{7}",
    ]
    .into_iter()
    .enumerate()
    {
        let config = json!({
            "architecture": hostile, "os": "linux", "author": hostile,
            "config": {
                "Env": [hostile], "Cmd": [hostile], "Entrypoint": [hostile], "User": hostile,
                "Labels": { hostile: hostile }, "ExposedPorts": { hostile: {} },
            },
            "history": [{ "created_by": hostile }],
        });
        let blob = client.push_blob(IMAGE, config.to_string()).await;
        let config = json!({
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": blob.as_str(), "size": config.to_string().len(),
        });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": model::media_type::OCI_MANIFEST, "config": config,
            "layers": [], "annotations": { "org.opencontainers.image.source": hostile, "a": hostile },
        })
        .to_string();
        let tag = format!("v{n}");
        let media_type = model::media_type::OCI_MANIFEST;
        let pushed = client.push_manifest((IMAGE, &tag), media_type, manifest.clone()).await;
        pushed.expect_status(201);
        for page in [PAGE.to_owned(), format!("{PAGE}@{}", digest_of(&manifest))] {
            let html = admin.open(&page).await;
            for wrong in [
                "<script>a",
                "<img",
                "<svg o",
                "onerror=\"",
                "href=\"javascript",
                "href=\"data",
                "\u{202e}",
                "\u{1b}",
                "\u{200b}",
            ] {
                assert!(!html.contains(wrong), "{wrong} of {hostile} in {page}");
            }
        }
    }
    let page = admin.get(PAGE).await;
    let policy = page.header("content-security-policy");
    for part in
        ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let html = page.text();
    for inline in ["<style", " style=", " onclick=", "<script>"] {
        assert!(!html.contains(inline), "{inline}");
    }
}

/// A manifest and a config that take much to show are shown in part.
async fn attack_77_large_documents_take_little(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    let client = &accounts.owner.client;
    let deep = format!("{}{}{}", "[".repeat(100), "1,".repeat(400_000) + "1", "]".repeat(100));
    let steps: Vec<_> =
        (0..150).map(|_| json!({ "created_by": "\u{7f}".repeat(10_000) })).collect();
    let config = json!({ "os": "linux", "architecture": "amd64", "history": steps }).to_string();
    let blob = client.push_blob(IMAGE, config.clone()).await;
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[],"x":{deep}}}"#,
        model::media_type::OCI_MANIFEST,
        blob.as_str(),
        config.len()
    );
    let media_type = model::media_type::OCI_MANIFEST;
    client.push_manifest((IMAGE, "v1"), media_type, manifest.clone()).await.expect_status(201);
    let page = admin.open(&format!("{PAGE}@{}", digest_of(&manifest))).await;
    assert!(page.len() < 16 << 20, "{} bytes", page.len());
}

async fn attack_78_content_is_no_page(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    let (client, image) = (&accounts.owner.client, Image::new(1));
    image.push(client, (IMAGE, "v1")).await;
    let page = client.push_blob(IMAGE, "<html><script>alert(1)</script>").await;
    for path in [format!("/v2/{IMAGE}/blobs/{page}"), format!("/v2/{IMAGE}/manifests/v1")] {
        let reply = client.clone().with_header("accept", "text/html,*/*").get(&path).await;
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert!(!reply.header("content-type").contains("html"), "{reply:?}");
    }
    let blob = client.get(&format!("/v2/{IMAGE}/blobs/{page}")).await.expect_status(200);
    assert!(blob.header("content-disposition").starts_with("attachment"), "{blob:?}");
    let raw = admin.get(&format!("{PAGE}@{}/-/manifest", image.digest())).await.expect_status(200);
    assert!(raw.header("content-disposition").starts_with("attachment"), "{raw:?}");
    assert_eq!(raw.header("x-content-type-options"), "nosniff");
    assert_eq!(raw.header("content-type"), "application/octet-stream");
    assert!(raw.header("content-security-policy").starts_with("sandbox"), "{raw:?}");
}

async fn attack_79_forms_of_other_sites_are_refused(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    let image = Image::new(1);
    image.push(&accounts.owner.client, (IMAGE, "v1")).await;
    let digest = image.digest();
    let token = form_token(&admin.open(&format!("{PAGE}@{digest}")).await);
    let own = format!("http://{}", accounts.server.address);
    let fields = |token: &str| {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("token", token),
                ("action", "set"),
                ("tag", "evil"),
                ("digest", &digest),
            ])
            .finish()
    };
    let path = format!("{PAGE}/-/tags");
    let mut other = Browser::signed_in(&accounts.server, "other@example.com").await;
    let foreign = form_token(&other.open(YOU).await);
    for (headers, token) in [
        (&[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")][..], &token),
        (&[("sec-fetch-site", "same-site"), ("origin", own.as_str())], &token),
        (&[("sec-fetch-site", "none")], &token),
        (&[("origin", "https://evil.example")], &token),
        (&[("origin", "null")], &token),
        (&[], &token),
        (&[("sec-fetch-site", "same-origin")], &String::new()),
        (&[("sec-fetch-site", "same-origin")], &foreign),
    ] {
        let mut client =
            admin.client().with_header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            client = client.with_header(name, value);
        }
        let reply = client.post(&path, fields(token)).await;
        assert_eq!(reply.status, 403, "{headers:?}: {reply:?}");
    }
    for kind in ["text/plain", "application/json", "multipart/form-data; boundary=x"] {
        let client = admin.client().with_header("sec-fetch-site", "same-origin");
        let reply = client.with_header("content-type", kind).post(&path, fields(&token)).await;
        assert_eq!(reply.status, 400, "{kind}: {reply:?}");
    }
    // A link changes nothing, and no method hides in a field or a header.
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let client = admin.client().with_header("x-http-method-override", "POST");
        let path = format!("{path}?{}&_method=POST", fields(&token));
        let reply = client.send(method.clone(), &path, "").await;
        assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, "POST"), "{method}");
    }
    let tags = accounts.owner.client.get(&format!("/v2/{IMAGE}/tags/list")).await.json();
    assert_eq!(tags["tags"], json!(["v1"]));
    // Signing in is guarded as well: nobody signs a victim in as somebody else.
    let mut victim = Browser::new(&accounts.server);
    let fields = [("email", "other@example.com"), ("password", PASSWORD), ("token", &*foreign)];
    victim.post(SIGN_IN, &fields).await.expect_status(403);
    // With the right token and origin, the form does what it says.
    let client = admin.client().with_header("origin", &own);
    let client = client.with_header("content-type", "application/x-www-form-urlencoded");
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("token", &*token), ("action", "set"), ("tag", "good"), ("digest", &digest)])
        .finish();
    client.post(&path, body).await.expect_status(303);
}

/// Other doors answer with the cookie as without it.
async fn attack_79_cookies_are_for_pages_alone(accounts: AccountServer) {
    let admin = administrator_of(&accounts).await;
    Image::new(1).push(&accounts.owner.client, (IMAGE, "v1")).await;
    let cookie = format!("__Host-berth={}", admin.cookie("__Host-berth").expect("signed in"));
    let without = accounts.anonymous();
    let with = accounts.anonymous().with_header("cookie", &cookie);
    let manifest = format!("/v2/{IMAGE}/manifests/v1");
    let policy = format!("/v1/{}:getIamPolicy", repository_name(PROJECT, REPOSITORY));
    for (method, path) in [
        (Method::GET, "/v2/"),
        (Method::GET, "/v2/_catalog"),
        (Method::GET, &manifest),
        (Method::PUT, &manifest),
        (Method::DELETE, &manifest),
        (Method::GET, "/v2/token?scope=repository:my-project/my-repo/app:pull"),
        (Method::POST, "/token"),
        (Method::POST, "/introspect"),
        (Method::POST, "/revoke"),
        (Method::GET, "/v1/projects"),
        (Method::GET, &policy),
        (Method::POST, "/google.devtools.artifactregistry.v1.ArtifactRegistry/ListRepositories"),
    ] {
        let plain = without.send(method.clone(), path, "").await;
        let cookied = with.send(method.clone(), path, "").await;
        assert_eq!(plain.status, cookied.status, "{method} {path}");
        let whose = |reply: &crate::util::Reply| match serde_json::from_slice::<serde_json::Value>(
            &reply.body,
        )
        .unwrap_or_default()["token"]
            .as_str()
        {
            // Two tokens differ, but for the one whom they are for.
            Some(token) => decode_token(token).1["sub"].to_string(),
            None => reply.text().into_owned(),
        };
        assert_eq!(whose(&plain), whose(&cookied), "{method} {path}");
    }
}

async fn attack_80_pages_are_for_one_origin(backend: Backend) {
    const ELSEWHERE: &str = "https://ui.example.com";
    let accounts = AccountServer::start_with(backend, |config| {
        config.cors.origins = vec![ELSEWHERE.to_owned()];
    })
    .await;
    let admin = administrator_of(&accounts).await;
    let client = admin.client().with_header("origin", ELSEWHERE);
    for path in ["/console/", YOU, PAGE, "/console/-/sign-in"] {
        let reply = client.get(path).await;
        for header in ["access-control-allow-origin", "access-control-allow-credentials"] {
            assert_eq!(reply.header(header), "", "{path}: {reply:?}");
        }
        assert_eq!(reply.header("cross-origin-resource-policy"), "same-origin", "{path}");
    }
    let asked = client.clone().with_header("access-control-request-method", "POST");
    let preflight = asked.send(Method::OPTIONS, YOU, "").await;
    assert_eq!(preflight.header("access-control-allow-origin"), "", "{preflight:?}");
    // The APIs answer that origin.
    let api = client.get("/v2/").await;
    assert_eq!(api.header("access-control-allow-origin"), ELSEWHERE);
}

async fn attack_81_signing_in_leads_to_own_pages(accounts: AccountServer) {
    Browser::signed_in(&accounts.server, "alice@example.com").await;
    for next in [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/console/..//evil.example",
        "/console/..",
        "/console//evil.example",
        "/console/\\evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "/v2/",
        "console/",
        "/console/\r\nset-cookie: a=b",
        "",
    ] {
        let mut browser = Browser::new(&accounts.server);
        let fields = [("email", "alice@example.com"), ("password", PASSWORD), ("next", next)];
        let reply = browser.submit(SIGN_IN, SIGN_IN, &fields).await.expect_status(303);
        assert_eq!(reply.header("location"), "/console/", "{next:?}");
    }
    let mut browser = Browser::new(&accounts.server);
    let fields = [("email", "alice@example.com"), ("password", PASSWORD), ("next", YOU)];
    let reply = browser.submit(SIGN_IN, SIGN_IN, &fields).await.expect_status(303);
    assert_eq!(reply.header("location"), YOU);
    // The choice of a language leads to own pages too.
    let language = browser.get("/console/-/language/en?next=//evil.example").await;
    assert_eq!(language.header("location"), "/console/");
}

async fn attack_82_pages_are_framed_and_kept_by_nobody(accounts: AccountServer) {
    let mut admin = administrator_of(&accounts).await;
    for path in ["/console/", YOU, PAGE, "/console/nothing-here", "/console/-/sign-in"] {
        let reply = admin.get(path).await;
        for (header, value) in [
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(reply.header(header), value, "{path}: {reply:?}");
        }
        assert!(reply.header("content-security-policy").contains("frame-ancestors 'none'"));
    }
}

async fn attack_83_a_session_is_new_and_ends(accounts: AccountServer) {
    let mut alice = Browser::signed_in(&accounts.server, "alice@example.com").await;
    let first = alice.cookie("__Host-berth").expect("signed in").to_owned();
    // A value that somebody planted does not become a session.
    let mut planted = Browser::new(&accounts.server);
    planted.set_cookie("__Host-berth", &"A".repeat(43));
    planted.sign_in("alice@example.com", PASSWORD).await.expect_status(303);
    let second = planted.cookie("__Host-berth").expect("signed in").to_owned();
    assert!(second != "A".repeat(43) && second != first);
    alice.submit(YOU, "/console/-/sign-out", &[]).await.expect_status(303);
    let mut copy = Browser::new(&accounts.server);
    copy.set_cookie("__Host-berth", &first);
    assert!(copy.get(YOU).await.header("location").starts_with(SIGN_IN));
    planted.get(YOU).await.expect_status(200);
    // Nor does the cookie of a form, or an access token, prove a person.
    for wrong in [accounts.owner.client.authorization().trim_start_matches("Bearer "), "", "x"] {
        copy.set_cookie("__Host-berth", wrong);
        assert!(copy.get(YOU).await.header("location").starts_with(SIGN_IN), "{wrong}");
    }
}
