//! Attacks 33 to 35: too many scopes, invalid key files, and secrets that are the same everywhere.

use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_server::data::{DataFolder, FolderSharing};

use crate::util::accounts::{PROJECT, key_name, post_form};
use crate::util::google::repository_name;
use crate::util::key::decode_token;
use crate::util::{AccountKey, AccountServer, Backend, Client, Image, TestServer, on_both};

const IMAGE: &str = "my-project/r1/image";

/// Asserts that a client may read `r1` and do nothing else, whatever its token says.
async fn expect_only_reads(client: &Client) {
    client.get(&format!("/v2/{IMAGE}/manifests/latest")).await.expect_status(200);
    for reply in [
        client.post(&format!("/v2/{IMAGE}/blobs/uploads/"), "").await,
        client.put(&format!("/v2/{IMAGE}/manifests/latest"), "{}").await,
        client.delete(&format!("/v2/{IMAGE}/manifests/latest")).await,
        client.get("/v2/my-project/r2/image/manifests/latest").await,
        client.post("/v2/my-project/r2/image/blobs/uploads/", "").await,
        client.post("/v2/my-project/r3/image/blobs/uploads/", "").await,
    ] {
        assert!(reply.is_refused(), "{reply:#?}");
    }
}

async fn create_two_repositories(accounts: &AccountServer) {
    for id in ["r1", "r2"] {
        accounts.create_repository(PROJECT, id).await;
        let image = format!("{PROJECT}/{id}/image");
        Image::new(1).push(&accounts.owner.client, (&image, "latest")).await;
    }
}

/// Useless key files and similar texts. `own` and `deleted` are the attacker's, `foreign` is of another project.
fn useless_key_files(
    key: &AccountKey,
    (own, foreign, deleted): (&AccountKey, &AccountKey, &AccountKey),
) -> Vec<(&'static str, String)> {
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let text = key.file.to_string();
    vec![
        ("nothing", String::new()),
        ("an empty object", "{}".to_owned()),
        ("no JSON", "client_email".to_owned()),
        ("a list", "[]".to_owned()),
        ("deep", format!("{{\"type\":{nested}}}")),
        ("huge", key.with_field("padding", "x".repeat(1 << 20)).file.to_string()),
        ("broken base64", STANDARD.encode(&text)[1..].to_owned()),
        ("base64 of base64", STANDARD.encode(STANDARD.encode(&text))),
        (
            "two addresses",
            text.replacen('{', &format!("{{\"client_email\":\"{}\",", own.email()), 1),
        ),
        ("another's address", own.with_field("client_email", key.email()).file.to_string()),
        ("another's key id", own.with_field("private_key_id", key.id()).file.to_string()),
        (
            "both",
            own.with_field("client_email", key.email())
                .with_field("private_key_id", key.id())
                .file
                .to_string(),
        ),
        (
            "the key of another project",
            foreign.with_field("client_email", own.email()).file.to_string(),
        ),
        ("its id", foreign.with_field("private_key_id", own.id()).file.to_string()),
        ("a deleted key", deleted.file.to_string()),
        ("no private key", key.with_field("private_key", "").file.to_string()),
        (
            "a public one",
            key.with_field(
                "private_key",
                "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n",
            )
            .file
            .to_string(),
        ),
        ("numbers", key.with_field("private_key_id", 5).file.to_string()),
        ("a person's", key.with_field("type", "authorized_user").file.to_string()),
        ("a path", key.with_field("private_key_id", "../../x").file.to_string()),
        ("NUL", key.with_field("private_key_id", "x\0").file.to_string()),
        ("SQL", key.with_field("client_email", "x' OR 1=1 --").file.to_string()),
    ]
}

on_both![
    attack_33_many_scopes_give_no_more_than_the_caller_has,
    attack_34_invalid_key_files_are_refused,
    attack_34_a_private_key_is_parsed_only_if_its_id_is_known,
    attack_34_urls_in_a_key_file_are_never_requested
];

async fn attack_33_many_scopes_give_no_more_than_the_caller_has(accounts: AccountServer) {
    create_two_repositories(&accounts).await;
    let role = ("roles/artifactregistry.reader", repository_name(PROJECT, "r1"));
    let reader = accounts.create_actor_with("reader", (role.0, &role.1)).await;
    let wanted = format!("repository:{IMAGE}:*");
    let numbered = |n: usize| format!("repository:{IMAGE}-{n}:pull,push");
    let thousand: Vec<_> = (0..1_000).map(numbered).collect();
    let thousand_long: Vec<_> =
        (0..1_000).map(|n| format!("repository:my-project/r1/{}{n}:*", "a".repeat(200))).collect();
    let other = "repository:my-project/r2/image:*";
    let manifest = format!("/v2/{IMAGE}/manifests/latest");
    let anonymous = async |scopes: &[&str]| {
        let fields: Vec<_> = scopes.iter().map(|scope| ("scope", *scope)).collect();
        let reply = post_form(&accounts.anonymous(), "/v2/token", &fields).await.expect_status(200);
        accounts.anonymous().with_token(reply.json()["token"].as_str().expect("text"))
    };
    let token = anonymous(&[&wanted]).await;
    assert!(token.get(&manifest).await.is_refused(), "it is for its reader");
    accounts.owner.grant_role(&role.1, role.0, "allUsers").await;
    for (what, scopes) in [
        ("once", wanted.clone()),
        ("a thousand times", vec![wanted.as_str(); 1_000].join(" ")),
        ("and a thousand others", format!("{wanted} {}", thousand.join(" "))),
        ("and a thousand long ones", format!("{wanted} {}", thousand_long.join(" "))),
        (
            "and all",
            format!("{wanted} repository:*:* registry:catalog:* repository:my-project/*:* {other}"),
        ),
        ("and 64 KB", format!("{wanted} repository:{}:pull", "a".repeat(64 << 10))),
        ("and nonsense", format!("{wanted} :: repository: repository:: x:y:z \0 ../..")),
    ] {
        let nobody = vec![("scope", scopes.as_str())];
        let mut somebody = nobody.clone();
        somebody.extend([
            ("grant_type", "password"),
            ("username", "oauth2accesstoken"),
            ("password", &reader.token),
        ]);
        for fields in [somebody, nobody] {
            let reply =
                post_form(&accounts.anonymous(), "/v2/token", &fields).await.expect_status(200);
            let token = reply.json()["token"].as_str().expect("text").to_owned();
            let (_, claims) = decode_token(&token);
            assert!(claims["access"].as_array().expect("a list").len() <= 100, "{what}");
            expect_only_reads(&accounts.anonymous().with_token(&token)).await;
        }
    }
    for scopes in
        [&[][..], &["repository:*:*"], &["registry:catalog:*"], &["repository:my-project/*/*:*"]]
    {
        let token = accounts.anonymous().with_token(&reader.registry_token(scopes).await);
        token.get("/v2/").await.expect_status(200);
        for token in [token, anonymous(scopes).await] {
            let refused = token.get(&manifest).await.expect_status(401);
            let challenge = refused.header("www-authenticate");
            assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
        }
    }
    // The form's length is limited, too.
    let endless = "x".repeat(300 << 10);
    let reply = post_form(&accounts.anonymous(), "/v2/token", &[("scope", &endless)]).await;
    assert_eq!(reply.status, 400);
}

async fn attack_34_invalid_key_files_are_refused(accounts: AccountServer) {
    let (owner, key) = (&accounts.owner, &accounts.owner_key);
    let attacker = accounts.create_actor("attacker").await;
    let own = owner.create_key(&attacker.email).await;
    owner.create_project("other-project").await.expect_status(200);
    let stranger = accounts.create_actor_in("other-project", "attacker").await;
    let foreign = owner.create_key(&stranger.email).await;
    let deleted = owner.create_key(&attacker.email).await;
    owner.delete(&format!("/v1/{}", key_name(&deleted))).await.expect_status(200);
    let files = useless_key_files(key, (&own, &foreign, &deleted));
    let text = key.file.to_string();
    for user in ["_json_key", "_json_key_base64"] {
        for shape in [text.clone(), STANDARD.encode(&text)] {
            accounts.basic_client(user, &shape).get("/v2/").await.expect_status(200);
        }
        for (what, file) in &files {
            for sent in [file.clone(), STANDARD.encode(file)] {
                // A text that is longer than a request's head can only be sent in a form.
                if sent.len() < 100_000 {
                    let refused = accounts.basic_client(user, &sent).get("/v2/").await;
                    assert_eq!(refused.oci_outcome(), "401 UNAUTHORIZED", "{what}");
                    let challenge = refused.header("www-authenticate");
                    assert!(challenge.starts_with("Bearer realm="), "{what}");
                }
                let fields = [("grant_type", "password"), ("username", user), ("password", &sent)];
                let refused = post_form(&accounts.anonymous(), "/v2/token", &fields).await;
                assert!([400, 401].contains(&refused.status.as_u16()), "{what}: {refused:#?}");
                let said = String::from_utf8_lossy(&refused.body);
                assert!(
                    sent.is_empty() || !said.contains(&key.private_key_base64()[..40]),
                    "{what}"
                );
            }
        }
    }
}

/// Nobody can make the server parse a key whose id is not known, and the answer is the same.
async fn attack_34_a_private_key_is_parsed_only_if_its_id_is_known(accounts: AccountServer) {
    let body = STANDARD.encode([0x30; 1217]);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    let broken = accounts.owner_key.with_field("private_key", pem);
    for file in [broken.with_field("private_key_id", "0".repeat(40)), broken] {
        let client = accounts.basic_client("_json_key", &file.file.to_string());
        let refused = client.get("/v2/token").await.expect_oci_error("401 UNAUTHORIZED").json();
        let address = accounts.server.address;
        let said = format!(
            "authentication failed: the credential is not known to this registry ({address})"
        );
        assert_eq!(refused["errors"][0]["message"], said);
    }
}

/// A key file names the URL for tokens, which this server does not need.
async fn attack_34_urls_in_a_key_file_are_never_requested(accounts: AccountServer) {
    let trap = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    trap.set_nonblocking(true).expect("a socket");
    let url = format!("http://{}/token", trap.local_addr().expect("bound"));
    let mut key = accounts.owner_key.clone();
    for field in ["token_uri", "auth_uri", "universe_domain", "client_x509_cert_url"] {
        key = key.with_field(field, url.as_str());
    }
    accounts.basic_client("_json_key", &key.file.to_string()).get("/v2/").await.expect_status(200);
    let other = key.with_field("private_key_id", "0".repeat(40));
    accounts
        .basic_client("_json_key", &other.file.to_string())
        .get("/v2/")
        .await
        .expect_status(401);
    let nobody = trap.accept().expect_err("nobody may have come");
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

/// At each start the server closes its data folder to other users of the machine.
#[tokio::test]
async fn an_open_data_folder_is_closed_to_others() {
    let open = std::fs::Permissions::from_mode(0o2755);
    let is_shut = |server: &TestServer| {
        let mode = std::fs::metadata(&server.data).expect("there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o2700);
    };
    let made = open.clone();
    let mut server = TestServer::start_with(Backend::Sqlite, |config| {
        std::fs::create_dir(&config.data).expect("writable");
        std::fs::set_permissions(&config.data, made).expect("ours");
    })
    .await;
    is_shut(&server);
    server.stop().await;
    std::fs::set_permissions(&server.data, open).expect("ours");
    is_shut(&server.restart_with(|_| ()).await);
}

/// Two first starts have no secret in common, and other users of the machine cannot read the secrets.
#[tokio::test]
async fn attack_35_every_instance_makes_its_own_secrets() {
    let secrets = async || {
        let server = TestServer::start_with_owner(Backend::Sqlite, |_| ()).await;
        let read = |name: &str| {
            let path = server.data.join(name);
            let mode = std::fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name} is its owner's alone");
            std::fs::read(path).expect("readable")
        };
        let (key, master) = (AccountKey::new(&read("owner-key.json")), read("master.key"));
        let mode = std::fs::metadata(&server.data).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "the folder too");
        let keys = server.anonymous().get("/oauth2/v3/certs").await.expect_status(200).json();
        [
            key.id().to_owned(),
            key.private_key_base64(),
            STANDARD.encode(master),
            keys["keys"][0]["x"].to_string(),
        ]
    };
    let (one, two) = (secrets().await, secrets().await);
    for (one, two) in one.iter().zip(&two) {
        assert_ne!(one, two);
    }
}

#[test]
fn attack_35_an_invalid_master_key_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let check = |bytes: &[u8], mode: u32, valid: bool| {
        let path = folder.path().join("master.key");
        std::fs::write(&path, bytes).expect("writable");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("ours");
        let data = DataFolder::open(folder.path(), FolderSharing::Alone).expect("a folder");
        assert_eq!(data.master_key().is_ok(), valid, "{} bytes, {mode:o}", bytes.len());
    };
    let good: Vec<u8> = (0..32).collect();
    check(&good, 0o600, true);
    check(&good, 0o640, false);
    check(&good, 0o604, false);
    check(b"", 0o600, false);
    check(&good[..31], 0o600, false);
    check(&[&good[..], b"\n"].concat(), 0o600, false);
    check(&[0; 32], 0o600, false);
    check(&[b' '; 32], 0o600, false);
}

/// The beginnings of private keys in PEM, of Google API keys, and of client secrets.
const KEYS: [&str; 4] = ["PRIVATE KEY-----\nMII", "PRIVATE KEY-----\\nMII", "AIzaSy", "GOCSPX-"];

/// The program is what is shipped, so that it contains everything that was built in.
#[test]
fn attack_35_no_key_is_built_in() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_berth")).expect("it was built");
    let program = String::from_utf8_lossy(&program);
    assert!(
        program.contains("-----BEGIN PRIVATE KEY-----"),
        "the search finds what key files begin with"
    );
    for secret in KEYS {
        assert!(!program.contains(secret), "the program holds {secret}");
    }
    // Default passwords of other registries.
    for password in ["Harbor12345", "admin:admin", "zot:zot"] {
        assert!(!program.contains(password), "the program holds {password}");
    }
}

/// The sources and documents contain no key or password.
#[test]
fn attack_35_no_key_is_in_the_sources() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut folders = vec![root.join("crates"), root.join("clients"), root.join("docs")];
    let mut looked = 0;
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text =
                String::from_utf8_lossy(&std::fs::read(&path).expect("readable")).into_owned();
            for begin in KEYS {
                let quoted = text.contains(&format!("{begin}\""));
                assert!(!text.contains(begin) || quoted, "{} holds {begin}", path.display());
            }
            looked += 1;
        }
    }
    assert!(looked > 100, "the sources were found");
}
