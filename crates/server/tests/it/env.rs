//! The output of `berth env` for a shell. A shell does not go on after a failure.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::util::Backend;
use crate::util::process::{BerthProcess, berth_command, run_berth, run_shell};

/// The output of the command with this home folder and these variables.
fn env_output(home: &Path, url: &str, variables: &[(&str, &str)]) -> String {
    let mut command = berth_command(&["env", "--url", url]);
    command.env("HOME", home).envs(variables.iter().copied());
    command_output(&mut command)
}

fn command_output(command: &mut Command) -> String {
    for variable in ["XDG_CONFIG_HOME", "CLOUDSDK_CONFIG", "CLOUDSDK_ACTIVE_CONFIG_NAME"] {
        if !command.get_envs().any(|(name, _)| name == variable) {
            command.env_remove(variable);
        }
    }
    String::from_utf8(command.output().expect("it runs").stdout).expect("text")
}

/// gcloud accepts only image hosts that end with the domain after the location.
#[test]
fn the_domain_is_taken_from_the_url() {
    for (url, domain) in [
        ("https://us-west1-docker.example.com/", "example.com"),
        ("https://US-west1-docker.example.com", "example.com"),
        ("https://docker.us-west1.rep.example.com:8443", "example.com:8443"),
        ("https://registry.example.com", "localhost"),
        ("http://127.0.0.1:5050", "localhost:5050"),
        ("http://[::1]", "localhost"),
    ] {
        let said = String::from_utf8(run_berth(&["env", "--url", url]).stdout).expect("text");
        let expected = format!("export CLOUDSDK_ARTIFACTS_DOMAIN='{domain}'\n");
        assert!(said.contains(&expected), "{url}: {said}");
    }
}

/// gcloud keeps the signed-in account in a folder. Each registry gets a folder of its own, so that signing in here
/// signs nobody out elsewhere.
#[test]
fn gcloud_gets_a_configuration_of_its_own() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let home = home.path();
    let folder = |line: &str| {
        let found = line.lines().find_map(|line| line.strip_prefix("export CLOUDSDK_CONFIG="));
        found.map(|folder| folder.trim_matches('\'').to_owned())
    };
    let (here, there) = ("http://127.0.0.1:5050", "https://[::1]:8443/");
    let own = home.join(".config/berth/gcloud");
    let first = folder(&env_output(home, here, &[])).expect("one");
    assert_eq!(Path::new(&first), own.join("127.0.0.1_5050"));
    let second = folder(&env_output(home, there, &[])).expect("another one");
    assert_eq!(Path::new(&second), own.join("__1_8443"));
    // The command runs twice in the same shell.
    let said = env_output(home, there, &[("CLOUDSDK_CONFIG", &first)]);
    assert_eq!(folder(&said), Some(second));
    // A folder that the user has chosen is kept.
    assert_eq!(folder(&env_output(home, here, &[("CLOUDSDK_CONFIG", "/elsewhere")])), None);
    assert_eq!(folder(&env_output(home, here, &[("CLOUDSDK_CONFIG", "")])), Some(first.clone()));
    let said = env_output(home, here, &[("XDG_CONFIG_HOME", "/elsewhere")]);
    assert_eq!(folder(&said).as_deref(), Some("/elsewhere/berth/gcloud/127.0.0.1_5050"));
    // The name of an old configuration means nothing in a new folder.
    let named = ("CLOUDSDK_ACTIVE_CONFIG_NAME", "work");
    assert!(env_output(home, here, &[named]).contains("\nunset CLOUDSDK_ACTIVE_CONFIG_NAME\n"));
    let said = env_output(home, here, &[named, ("CLOUDSDK_CONFIG", "/elsewhere")]);
    assert!(!said.contains("unset"), "{said}");
    assert!(!home.join(".config").exists(), "nothing is changed on the machine");
}

/// The file of an old key may name another address, to which gcloud would send its requests.
#[test]
fn gcloud_asks_this_registry_for_tokens() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let said = env_output(home.path(), "https://registry.example.com/", &[]);
    let expected = "export CLOUDSDK_AUTH_TOKEN_HOST='https://registry.example.com/token'\n";
    assert!(said.contains(expected), "{said}");
}

/// Evaluating an empty output succeeds, and the shell would run gcloud against Google after `&&`.
#[tokio::test]
async fn a_shell_does_not_go_on_where_it_fails() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let nothing = folder.path().join("nothing");
    let nothing = nothing.to_str().expect("plain");
    for arguments in [
        &["env", "--data", nothing][..],
        &["env", "--url", "registry.example.com"],
        &["env", "--url", "https://registry.example.com", "--ca", nothing],
        &["env", "--config", nothing],
        &["env", "--no-such-flag"],
        &["env", "--url"],
        &["env", "extra"],
    ] {
        let output = run_berth(arguments);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "false\n", "{arguments:?}");
        assert!(!output.status.success() && !output.stderr.is_empty(), "{arguments:?}");
    }
    let mut misspelt = berth_command(&["env", "--url", "https://registry.example.com"]);
    assert_eq!(command_output(misspelt.env("BERTH_LISEN", "x")), "false\n");
    let help = run_berth(&["env", "--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--ca"));
    let script = "eval \"$(\"$BERTH\" env --data \"$DATA\" 2>/dev/null)\" && echo went on";
    let went_on = |data: &str| {
        let output = run_shell(script, &[("DATA", data)]);
        String::from_utf8_lossy(&output.stdout).contains("went on")
    };
    assert!(!went_on(nothing));
    let server = BerthProcess::start(folder.path(), &Backend::Sqlite).await;
    assert!(went_on(folder.path().to_str().expect("plain")));
    drop(server);
    assert!(!went_on(folder.path().to_str().expect("plain")), "it runs no more");
}

/// gcloud needs no account if the server needs none.
#[tokio::test]
async fn the_environment_of_a_development_server_asks_for_no_account() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, arguments, disabled) in
        [("dev", &["serve", "--dev"][..], "true"), ("accounts", &["serve"], "false")]
    {
        let data = folder.path().join(name);
        let berth =
            BerthProcess::spawn(&data, berth_command(arguments).stderr(Stdio::null())).await;
        let said = run_berth(&["env", "--data", data.to_str().expect("text")]);
        let said = String::from_utf8(said.stdout).expect("text");
        let expected = format!("export CLOUDSDK_AUTH_DISABLE_CREDENTIALS={disabled}\n");
        assert!(said.contains(&expected), "{said}");
        drop(berth);
    }
    // The command knows nothing about the server of another machine.
    let said = String::from_utf8(run_berth(&["env", "--url", "http://127.0.0.1:5050"]).stdout)
        .expect("text");
    assert!(!said.contains("DISABLE_CREDENTIALS"), "{said}");
}
