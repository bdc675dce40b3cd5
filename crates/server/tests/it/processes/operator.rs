//! The operator's socket.

use std::os::unix::net::UnixStream;

use crate::util::Backend;
use crate::util::process::{BerthProcess, berth_command, run_berth, wait_for_log_line};

use super::IMAGE;

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
