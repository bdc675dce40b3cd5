//! `berth users`, and what it leaves in logs.

use crate::util::process::{BerthProcess, berth_command, run_berth, wait_for_text};

/// The link is in the output of the command, and in no log.
#[tokio::test]
async fn the_users_command_administers_people() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let file = std::fs::File::create(&log).expect("writable");
    let mut serve = berth_command(&["serve"]);
    serve.env("BERTH_LOG_LEVEL", "debug").env("BERTH_ADMINS", r#"["user:alice@example.com"]"#);
    let berth = BerthProcess::spawn(
        &data,
        serve.env("BERTH_EXTERNAL_URL", "https://registry.example.com").stderr(file),
    )
    .await;
    let text = data.to_str().expect("plain");
    let run = |arguments: &[&str]| {
        let done = run_berth(&[&["users"], arguments, &["--data", text]].concat());
        let said = String::from_utf8([done.stdout, done.stderr].concat()).expect("text");
        assert!(done.status.success(), "{said}");
        said
    };
    let refused = run_berth(&["users", "disable", "nobody@example.com", "--data", text]);
    assert!(!refused.status.success(), "{refused:?}");
    assert_eq!(run(&["list"]), "There are no people.\n");
    let added = run(&["add", "Alice@example.com", "--name", "Alice Liddell"]);
    assert!(added.contains("who administers everything"), "{added}");
    let marker = "https://registry.example.com/console/-/password/";
    let token_of = |said: &str| {
        let (_, rest) = said.split_once(marker).expect("the link");
        rest.lines().next().expect("a token").to_owned()
    };
    let mut tokens = vec![token_of(&added)];
    let added = run(&["add", "bob@example.com"]);
    assert!(added.contains("--member=user:bob@example.com"), "{added}");
    tokens.push(token_of(&added));
    tokens.push(token_of(&run(&["reset", "bob@example.com"])));
    assert!(tokens.iter().all(|token| token.len() == 43), "{tokens:?}");
    berth.client.get(&format!("/console/-/password/{}?lang=en", tokens[0])).await;
    wait_for_text(&log, "/console/-/password/...?lang=en").await;
    let disabled = run(&["disable", "bob@example.com"]);
    assert_eq!(disabled, "Disabled bob@example.com, and ended 0 sessions.\n");
    let listed = run(&["list"]);
    let lines: Vec<_> = listed.lines().map(|line| line.split("  ").collect::<Vec<_>>()).collect();
    assert_eq!(lines[1][..2], ["alice@example.com", "Alice Liddell"], "{listed}");
    assert!(listed.lines().nth(1).is_some_and(|line| line.contains("  no password yet  20")));
    assert!(listed.lines().nth(2).is_some_and(|line| line.contains("  disabled         20")));
    assert_eq!(run(&["enable", "bob@example.com"]), "Enabled bob@example.com.\n");
    assert_eq!(run(&["sessions", "bob@example.com"]), "bob@example.com is signed in nowhere.\n");
    assert_eq!(run(&["sign-out", "bob@example.com"]), "Ended 0 sessions of bob@example.com.\n");
    let audit = wait_for_text(&data.join("audit.log"), "Users.EndSessions").await;
    for part in ["AddUser", "ResetPassword", "DisableUser", "EnableUser", "system:operator"] {
        assert!(audit.contains(part), "{part}: {audit}");
    }
    assert!(audit.contains(r#""resourceName":"user:alice@example.com""#), "{audit}");
    for text in [audit, listed, std::fs::read_to_string(&log).expect("the log")] {
        assert!(tokens.iter().all(|token| !text.contains(token)), "{text}");
    }
}
