//! The way to an upstream: authorities of a host, and a proxy.

use berth_server::config::UpstreamSettings;

use super::remote::{expect_manifest, remote_body};
use super::{create_from_body, image_in};
use crate::util::fronts::{ScriptedProxy, TlsFront};
use crate::util::{AccountServer, Backend, Image, ScriptedUpstream, manifest_path, on_both};

on_both![
    an_authority_of_the_settings_signs_for_its_host_alone,
    requests_leave_through_the_proxy,
    encrypted_requests_leave_through_the_proxy,
    attack_41_a_proxy_reaches_only_names_that_are_allowed
];

/// Pulls an image from a new remote repository of this URL.
async fn expect_pull(accounts: &AccountServer, id: &str, url: &str) {
    create_from_body(accounts, id, &remote_body(url)).await.expect_status(200);
    let pulled = accounts.owner.client.get(&manifest_path(&image_in(id, "app"), "1")).await;
    expect_manifest(pulled, &Image::new(1));
}

async fn start_upstream() -> ScriptedUpstream {
    let upstream = ScriptedUpstream::start().await;
    upstream.serve(&Image::new(1), ("app", "1"));
    upstream
}

async fn an_authority_of_the_settings_signs_for_its_host_alone(backend: Backend) {
    let (upstream, folder) = (start_upstream().await, tempfile::tempdir().expect("a folder"));
    let trusted = TlsFront::start(upstream.address, folder.path(), "registry.test").await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let other = TlsFront::start(upstream.address, elsewhere.path(), "registry.test").await;
    let accounts = AccountServer::start_with(backend, |config| {
        config.egress.allow = vec!["127.0.0.1".to_owned()];
        config.upstream = vec![UpstreamSettings {
            host: trusted.address.to_string(),
            ca: trusted.certificate.clone(),
            // A limit does not change what comes.
            bandwidth: Some("2MiB".parse().expect("a size")),
        }];
    })
    .await;
    expect_pull(&accounts, "trusted", &format!("https://{}", trusted.address)).await;
    let body = remote_body(&format!("https://{}", other.address));
    let refused = create_from_body(&accounts, "other", &body).await;
    let refused = refused.expect_google_error("400 FAILED_PRECONDITION");
    assert!(refused.text().contains("certificate"), "{refused:#?}");
}

async fn requests_leave_through_the_proxy(backend: Backend) {
    let upstream = start_upstream().await;
    let proxy = ScriptedProxy::start(upstream.address).await;
    let direct = start_upstream().await;
    let accounts = AccountServer::start_with(backend, |config| {
        config.egress.proxy = format!("http://user:secret@{}", proxy.address);
        config.egress.allow = vec!["*.corp.test:5000".to_owned(), "127.0.0.1".to_owned()];
    })
    .await;
    expect_pull(&accounts, "proxied", "http://registry.corp.test:5000").await;
    let heads = proxy.heads();
    assert!(
        heads[0].starts_with("GET http://registry.corp.test:5000/v2/ HTTP/1.1\r\n"),
        "{heads:?}"
    );
    // "user:secret" in Base64.
    assert!(heads[0].to_ascii_lowercase().contains("basic dxnlcjpzzwnyzxq="), "{heads:?}");
    // This machine is reached without the proxy.
    expect_pull(&accounts, "direct", &direct.url()).await;
    assert_eq!(proxy.heads().len(), heads.len());
}

async fn encrypted_requests_leave_through_the_proxy(backend: Backend) {
    let (upstream, folder) = (start_upstream().await, tempfile::tempdir().expect("a folder"));
    let front = TlsFront::start(upstream.address, folder.path(), "registry.corp.test").await;
    let proxy = ScriptedProxy::start(front.address).await;
    let accounts = AccountServer::start_with(backend, |config| {
        config.egress.proxy = format!("http://{}", proxy.address);
        config.egress.allow = vec!["registry.corp.test".to_owned()];
        config.upstream = vec![UpstreamSettings {
            host: "registry.corp.test".to_owned(),
            ca: front.certificate.clone(),
            ..UpstreamSettings::default()
        }];
    })
    .await;
    expect_pull(&accounts, "proxied", "https://registry.corp.test").await;
    let heads = proxy.heads();
    assert!(heads[0].starts_with("CONNECT registry.corp.test:443 HTTP/1.1\r\n"), "{heads:?}");
}

async fn attack_41_a_proxy_reaches_only_names_that_are_allowed(backend: Backend) {
    let upstream = start_upstream().await;
    let proxy = ScriptedProxy::start(upstream.address).await;
    let accounts = AccountServer::start_with(backend, |config| {
        config.egress.proxy = format!("http://{}", proxy.address);
        config.egress.allow = vec!["registry.corp.test".to_owned()];
    })
    .await;
    for (host, reason) in [
        ("metadata.google.internal", "egress.allow does not name metadata.google.internal"),
        ("registry.corp.test.evil.test", "egress.allow does not name"),
        ("169.254.169.254", "egress.allow does not open it"),
        ("[::ffff:10.0.0.1]", "egress.allow does not open it"),
    ] {
        for scheme in ["http", "https"] {
            let body = remote_body(&format!("{scheme}://{host}"));
            let refused = create_from_body(&accounts, "refused", &body).await;
            let refused = refused.expect_google_error("400 INVALID_ARGUMENT");
            assert!(refused.text().contains(reason), "{host}: {refused:#?}");
        }
    }
    assert_eq!(proxy.heads(), Vec::<String>::new());
}
