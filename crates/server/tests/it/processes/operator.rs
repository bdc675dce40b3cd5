//! The operator's socket.

use std::os::unix::net::UnixStream;

use crate::util::Backend;
use crate::util::process::{
    BerthProcess, berth_command, run_berth, run_berth_with_input, wait_for_log_line, wait_for_text,
};

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

/// The value comes in by standard input, and is in no output, log or audit log.
#[tokio::test]
async fn the_secrets_command_keeps_passwords() {
    const CANARY: &str = "canary-in-a-password";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let file = std::fs::File::create(&log).expect("writable");
    let mut serve = berth_command(&["serve"]);
    let _berth =
        BerthProcess::spawn(&data, serve.env("BERTH_LOG_LEVEL", "debug").stderr(file)).await;
    let text = data.to_str().expect("plain");
    let run = |arguments: &[&str], input: &[u8]| {
        let arguments = [&["secrets"], arguments, &["--data", text]].concat();
        let done = run_berth_with_input(&arguments, input);
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8(said).expect("text"))
    };
    let secret = "projects/my-project/secrets/hub";
    let refused = run(&["add", secret], CANARY.as_bytes());
    assert!(!refused.0 && refused.1.contains("--origin https://HOST"), "{refused:?}");
    let add = ["add", secret, "--origin", "DOCKER-HUB"];
    for (input, problem) in
        [(&b"\n"[..], "is empty"), (b"a\x07", "cannot be a password"), (&[b'x'; 70_000], "64 KiB")]
    {
        let refused = run(&add, input);
        assert!(!refused.0 && refused.1.contains(problem), "{refused:?}");
    }
    let added = run(&add, format!("{CANARY}\n").as_bytes());
    assert_eq!(added, (true, format!("Added {secret}/versions/1.\n")));
    let added = run(&["add", secret], CANARY.as_bytes());
    assert_eq!(added, (true, format!("Added {secret}/versions/2.\n")));
    let disabled = run(&["disable", &format!("{secret}/versions/1")], b"");
    assert_eq!(disabled, (true, format!("Disabled {secret}/versions/1.\n")));
    let (_, listed) = run(&["list"], b"");
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines[0], format!("{secret}  https://registry-1.docker.io"));
    assert!(lines[1].starts_with("  version 1  disabled  20"), "{listed}");
    assert!(lines[2].starts_with("  version 2  enabled   20"), "{listed}");
    assert_eq!(run(&["list", "my-project"], b"").1, listed);
    assert_eq!(run(&["list", "other-project"], b"").1, "There are no secrets.\n");
    let refused = run(&["enable", &format!("{secret}/versions/latest")], b"");
    assert!(!refused.0 && refused.1.contains("a number is needed"), "{refused:?}");
    let enabled = run(&["enable", &format!("{secret}/versions/1")], b"");
    assert_eq!(enabled, (true, format!("Enabled {secret}/versions/1.\n")));
    for name in [format!("{secret}/versions/2"), secret.to_owned()] {
        assert_eq!(run(&["delete", &name], b""), (true, format!("Deleted {name}.\n")));
        let refused = run(&["delete", &name], b"");
        assert!(!refused.0 && refused.1.contains("was not found"), "{refused:?}");
    }
    let audit = wait_for_text(&data.join("audit.log"), "DeleteSecret").await;
    for part in [
        "AddSecretVersion",
        "DisableSecretVersion",
        "system:operator",
        "secretmanager.googleapis.com",
    ] {
        assert!(audit.contains(part), "{part}: {audit}");
    }
    for text in [audit, listed, std::fs::read_to_string(&log).expect("the log")] {
        assert!(!text.contains(CANARY), "{text}");
    }
}
