//! Signals, and the last line of the log.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::util::process::{BerthProcess, berth_command, wait_for, wait_for_text};

async fn start_with_log(folder: &Path, format: &str) -> BerthProcess {
    let log = std::fs::File::create(folder.join("log")).expect("writable");
    let mut command = berth_command(&["serve", "--dev"]);
    command.env("BERTH_LOG_FORMAT", format).stderr(log);
    BerthProcess::spawn(&folder.join("data"), &mut command).await
}

fn read_log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).expect("text")
}

/// A signal without a meaning here does not end the server.
#[tokio::test]
async fn other_signals_do_not_end_the_server() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut berth = start_with_log(folder.path(), "text").await;
    for (signal, name) in
        [(Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2"), (Signal::HUP, "SIGHUP")]
    {
        berth.process.send_signal(signal);
        let said = format!("{name} changes nothing here");
        wait_for_text(&folder.path().join("log"), &said).await;
        berth.client.get("/v2/").await.expect_status(200);
        assert!(berth.process.0.try_wait().expect("ours").is_none());
    }
}

#[tokio::test]
async fn the_last_log_line_says_stopped() {
    for format in ["text", "json"] {
        for signal in [Signal::TERM, Signal::INT] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let mut berth = start_with_log(folder.path(), format).await;
            berth.process.send_signal(signal);
            let status = wait_for(|| berth.process.0.try_wait().expect("ours")).await;
            assert!(status.success(), "{status}");
            let text = read_log(folder.path());
            let last = text.lines().last().expect("a line");
            if format == "json" {
                let line: Value = serde_json::from_str(last).expect("JSON");
                assert_eq!(line["message"], "stopped", "{text}");
            } else {
                assert!(last.ends_with("INFO stopped"), "{text}");
            }
        }
    }
}
