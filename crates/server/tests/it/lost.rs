//! Lost keys of an operator: the owner's key and the master key. And folders that must not be opened by accident.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use berth_server::run::StartPermits;
use identity::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::util::accounts::{exchange_assertion, key_name, sign_in};
use crate::util::key::read_owner_key;
use crate::util::process::{
    BerthProcess, berth_command, expect_start_refused, quiet_berth, run_berth, wait_for,
};
use crate::util::{AccountKey, AccountServer, Backend, Client, on_both};

/// Returns true if a key can sign in as gcloud does.
async fn can_sign_in(client: &Client, key: &AccountKey) -> bool {
    let assertion = key.signed_token(&key.assertion_claims(SystemClock.now() / 1_000_000));
    exchange_assertion(client, &assertion).await.status == 200
}

#[tokio::test]
async fn a_lost_owner_key_is_replaced() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path();
    let text = data.to_str().expect("plain");
    let path = data.join("owner-key.json");
    assert!(!run_berth(&["owner-key", "--data", text]).status.success(), "nobody runs there");
    let server = BerthProcess::spawn(data, &mut quiet_berth(&["serve"])).await;
    let first = read_owner_key(&path);
    std::fs::remove_file(&path).expect("ours");
    let made = run_berth(&["owner-key", "--data", text]);
    assert!(made.status.success(), "{made:?}");
    let second = read_owner_key(&path);
    assert_ne!(first.id(), second.id());
    assert_eq!(first.email(), second.email());
    assert_eq!(second.file["token_uri"], format!("http://{}/token", server.listen_address()));
    assert!(can_sign_in(&server.client, &second).await);
    assert!(can_sign_in(&server.client, &first).await, "others stay good until they are deleted");
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(said.contains(second.id()) && said.contains("activate-service-account"), "{said}");
    assert!(said.contains(&format!("$(berth env --data {text})\" && gcloud auth")), "{said}");
    // An existing file is kept under another name.
    assert!(run_berth(&["owner-key", "--data", text]).status.success());
    let old = read_owner_key(&data.join("owner-key.json.old"));
    assert_eq!(old.id(), second.id());
    assert!(can_sign_in(&server.client, &read_owner_key(&path)).await);
    // The file can have another place and another URL.
    let output = folder.path().join("elsewhere.json");
    let url = "https://registry.example.com/";
    let arguments = ["owner-key", "--data", text, "--url", url, "--output"];
    assert!(
        quiet_berth(&arguments)
            .arg(&output)
            .stdout(Stdio::null())
            .status()
            .expect("runs")
            .success()
    );
    assert_eq!(read_owner_key(&output).file["token_uri"], "https://registry.example.com/token");
    // The audit log says who made the keys.
    let entries = || {
        let log = std::fs::read_to_string(data.join("audit.log")).unwrap_or_default();
        let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let made = entries.filter(|entry| entry.to_string().contains("system:operator"));
        let made: Vec<_> = made.collect();
        (made.len() == 3).then_some(made)
    };
    let entries = wait_for(entries).await;
    let payload = &entries[0]["protoPayload"];
    assert!(payload["methodName"].as_str().expect("text").ends_with("CreateServiceAccountKey"));
    assert!(payload["resourceName"].as_str().expect("text").contains(second.id()));
    assert!(!entries[0].to_string().contains("PRIVATE KEY"));
}

#[tokio::test]
async fn the_operator_restores_the_owner_and_its_roles() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path();
    let text = data.to_str().expect("plain");
    let server = BerthProcess::spawn(data, &mut quiet_berth(&["serve"])).await;
    let path = data.join("owner-key.json");
    let owner = read_owner_key(&path);
    let token = identity::self_signed_token(&owner.file.to_string(), SystemClock.now());
    let client = server.client.clone().with_token(&token.expect("a key file"));
    // Another administrator takes all roles from the owner.
    let post = async |path: &str, body: Value| {
        client.post(path, body.to_string()).await.expect_status(200).json()
    };
    let accounts = "/v1/projects/my-project/serviceAccounts";
    post(accounts, json!({ "accountId": "heir-account" })).await;
    let heir = "heir-account@my-project.iam.gserviceaccount.com";
    let made = post(&format!("{accounts}/{heir}/keys"), json!({})).await;
    let file = made["privateKeyData"].as_str().expect("text");
    let file = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, file);
    let heir_key = AccountKey::new(&file.expect("base64"));
    let roles = ["roles/owner", "roles/resourcemanager.organizationAdmin"];
    let member = format!("serviceAccount:{heir}");
    let bindings = roles.map(|role| json!({ "role": role, "members": [member] }));
    let policy = json!({ "policy": { "bindings": bindings } });
    post("/v1/organizations/1:setIamPolicy", policy).await;
    let token = identity::self_signed_token(&heir_key.file.to_string(), SystemClock.now());
    let heirs = server.client.clone().with_token(&token.expect("a key file"));
    let own = format!("/v1/projects/-/serviceAccounts/{}", owner.email());
    heirs.delete(&own).await.expect_status(200);
    heirs.delete("/v1/projects/berth-admin").await.expect_status(200);
    assert!(!can_sign_in(&server.client, &owner).await);
    let made = run_berth(&["owner-key", "--data", text]);
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.status.success() && said.contains("made anew"), "{made:?}");
    let restored = read_owner_key(&path);
    assert_eq!(restored.email(), owner.email());
    let token = identity::self_signed_token(&restored.file.to_string(), SystemClock.now());
    let client = server.client.clone().with_token(&token.expect("a key file"));
    client.post("/v1/organizations/1:getIamPolicy", "{}").await.expect_status(200);
    heirs.get("/v1/projects").await.expect_status(200);
    // A disabled owner is enabled again.
    heirs.post(&format!("{own}:disable"), "{}").await.expect_status(200);
    let made = run_berth(&["owner-key", "--data", text]);
    assert!(String::from_utf8_lossy(&made.stdout).contains("enabled again"), "{made:?}");
    assert!(can_sign_in(&server.client, &read_owner_key(&path)).await);
}

/// An owner may have more than ten keys. A server without accounts has no owner.
#[tokio::test]
async fn owner_keys_are_not_limited_by_their_number() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = folder.path().to_str().expect("plain");
    let server = BerthProcess::spawn(folder.path(), &mut quiet_berth(&["serve"])).await;
    for _ in 0..11 {
        let made = run_berth(&["owner-key", "--data", text]);
        assert!(made.status.success(), "{made:?}");
    }
    assert!(
        can_sign_in(&server.client, &read_owner_key(&folder.path().join("owner-key.json"))).await
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = folder.path().to_str().expect("plain");
    let _server = BerthProcess::start(folder.path(), &Backend::Sqlite).await;
    let refused = run_berth(&["owner-key", "--data", text]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--dev"), "{refused:?}");
    assert!(
        std::fs::read_dir(folder.path())
            .expect("there")
            .flatten()
            .all(|entry| { !entry.file_name().to_string_lossy().starts_with("owner-key") })
    );
}

/// If an administrator has no key left, the log says so, with the command that makes a new key.
#[tokio::test]
async fn the_last_key_of_the_owner_goes_with_a_warning() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let file = std::fs::File::create(&log).expect("writable");
    let server = BerthProcess::spawn(&data, berth_command(&["serve"]).stderr(file)).await;
    let owner = read_owner_key(&data.join("owner-key.json"));
    let token = identity::self_signed_token(&owner.file.to_string(), SystemClock.now());
    let client = server.client.clone().with_token(&token.expect("a key file"));
    // The last key of the last administrator stays.
    let key = format!("/v1/{}", key_name(&owner));
    client.delete(&key).await.expect_status(400);
    let accounts = "/v1/projects/my-project/serviceAccounts";
    let account = json!({ "accountId": "other-admin" }).to_string();
    client.post(accounts, account).await.expect_status(200);
    let other = "other-admin@my-project.iam.gserviceaccount.com";
    client.post(&format!("{accounts}/{other}/keys"), "{}").await.expect_status(200);
    let policy =
        client.post("/v1/organizations/1:getIamPolicy", "{}").await.expect_status(200).json();
    let mut policy = policy;
    for binding in policy["bindings"].as_array_mut().expect("some") {
        let members = binding["members"].as_array_mut().expect("some");
        members.push(json!(format!("serviceAccount:{other}")));
    }
    let policy = json!({ "policy": policy }).to_string();
    client.post("/v1/organizations/1:setIamPolicy", policy).await.expect_status(200);
    assert!(!std::fs::read_to_string(&log).expect("readable").contains("berth owner-key"));
    client.delete(&key).await.expect_status(200);
    wait_for(|| {
        let text = std::fs::read_to_string(&log).expect("readable");
        let warned = |line: &str| line.contains("WARN") && line.contains("berth owner-key");
        text.lines().any(|line| warned(line) && line.contains(owner.email())).then_some(())
    })
    .await;
}

on_both![
    a_missing_or_wrong_master_key_is_refused,
    invalidated_credentials_are_listed,
    dev_does_not_open_a_folder_with_accounts
];

/// A wrong master key is found at the start, and not later with each key that it cannot open.
async fn a_missing_or_wrong_master_key_is_refused(accounts: AccountServer) {
    let AccountServer { mut server, owner_key, owner } = accounts;
    owner.create_account("my-project", "robot-account").await.expect_status(200);
    let (path, data) = (server.data.join("master.key"), server.data.clone());
    let right = std::fs::read(&path).expect("the first start's");
    server.stop().await;
    std::fs::remove_file(&path).expect("ours");
    let said = expect_start_refused(&data, &[], &server.backend).await;
    assert!(said.contains("master.key is missing") && said.contains("--new-master-key"), "{said}");
    assert!(!path.exists(), "what is missing is not made anew in silence");
    let other: Vec<u8> = (1..=32).collect();
    std::fs::write(&path, other).expect("writable");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("ours");
    let said = expect_start_refused(&data, &[], &server.backend).await;
    assert!(said.contains("is not the one") && said.contains("--new-master-key"), "{said}");
    // With the right key everything is as before, even if the flag is still set.
    std::fs::write(&path, &right).expect("writable");
    let mut again = server
        .restart_with_permits(StartPermits { new_master_key: true, ..StartPermits::default() })
        .await;
    again.anonymous().with_token(&owner.token).get("/v1/projects").await.expect_status(200);
    again.stop().await;
    assert_eq!(std::fs::read(&path).expect("there"), right);
    // With a new key, old tokens are invalid, key files stay valid, and accounts can be impersonated again.
    std::fs::remove_file(&path).expect("ours");
    let permits = StartPermits { new_master_key: true, ..StartPermits::default() };
    let mut renewed = server.restart_with_permits(permits).await;
    assert_ne!(std::fs::read(&path).expect("a new one"), right);
    renewed.anonymous().with_token(&owner.token).get("/v1/projects").await.expect_status(401);
    let signed_in = sign_in(&renewed, &owner_key).await;
    let robot = "robot-account@my-project.iam.gserviceaccount.com";
    signed_in.generate_access_token(robot).await.expect_status(200);
    let sign = format!("/v1/projects/-/serviceAccounts/{robot}:signBlob");
    signed_in.post(&sign, &json!({ "payload": "eA==" })).await.expect_status(200);
    renewed.stop().await;
    // From then on the new key opens everything.
    let again = server.restart_with_permits(StartPermits::default()).await;
    again.anonymous().with_token(&signed_in.token).get("/v1/projects").await.expect_status(200);
}

async fn invalidated_credentials_are_listed(accounts: AccountServer) {
    let AccountServer { mut server, owner, .. } = accounts;
    owner.create_account("my-project", "robot-account").await.expect_status(200);
    server.stop().await;
    std::fs::remove_file(server.data.join("master.key")).expect("ours");
    let log = server.data.join("log");
    let mut command = berth_command(&["serve", "--new-master-key"]);
    if let Backend::Postgres(url) = &server.backend {
        command.args(["--database", url]);
    }
    command.stderr(std::fs::File::create(&log).expect("writable"));
    let _running = BerthProcess::spawn(&server.data, &mut command).await;
    let listed = ["every token", "1 keys that signed them", "robot-account@", "berth-owner@"];
    wait_for(|| {
        let said = std::fs::read_to_string(&log).expect("readable");
        listed.iter().all(|text| said.contains(text)).then_some(())
    })
    .await;
}

/// A development server would give everybody access to content that roles protect.
async fn dev_does_not_open_a_folder_with_accounts(accounts: AccountServer) {
    let AccountServer { mut server, .. } = accounts;
    server.stop().await;
    let said = expect_start_refused(&server.data, &["--dev"], &server.backend).await;
    assert!(said.contains("has accounts") && said.contains("--dev-with-accounts"), "{said}");
    let mut command = quiet_berth(&["serve", "--dev", "--dev-with-accounts"]);
    if let Backend::Postgres(url) = &server.backend {
        command.args(["--database", url]);
    }
    let opened = BerthProcess::spawn(&server.data, &mut command).await;
    opened.client.get("/v1/projects").await.expect_status(200);
}

/// A folder of a development server can get accounts, as the README describes.
#[tokio::test]
async fn a_development_folder_gets_accounts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    drop(BerthProcess::start(folder.path(), &Backend::Sqlite).await);
    drop(BerthProcess::start(folder.path(), &Backend::Sqlite).await);
    let server = BerthProcess::spawn(folder.path(), &mut quiet_berth(&["serve"])).await;
    server.client.get("/v2/").await.expect_status(401);
    drop(server);
    let said = expect_start_refused(folder.path(), &["--dev"], &Backend::Sqlite).await;
    assert!(said.contains("--dev-with-accounts"), "{said}");
}
