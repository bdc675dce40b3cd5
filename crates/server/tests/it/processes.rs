//! The `berth` command as a process: starts, stops, kills, and two processes on one database.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::util::database::start_database_proxy;
use crate::util::process::{
    BerthProcess, ChildProcess, berth_command, parse_address, run_berth, wait_for,
    wait_for_log_line,
};
use crate::util::{
    Backend, Client, Image, digest_of, random_bytes, wait_for_metrics, with_deadline,
};

const IMAGE: &str = "p/r1/image";

/// Pushes an image in steps, each at another process.
async fn push_across(data: &Path, database: &Backend, kill: bool) {
    let bytes = random_bytes(300_000, 4);
    let digest = digest_of(&bytes);
    let mut a = BerthProcess::start(data, database).await;
    let upload = a.client.start_upload(IMAGE).await;
    if kill {
        a.kill();
    }
    let mut b = BerthProcess::start(data, database).await;
    b.client.patch(&upload, bytes.slice(..100_000)).await.expect_status(202);
    if kill {
        b.kill();
        a = BerthProcess::start(data, database).await;
    }
    let status = a.client.get(&upload).await.expect_status(204);
    assert_eq!(status.header("range"), "0-99999");
    a.client.patch(&upload, bytes.slice(100_000..200_000)).await.expect_status(202);
    if kill {
        a.kill();
        a = BerthProcess::start(data, database).await;
    }
    a.client
        .put(&format!("{upload}?digest={digest}"), bytes.slice(200_000..))
        .await
        .expect_status(201);
    if kill {
        a.kill();
        b = BerthProcess::start(data, database).await;
    }
    let pulled = b.client.get(&format!("/v2/{IMAGE}/blobs/{digest}")).await.expect_status(200);
    assert_eq!(pulled.body, bytes);
    let image = Image::new(1);
    image.push(&b.client, (IMAGE, "latest")).await;
    if kill {
        b.kill();
        a = BerthProcess::start(data, database).await;
    }
    let pulled = a.client.get(&format!("/v2/{IMAGE}/manifests/latest")).await.expect_status(200);
    assert_eq!(pulled.body, image.manifest);
}

#[tokio::test]
async fn two_processes_share_one_database_and_one_folder() {
    let Some(database) = Backend::postgres().await else {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    push_across(folder.path(), &database, false).await;
}

#[tokio::test]
async fn acknowledged_steps_survive_a_kill() {
    let databases = [Some(Backend::Sqlite), Backend::postgres().await];
    for database in databases.into_iter().flatten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        push_across(folder.path(), &database, true).await;
    }
}

/// The row has the size that was acknowledged last. Bytes behind it are cut off.
#[tokio::test]
async fn a_kill_in_the_middle_of_a_chunk_keeps_acknowledged_bytes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = random_bytes(5_000_000, 8);
    let mut killed = BerthProcess::start(folder.path(), &Backend::Sqlite).await;
    let upload = killed.client.start_upload(IMAGE).await;
    killed.client.patch(&upload, bytes.slice(..1000)).await.expect_status(202);
    let mut stream = TcpStream::connect(killed.listen_address()).await.expect("it listens");
    let head =
        format!("PATCH {upload} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("open");
    stream.write_all(&bytes[1000..4_000_000]).await.expect("open");
    let blobs = folder.path().join("blobs");
    let written = || {
        let folders = std::fs::read_dir(&blobs).expect("the store").flatten();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).expect("a folder"));
        files.flatten().map(|file| file.metadata().expect("readable").len()).max().unwrap_or(0)
    };
    wait_for(|| (written() >= 1_000_000).then_some(())).await;
    killed.kill();
    let next = BerthProcess::start(folder.path(), &Backend::Sqlite).await;
    let status = next.client.get(&upload).await.expect_status(204);
    assert_eq!(status.header("range"), "0-999");
    let client = next.client.clone().with_header("content-range", "1000-4999999");
    client.patch(&upload, bytes.slice(1000..)).await.expect_status(202);
    let digest = digest_of(&bytes);
    next.client.put(&format!("{upload}?digest={digest}"), "").await.expect_status(201);
    let pulled = next.client.get(&format!("/v2/{IMAGE}/blobs/{digest}")).await.expect_status(200);
    assert_eq!(pulled.body, bytes);
}

/// Begins a push that does not end, so that a stop has to wait for it.
async fn stuck_push(berth: &BerthProcess) -> TcpStream {
    let upload = berth.client.start_upload(IMAGE).await;
    let mut stream = TcpStream::connect(berth.listen_address()).await.expect("it listens");
    let head =
        format!("PATCH {upload} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n01234");
    stream.write_all(head.as_bytes()).await.expect("open");
    wait_for_metrics(parse_address(&berth.addresses["ops"]), "berth_http_requests_running 2").await;
    stream
}

/// Waits until the server accepts no connections.
async fn wait_until_deaf(berth: &BerthProcess) {
    let deaf = async { while TcpStream::connect(berth.listen_address()).await.is_ok() {} };
    with_deadline(deaf).await;
}

async fn wait_for_end(process: &mut ChildProcess) -> ExitStatus {
    wait_for(|| process.0.try_wait().expect("ours")).await
}

#[tokio::test]
async fn a_stop_waits_for_a_push() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut berth = BerthProcess::start(folder.path(), &Backend::Sqlite).await;
    let mut stream = stuck_push(&berth).await;
    berth.process.send_signal(Signal::TERM);
    wait_until_deaf(&berth).await;
    stream.write_all(b"56789").await.expect("still open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(answer.contains("range: 0-9"), "{answer}");
    assert!(wait_for_end(&mut berth.process).await.success());
    assert!(!berth.run.exists(), "nothing is left of it");
}

/// The first Ctrl-C asks for a stop, which here would take a day. The second one stops at once.
#[tokio::test]
async fn a_second_interrupt_stops_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = berth_command(&["serve", "--dev"]);
    command.env("BERTH_LIMITS_DRAIN_TIMEOUT", "1d").env("BERTH_LIMITS_IDLE_TIMEOUT", "30d");
    let mut berth = BerthProcess::spawn(folder.path(), command.stderr(Stdio::null())).await;
    let _stuck = stuck_push(&berth).await;
    berth.process.send_signal(Signal::INT);
    wait_until_deaf(&berth).await;
    assert!(berth.process.0.try_wait().expect("ours").is_none(), "it waits for the push");
    berth.process.send_signal(Signal::INT);
    assert!(wait_for_end(&mut berth.process).await.success());
    assert!(!berth.run.exists(), "nothing is left of it");
}

/// A stop has to record pulls, and the database never answers.
#[tokio::test]
async fn a_stop_does_not_wait_for_a_silent_database() {
    let Some(Backend::Postgres(url)) = Backend::postgres().await else {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    };
    let (url, silent) = start_database_proxy(&url).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = berth_command(&["serve", "--dev", "--database", &url]);
    command.env("BERTH_LIMITS_DRAIN_TIMEOUT", "1s");
    let mut berth = BerthProcess::spawn(folder.path(), command.stderr(Stdio::null())).await;
    Image::new(1).push(&berth.client, (IMAGE, "latest")).await;
    berth.client.get(&format!("/v2/{IMAGE}/manifests/latest")).await.expect_status(200);
    silent.send_replace(true);
    berth.process.send_signal(Signal::TERM);
    assert!(wait_for_end(&mut berth.process).await.success());
}

#[tokio::test]
async fn only_one_process_uses_an_sqlite_database() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let _first = BerthProcess::start(folder.path(), &Backend::Sqlite).await;
    let data = folder.path().to_str().expect("plain");
    let listen = ["--listen", "127.0.0.1:0", "--ops-listen", "off"];
    let second = run_berth(&[&["serve", "--dev", "--data", data], &listen[..]].concat());
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("in use by another berth"), "{said}");
}

#[tokio::test]
async fn an_ephemeral_server_leaves_no_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let arguments =
        ["serve", "--dev", "--ephemeral", "--listen", "127.0.0.1:0", "--ops-listen", "off"];
    let mut command = berth_command(&arguments);
    let child = command.current_dir(&folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut process = ChildProcess(child.expect("it starts"));
    let stdout = process.0.stdout.take().expect("piped");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stdout));
    let banner = lines.next().expect("a banner").expect("text");
    let (_, address) = banner.split_once("http://").expect("an address");
    let client = Client::new(address.parse().expect("an address"));
    let image = Image::new(1);
    image.push(&client, (IMAGE, "latest")).await;
    let pulled = client.get(&format!("/v2/{IMAGE}/manifests/latest")).await.expect_status(200);
    assert_eq!(pulled.body, image.manifest);
    let layer = client.get(&format!("/v2/{IMAGE}/blobs/{}", digest_of(&image.blobs[1]))).await;
    assert_eq!(layer.expect_status(200).body, image.blobs[1]);
    client.clone().with_header("host", "evil.example").get("/v2/").await.expect_status(421);
    process.send_signal(Signal::TERM);
    assert!(wait_for_end(&mut process).await.success());
    assert_eq!(std::fs::read_dir(&folder).expect("readable").count(), 0);
}

/// The push command of the banner works, also when the server listens on all addresses. The banner says how others
/// reach the server.
#[tokio::test]
async fn the_banner_of_a_server_on_all_addresses_works() {
    for (host, hint) in [(None, "--dev-host NAME"), (Some("registry.test"), "registry.test")] {
        let mut command = berth_command(&["serve", "--dev", "--ephemeral", "--dev-unsafe-network"]);
        command.args(["--listen", "0.0.0.0:0", "--ops-listen", "off"]);
        if let Some(host) = host {
            command.args(["--dev-host", host]);
        }
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut process = ChildProcess(child.expect("it starts"));
        let stdout = std::io::BufReader::new(process.0.stdout.take().expect("piped"));
        let mut lines = std::io::BufRead::lines(stdout).map(|line| line.expect("text"));
        let said: Vec<_> =
            lines.by_ref().take_while(|line| !line.contains("docker pull")).collect();
        assert!(said.iter().any(|line| line.contains(hint)), "{said:?}");
        let push = said.iter().find_map(|line| line.trim().strip_prefix("docker push "));
        let (named, _) = push.expect("a command").split_once('/').expect("an image");
        let (name, port) = named.split_once(':').expect("a port");
        assert_eq!(name, host.unwrap_or("127.0.0.1"));
        let client = Client::new(([127, 0, 0, 1], port.parse().expect("a number")).into());
        client.clone().with_header("host", named).get("/v2/").await.expect_status(200);
        let other = client.clone().with_header("host", "registry.test").get("/v2/").await;
        other.expect_status(host.map_or(421, |_| 200));
        let refused =
            client.with_header("host", "evil.example").get("/v2/").await.expect_status(421);
        assert!(refused.text().contains(host.unwrap_or("localhost")), "{refused:?}");
    }
}

#[tokio::test]
async fn the_gc_command_collects() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().to_str().expect("plain");
    let nobody = run_berth(&["gc", "--data", data]);
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("--ephemeral"), "{nobody:?}");
    assert!(!nobody.status.success());
    let berth = BerthProcess::start(folder.path(), &Backend::Sqlite).await;
    berth.client.push_blob(IMAGE, "content").await;
    for arguments in [&["gc", "--dry-run", "--data", data][..], &["gc", "--data", data]] {
        let collected = run_berth(arguments);
        let said = String::from_utf8_lossy(&collected.stdout);
        assert!(collected.status.success() && said.contains("reviewed"), "{collected:?}");
    }
}

/// The operator's socket survives a failed accept.
#[tokio::test]
async fn the_operators_socket_survives_a_lack_of_descriptors() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let file = std::fs::File::create(&log).expect("writable");
    let berth = BerthProcess::spawn(&data, berth_command(&["serve", "--dev"]).stderr(file)).await;
    let before = berth.process.limit_open_files(1);
    let knock = UnixStream::connect(berth.run.join("admin.sock")).expect("it is there");
    wait_for_log_line(&log, "cannot accept a connection").await;
    berth.process.limit_open_files(before);
    drop(knock);
    let collected = run_berth(&["gc", "--data", data.to_str().expect("plain")]);
    assert!(collected.status.success(), "{collected:?}");
}

#[test]
fn a_refused_start_names_its_reason() {
    let fails = |command: &mut Command, why: &str| {
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{said}");
    };
    fails(&mut berth_command(&["serve", "--listen", "0.0.0.0:0"]), "--insecure-http");
    fails(&mut berth_command(&["serve", "--ephemeral"]), "--dev");
    fails(&mut berth_command(&["serve", "--dev", "--listen", "0.0.0.0:0"]), "--dev-unsafe-network");
    fails(berth_command(&["serve", "--dev"]).env("BERTH_LISEN", "x"), "BERTH_LISEN");
    let nearest = "BERTH_LISEN is no setting; the nearest is BERTH_LISTEN";
    fails(berth_command(&["gc"]).env("BERTH_LISEN", "x"), nearest);
    fails(berth_command(&["serve", "--dev"]).env("BERTH_PORT", "5050"), "BERTH_LISTEN");
    fails(
        berth_command(&["serve"]).env("BERTH_EXTERNAL_URL", "registry.example.com"),
        "BERTH_EXTERNAL_URL: external_url \"registry.example.com\" has no scheme",
    );
    let unreadable = std::ffi::OsStr::from_bytes(b"data\xff");
    fails(berth_command(&["serve", "--dev"]).env("BERTH_DATA", unreadable), "BERTH_DATA");
    fails(&mut berth_command(&["serve", "--listen", "localhost:5050"]), "such as 127.0.0.1:5050");
    let mut never = berth_command(&["serve", "--dev"]);
    fails(never.env("BERTH_GC_UPLOAD_EXPIRY", "0s"), "gc.upload_expiry");
    fails(&mut berth_command(&["serve", "--dev", "--database", "mysql://x"]), "postgres://");
}

#[tokio::test]
async fn the_json_log_has_the_fields_of_a_request() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log");
    let file = std::fs::File::create(&log).expect("writable");
    let mut command = berth_command(&["serve", "--dev"]);
    command.env("BERTH_LOG_FORMAT", "json").stderr(file);
    let berth = BerthProcess::spawn(&folder.path().join("data"), &mut command).await;
    let client = berth.client.clone().with_header("x-request-id", "one-of-ours");
    client.get("/v2/p/r1/image/tags/list?n=1").await.expect_status(404);
    let line = wait_for_log_line(&log, "one-of-ours").await;
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["request.id"], "one-of-ours");
    assert_eq!(line["http.method"], "GET");
    assert_eq!(line["http.path"], "/v2/p/r1/image/tags/list?n=1");
    assert_eq!(line["http.status"], 404);
    assert_eq!(line["principal"], "user:dev@localhost");
    assert_eq!(line["level"], "INFO");
}

/// A client cannot send control characters to the terminal of the log's reader, neither in a path nor in a header.
#[tokio::test]
async fn the_log_has_no_control_characters() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log");
    let file = std::fs::File::create(&log).expect("writable");
    let berth = BerthProcess::spawn(
        &folder.path().join("data"),
        berth_command(&["serve", "--dev"]).stderr(file),
    )
    .await;
    let mut request =
        "GET /v2/\u{9b}2J?\u{9b}x HTTP/1.1\r\nhost: localhost\r\n".as_bytes().to_vec();
    request.extend_from_slice(b"user-agent: evil\t\xc2\x9b2J\r\nconnection: close\r\n\r\n");
    let answer = berth.client.send_raw(&request).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let line = wait_for_log_line(&log, "/v2/").await;
    assert!(line.contains("GET /v2/%C2%9B2J?%C2%9Bx 404"), "{line}");
    assert!(line.contains("evil%09%C2%9B2J"), "{line}");
    assert!(!line.contains(char::is_control), "{line:?}");
}

/// The log has the error under the id that the client gets.
#[tokio::test]
async fn an_error_is_logged_under_its_request_id() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let file = std::fs::File::create(&log).expect("writable");
    let mut command = berth_command(&["serve", "--dev"]);
    command.env("BERTH_LOG_FORMAT", "json").stderr(file);
    let berth = BerthProcess::spawn(&data, &mut command).await;
    let upload = berth.client.start_upload(IMAGE).await;
    for part in std::fs::read_dir(data.join("blobs")).expect("the store").flatten() {
        std::fs::remove_dir(part.path()).expect("empty");
    }
    let failed = berth.client.patch(&upload, "content").await.expect_status(500);
    assert!(String::from_utf8_lossy(&failed.body).contains("X-Request-Id"));
    let line = wait_for_log_line(&log, "answering 500").await;
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["request.id"], failed.header("x-request-id"));
}

/// A missing account is reported once at the start, with the command that creates it, and not at every request.
#[tokio::test]
async fn a_missing_metadata_account_is_reported_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let file = std::fs::File::create(&log).expect("writable");
    let mut command = berth_command(&["serve"]);
    command.env("BERTH_METADATA_LISTEN", "127.0.0.1:0").stderr(file);
    command.env("BERTH_METADATA_ACCOUNT", "robot-account@my-project.iam.gserviceaccount.com");
    let berth = BerthProcess::spawn(&data, &mut command).await;
    let client = Client::new(parse_address(&berth.addresses["metadata"]));
    let client = client.with_header("metadata-flavor", "Google");
    let email = "/computeMetadata/v1/instance/service-accounts/default/email";
    for _ in 0..3 {
        client.get(email).await.expect_status(404);
    }
    // Log lines are in order, so that the lines of all requests before precede this one's.
    let last = client.with_header("x-request-id", "the-last-one");
    last.get("/computeMetadata/v1/nothing").await.expect_status(404);
    wait_for_log_line(&log, "the-last-one").await;
    let text = std::fs::read_to_string(&log).expect("readable");
    let said: Vec<_> = text.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(said.len(), 1, "{text}");
    let command = "gcloud iam service-accounts create robot-account --project=my-project";
    assert!(said[0].contains("does not exist") && said[0].contains(command), "{text}");
}

/// With `--dev` everybody is one account, so that the limit per account would hit others.
#[tokio::test]
async fn a_development_server_does_not_limit_uploads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = berth_command(&["serve", "--dev"]);
    command.env("BERTH_LIMITS_OPEN_UPLOADS", "1");
    let berth = BerthProcess::spawn(&folder.path().join("data"), &mut command).await;
    berth.client.start_upload(IMAGE).await;
    berth.client.start_upload(IMAGE).await;
}

/// A container's log contains only JSON objects, from the first line on.
#[tokio::test]
async fn a_json_log_has_only_objects() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log");
    let open = || std::fs::File::options().create(true).append(true).open(&log).expect("writable");
    let arguments =
        ["serve", "--dev", "--ephemeral", "--listen", "127.0.0.1:0", "--ops-listen", "off"];
    let mut command = berth_command(&arguments);
    command.env("BERTH_LOG_FORMAT", "json").stdout(open()).stderr(open());
    let _process = ChildProcess(command.current_dir(&folder).spawn().expect("it starts"));
    let said = || std::fs::read_to_string(&log).expect("readable");
    let said =
        wait_for(|| Some(said()).filter(|said| said.contains("serves http://127.0.0.1:"))).await;
    for line in said.lines() {
        let object: Value = serde_json::from_str(line).expect(line);
        assert!(object["message"].is_string(), "{line}");
    }
}
