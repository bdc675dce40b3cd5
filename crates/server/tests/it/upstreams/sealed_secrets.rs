//! Secrets at rest: what shows them, and what is left of them with another master key or after an upgrade.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_server::run::StartPermits;
use serde_json::json;

use super::api_path;
use super::credentials::{CredentialTest, PASSWORD, SECRET, USER, expect_problem};
use crate::util::accounts::{PROJECT, sign_in};
use crate::util::{Backend, UpstreamAnswer, on_both};

on_both![
    credentials_of_an_older_release_count_for_nothing,
    another_master_key_opens_no_secret,
    a_secret_is_never_shown
];

/// Before there were secrets, anybody could name one that did not exist yet.
async fn credentials_of_an_older_release_count_for_nothing(backend: Backend) {
    let test = CredentialTest::start_with_password(backend).await;
    let meta = test.accounts.server.open_meta().await;
    meta.write(|tx| tx.execute("DELETE FROM repository_secrets", &[])).await.expect("ours");
    let owner = &test.accounts.owner;
    // Any change of a repository makes the server read anew.
    let path = api_path("remote", "?updateMask=description");
    owner.patch(&path, &json!({ "description": "x" })).await.expect_status(200);
    let text = "an older release stored the credentials for it; set them again";
    expect_problem(test.pull("remote", "1").await, "502 UNAVAILABLE", text);
    assert_eq!(test.upstream.asked().len(), 0);
    owner.patch(&api_path("remote", ""), &test.body("latest")).await.expect_status(200);
    test.pull("remote", "1").await.expect_status(200);
}

async fn another_master_key_opens_no_secret(backend: Backend) {
    let mut test = CredentialTest::start_with_password(backend).await;
    test.expect_pull("remote").await;
    test.accounts.server.stop().await;
    std::fs::remove_file(test.accounts.server.data.join("master.key")).expect("ours");
    let permits = StartPermits { new_master_key: true, ..StartPermits::default() };
    let renewed = test.accounts.server.restart_with_permits(permits).await;
    // The stopped server owns the folder.
    let _stopped = std::mem::replace(&mut test.accounts.server, renewed);
    test.accounts.owner = sign_in(&test.accounts.server, &test.accounts.owner_key).await;
    // What was fetched is served.
    test.expect_pull("remote").await;
    let text = "the credentials for it are not available";
    expect_problem(test.pull("remote", "2").await, "502 UNAVAILABLE", text);
    // A new value is sealed with the new key. This start reaches no private address, which is the next obstacle.
    test.add_secret(SECRET, PASSWORD).await;
    expect_problem(
        test.pull("remote", "2").await,
        "502 UNAVAILABLE",
        "egress.allow does not open it",
    );
}

/// The files of a folder, and of the folders in it.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("readable").flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

async fn a_secret_is_never_shown(backend: Backend) {
    let test = CredentialTest::start_with_password(backend).await;
    test.expect_pull("remote").await;
    let owner = &test.accounts.owner;
    let mut said = vec![
        owner.get(&api_path("remote", "")).await.expect_status(200).text().into_owned(),
        owner.get(&crate::util::accounts::repositories_path(PROJECT)).await.text().into_owned(),
        test.command(json!({ "list": {} })).await.expect("a list").to_string(),
        test.command(json!({ "list": { "project": "other-project" } }))
            .await
            .expect("a list")
            .to_string(),
    ];
    let without_name = json!({ "add": { "value": PASSWORD } });
    said.push(test.command(without_name).await.expect_err("refused"));
    test.upstream.set_all(&UpstreamAnswer::status(403));
    said.push(test.pull("remote", "2").await.text().into_owned());
    for table in ["secrets", "secret_versions", "repository_secrets", "events", "repositories"] {
        let sql: &'static str = Box::leak(format!("SELECT CAST(x AS TEXT) FROM {table} x").into());
        if matches!(test.accounts.server.backend, Backend::Sqlite) {
            continue;
        }
        let meta = test.accounts.server.open_meta().await;
        let rows = meta.read(move |tx| tx.query(sql, &[], |row| row.text(0))).await.expect("rows");
        said.extend(rows);
    }
    let encoded = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let as_hex: String = PASSWORD.bytes().map(|byte| format!("{byte:02x}")).collect();
    for text in &said {
        for secret in [PASSWORD, &encoded, &as_hex] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    // Nor is it in any file: the database, the audit log.
    let files = files_below(&test.accounts.server.data);
    assert!(files.len() > 3, "{files:?}");
    for file in files {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let found = bytes.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes());
        assert!(!found, "in {}", file.display());
    }
}
