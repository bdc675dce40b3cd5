//! The documentation of metrics agrees with `/metrics`.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::upstreams::start_with_upstream_figures;
use crate::util::certificate::CertificateFiles;
use crate::util::{AccountServer, Backend, Client, Image, Receiver, StartOn, TestServer};

fn read_documentation(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(file);
    std::fs::read_to_string(path).expect("part of the documentation")
}

/// The names of all metrics, in the form of Prometheus.
async fn metric_names(server: &TestServer) -> BTreeSet<String> {
    let answer =
        Client::new(server.ops).get("/metrics").await.expect_status(200).text().into_owned();
    let types = answer.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let named = types.map(|(name, kind)| match kind {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        "gauge" | "histogram" => name.to_owned(),
        other => panic!("{name} is a {other}"),
    });
    named.collect()
}

/// Starts a server with TLS. Its certificate is valid until the end of 2049.
async fn start_with_tls(folder: &Path) -> TestServer {
    let files = CertificateFiles::write_to(folder).await;
    TestServer::start_with(Backend::Sqlite, |config| {
        config.tls.certificate = files.certificate;
        config.tls.key = files.key;
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_the_rules_and_the_dashboard_name_existing_metrics() {
    let receiver = Receiver::start().await;
    let server = TestServer::start_with(Backend::Sqlite, |config| receiver.configure(config)).await;
    Image::new(1).push(&server.admin(), ("p/r1/image", "1")).await;
    receiver.wait_for_taken(1).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let encrypted = start_with_tls(folder.path()).await;
    let file = folder.path().join("tls.crt");
    let line =
        format!("berth_tls_certificate_expiry_seconds{{file=\"{}\"}} 2524607999", file.display());
    encrypted.wait_for_metrics(&line).await;

    let mut measured = metric_names(&server).await;
    measured.extend(metric_names(&encrypted).await);
    let fetching = start_with_upstream_figures().await;
    measured.extend(metric_names(&fetching.server).await);
    let page = read_documentation("monitoring.md");
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .filter(|name| !name.starts_with('/'))
        .collect();
    assert_eq!(documented, measured);

    for file in ["monitoring/alerts.yml", "monitoring/grafana-dashboard.json"] {
        let text = read_documentation(file);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named = words.filter(|word| word.starts_with("berth_") || word.starts_with("process_"));
        let mut found = 0;
        for name in named {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            assert!(measured.contains(base.unwrap_or(name)), "{file}: {name} is not measured");
            found += 1;
        }
        assert!(found > 5, "{file} names {found} figures");
    }
}

#[tokio::test]
async fn metrics_count_requests_and_uploads() {
    let server = TestServer::start(Backend::Sqlite).await;
    let image = Image::new(1);
    image.push(&server.admin(), ("p/r1/image", "1")).await;
    server.admin().start_upload("p/r1/image").await;
    server.admin().start_upload("p/r1/image").await;
    let ops = Client::new(server.ops);
    let answer = ops.get("/metrics").await.expect_status(200).text().into_owned();
    let received: u64 = answer
        .lines()
        .find_map(|line| line.strip_prefix("berth_http_received_bytes_total{route=\"upload\"} "))
        .expect("a push sends bytes")
        .parse()
        .expect("a number");
    let pushed: usize = image.blobs.iter().map(|blob| blob.len()).sum();
    assert_eq!(received, pushed as u64);
    // Gauges of the whole registry are computed at the start and every half minute.
    let again = {
        let mut server = server;
        server.stop().await;
        server.restart_with(|_| ()).await
    };
    again.wait_for_metrics("berth_repositories 1").await;
    again.wait_for_metrics("berth_uploads_open 2").await;
    let version = format!("berth_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    again.wait_for_metrics(&version).await;
}

/// Monitoring requests are not counted as requests of clients.
#[tokio::test]
async fn probes_are_not_counted_with_requests() {
    let server = TestServer::start(Backend::Sqlite).await;
    let ops = Client::new(server.ops);
    for path in ["/healthz", "/readyz", "/metrics"] {
        ops.get(path).await.expect_status(200);
    }
    ops.get("/nothing").await.expect_status(404);
    server.anonymous().get("/v2/").await.expect_status(401);
    server.wait_for_metrics("berth_http_requests_total{route=\"ping\",status=\"401\"} 1").await;
    let answer = ops.get("/metrics").await.expect_status(200).text().into_owned();
    let counted: Vec<_> =
        answer.lines().filter(|line| line.starts_with("berth_http_requests_total")).collect();
    assert_eq!(counted.len(), 1, "{counted:?}");
}

/// A refused request is counted once, even if several layers look at its credential.
#[tokio::test]
async fn refused_credentials_are_counted_by_their_reason() {
    let accounts = AccountServer::start(Backend::Sqlite).await;
    let server = &accounts.server;
    let anonymous = server.anonymous();
    anonymous.get("/v2/").await.expect_status(401);
    let with = |value: String| anonymous.clone().with_header("authorization", &value);
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    with("Bearer nonsense".to_owned()).get("/v2/").await.expect_status(401);
    with(basic("somebody:secret")).get("/v2/").await.expect_status(401);
    with(basic("somebody:secret")).get("/v2/token").await.expect_status(401);
    with(basic("_json_key:{}")).get("/v2/").await.expect_status(401);
    for (reason, count) in [("unknown", 1), ("user_name", 2), ("key_file", 1), ("expired", 0)] {
        let line = format!("berth_auth_refused_total{{reason=\"{reason}\"}} {count}");
        server.wait_for_metrics(&line).await;
    }
}
