//! The `berth` command as a process: started, stopped, killed, and two of them on one database.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::util::{Backend, Client, Image, digest_of, random_bytes};

const IMAGE: &str = "p/r1/image";

/// A process, killed when it is dropped.
pub(crate) struct Berth {
    child: Child,
    pub(crate) client: Client,
    pub(crate) ops: Option<SocketAddr>,
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn berth(arguments: &[&str]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the test is about processes")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.args(arguments).env_remove("BERTH_CONFIG");
    command
}

fn run(arguments: &[&str]) -> Output {
    berth(arguments).output().expect("it runs")
}

impl Berth {
    async fn start(data: &Path, database: &Backend) -> Self {
        let mut command = berth(&["serve", "--dev"]);
        if let Backend::Postgres(url) = database {
            command.args(["--database", url]);
        }
        Self::spawn(data, command.stderr(Stdio::null())).await
    }

    pub(crate) async fn spawn(data: &Path, command: &mut Command) -> Self {
        command.args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--data"]);
        let child = command.arg(data).stdout(Stdio::null()).spawn().expect("it starts");
        let addresses = data.join(format!("run/{}/addresses.json", child.id()));
        let text = loop {
            if let Ok(text) = std::fs::read_to_string(&addresses) {
                break text;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let addresses: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let address = |name: &str| addresses[name].as_str()?.parse::<SocketAddr>().ok();
        let client = Client::new(address("listen").expect("an address"));
        Self { child, client, ops: address("ops") }
    }

    /// SIGKILL: nothing is written down, nothing is closed.
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.expect("a running process");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("ours");
    }
}

/// The steps of one push, each at another process.
async fn push_across(data: &Path, database: &Backend, kill: bool) {
    let bytes = random_bytes(300_000, 4);
    let digest = digest_of(&bytes);
    let mut a = Berth::start(data, database).await;
    let upload = a.client.start_upload(IMAGE).await;
    if kill {
        a.kill();
    }
    let mut b = Berth::start(data, database).await;
    b.client.patch(&upload, bytes.slice(..100_000)).await.expect(202);
    if kill {
        b.kill();
        a = Berth::start(data, database).await;
    }
    let status = a.client.get(&upload).await.expect(204);
    assert_eq!(status.header("range"), "0-99999");
    a.client.patch(&upload, bytes.slice(100_000..200_000)).await.expect(202);
    if kill {
        a.kill();
        a = Berth::start(data, database).await;
    }
    a.client.put(&format!("{upload}?digest={digest}"), bytes.slice(200_000..)).await.expect(201);
    if kill {
        a.kill();
        b = Berth::start(data, database).await;
    }
    let pulled = b.client.get(&format!("/v2/{IMAGE}/blobs/{digest}")).await.expect(200);
    assert_eq!(pulled.body, bytes);
    let image = Image::new(1);
    image.push(&b.client, (IMAGE, "latest")).await;
    if kill {
        b.kill();
        a = Berth::start(data, database).await;
    }
    let pulled = a.client.get(&format!("/v2/{IMAGE}/manifests/latest")).await.expect(200);
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
async fn what_was_answered_outlives_a_kill_between_any_two_steps() {
    let databases = [Some(Backend::Sqlite), Backend::postgres().await];
    for database in databases.into_iter().flatten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        push_across(folder.path(), &database, true).await;
    }
}

/// The row still says what was answered before, and bytes beyond it are cut off.
#[tokio::test]
async fn a_kill_in_the_middle_of_a_chunk() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = random_bytes(5_000_000, 8);
    let mut killed = Berth::start(folder.path(), &Backend::Sqlite).await;
    let upload = killed.client.start_upload(IMAGE).await;
    killed.client.patch(&upload, bytes.slice(..1000)).await.expect(202);
    let addresses = folder.path().join(format!("run/{}/addresses.json", killed.child.id()));
    let addresses = std::fs::read_to_string(addresses).expect("running");
    let addresses: serde_json::Value = serde_json::from_str(&addresses).expect("JSON");
    let mut stream =
        TcpStream::connect(addresses["listen"].as_str().expect("text")).await.expect("it listens");
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
    while written() < 1_000_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    killed.kill();
    let next = Berth::start(folder.path(), &Backend::Sqlite).await;
    let status = next.client.get(&upload).await.expect(204);
    assert_eq!(status.header("range"), "0-999");
    let client = next.client.clone().with("content-range", "1000-4999999");
    client.patch(&upload, bytes.slice(1000..)).await.expect(202);
    let digest = digest_of(&bytes);
    next.client.put(&format!("{upload}?digest={digest}"), "").await.expect(201);
    let pulled = next.client.get(&format!("/v2/{IMAGE}/blobs/{digest}")).await.expect(200);
    assert_eq!(pulled.body, bytes);
}

#[tokio::test]
async fn a_gentle_stop_lets_a_push_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut berth = Berth::start(folder.path(), &Backend::Sqlite).await;
    let upload = berth.client.start_upload(IMAGE).await;
    let addresses = folder.path().join(format!("run/{}/addresses.json", berth.child.id()));
    let addresses = std::fs::read_to_string(addresses).expect("running");
    let addresses: serde_json::Value = serde_json::from_str(&addresses).expect("JSON");
    let listen = addresses["listen"].as_str().expect("text");
    let mut stream = TcpStream::connect(listen).await.expect("it listens");
    let head =
        format!("PATCH {upload} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n01234");
    stream.write_all(head.as_bytes()).await.expect("open");
    // Until the request has begun, the connection is idle and would be closed at once.
    let metrics =
        Client::new(addresses["ops"].as_str().expect("text").parse().expect("an address"));
    while !metrics
        .get("/metrics")
        .await
        .body
        .windows(29)
        .any(|text| text == b"berth_http_requests_running 2")
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    berth.terminate();
    while TcpStream::connect(listen).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stream.write_all(b"56789").await.expect("still open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(answer.contains("range: 0-9"), "{answer}");
    let status = berth.child.wait().expect("it ends");
    assert!(status.success());
    assert!(
        !folder.path().join(format!("run/{}", berth.child.id())).exists(),
        "nothing is left of it"
    );
}

#[tokio::test]
async fn one_process_at_a_time_on_sqlite() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let _first = Berth::start(folder.path(), &Backend::Sqlite).await;
    let data = folder.path().to_str().expect("plain");
    let listen = ["--listen", "127.0.0.1:0", "--ops-listen", "off"];
    let second = run(&[&["serve", "--dev", "--data", data], &listen[..]].concat());
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("in use by another berth"), "{said}");
}

#[tokio::test]
async fn an_ephemeral_server_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let arguments =
        ["serve", "--dev", "--ephemeral", "--listen", "127.0.0.1:0", "--ops-listen", "off"];
    let mut command = berth(&arguments);
    let child = command.current_dir(&folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.expect("it starts");
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("piped")));
    let banner = lines.next().expect("a banner").expect("text");
    let (_, address) = banner.split_once("http://").expect("an address");
    let berth =
        Berth { child, client: Client::new(address.parse().expect("an address")), ops: None };
    let image = Image::new(1);
    image.push(&berth.client, (IMAGE, "latest")).await;
    let pulled = berth.client.get(&format!("/v2/{IMAGE}/manifests/latest")).await.expect(200);
    assert_eq!(pulled.body, image.manifest);
    let layer =
        berth.client.get(&format!("/v2/{IMAGE}/blobs/{}", digest_of(&image.blobs[1]))).await;
    assert_eq!(layer.expect(200).body, image.blobs[1]);
    berth.client.clone().with("host", "evil.example").get("/v2/").await.expect(421);
    berth.terminate();
    assert_eq!(std::fs::read_dir(&folder).expect("readable").count(), 0);
}

#[tokio::test]
async fn the_operator_collects() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().to_str().expect("plain");
    let nobody = run(&["gc", "--data", data]);
    assert!(!nobody.status.success());
    let berth = Berth::start(folder.path(), &Backend::Sqlite).await;
    berth.client.push_blob(IMAGE, "content").await;
    for arguments in [&["gc", "--dry-run", "--data", data][..], &["gc", "--data", data]] {
        let collected = run(arguments);
        let said = String::from_utf8_lossy(&collected.stdout);
        assert!(collected.status.success() && said.contains("reviewed"), "{collected:?}");
    }
}

#[test]
fn what_cannot_be_started_says_why() {
    let fails = |command: &mut Command, why: &str| {
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{said}");
    };
    fails(&mut berth(&["serve", "--listen", "0.0.0.0:0"]), "--insecure-http");
    fails(&mut berth(&["serve", "--ephemeral"]), "--dev");
    fails(&mut berth(&["serve", "--dev", "--listen", "0.0.0.0:0"]), "--dev-unsafe-network");
    fails(berth(&["serve", "--dev"]).env("BERTH_LISEN", "x"), "BERTH_LISEN");
    fails(&mut berth(&["serve", "--dev", "--database", "mysql://x"]), "postgres://");
}

#[tokio::test]
async fn a_log_line_for_machines() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log");
    let file = std::fs::File::create(&log).expect("writable");
    let mut command = berth(&["serve", "--dev"]);
    command.env("BERTH_LOG_FORMAT", "json").stderr(file);
    let berth = Berth::spawn(&folder.path().join("data"), &mut command).await;
    let client = berth.client.clone().with("x-request-id", "one-of-ours");
    client.get("/v2/p/r1/image/tags/list?n=1").await.expect(404);
    let line = loop {
        let lines = std::fs::read_to_string(&log).expect("readable");
        if let Some(line) = lines.lines().find(|line| line.contains("one-of-ours")) {
            break serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(line["request.id"], "one-of-ours");
    assert_eq!(line["http.method"], "GET");
    assert_eq!(line["http.path"], "/v2/p/r1/image/tags/list?n=1");
    assert_eq!(line["http.status"], 404);
    assert_eq!(line["principal"], "user:dev@localhost");
    assert_eq!(line["level"], "INFO");
}
