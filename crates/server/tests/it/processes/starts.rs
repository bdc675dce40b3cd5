//! Starts: refused ones, and the modes of a development server.

use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::{IMAGE, wait_for_end};
use crate::util::process::{BerthProcess, ChildProcess, berth_command, run_berth};
use crate::util::{Backend, Client, Image, digest_of};

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
