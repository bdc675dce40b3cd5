//! Settings from a file and from variables.

use std::time::Duration;

use super::*;

fn read(file: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("berth.toml");
    std::fs::write(&path, file).expect("writable");
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::read(Some(&path), variables).map_err(|error| format!("{error:#}"))
}

#[test]
fn variables_override_the_file() {
    let file = "listen = \"127.0.0.1:1\"\n[gc]\ngrace = \"2h\"\nretention = \"0s\"\n";
    let config = read(file, &[("BERTH_GC_GRACE", "30m"), ("HOME", "/")]).expect("valid");
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.gc.grace.get(), Duration::from_secs(1800));
    assert_eq!(config.gc.retention.get(), Duration::ZERO);
    assert_eq!(config.gc.interval.get(), Duration::from_secs(300));
    let config = read("", &[("BERTH_NEW_REPOSITORIES_SPARSE", "true")]).expect("valid");
    assert!(config.new_repositories.sparse);
    assert_eq!(config.new_repositories.on_push, OnPush::RegistryHosts);
    let config = read("", &[("BERTH_NEW_REPOSITORIES_ON_PUSH", "always")]).expect("valid");
    assert_eq!(config.new_repositories.on_push, OnPush::Always);
    let config = read("", &[("BERTH_OPS_LISTEN", "off")]).expect("valid");
    assert_eq!(config.ops_listen, OpsListen::Off);
    let webhook = "[{ name = \"w\", url = \"https://hooks.example.com/secret\" }]";
    let config = read("", &[("BERTH_NOTIFICATIONS", webhook)]).expect("valid");
    assert_eq!(config.notifications[0].name, "w");
    assert!(!format!("{config:?}").contains("secret"), "a URL may be one");
    let variables = [("BERTH_AUDIT_FILE", "-"), ("BERTH_AUDIT_READS", "true")];
    let config = read("[audit]\nfile = \"off\"", &variables).expect("valid");
    assert_eq!((config.audit.file, config.audit.reads), (AuditFile::StandardError, true));
}

#[test]
fn unknown_keys_are_named() {
    assert!(read("lisen = 5", &[]).expect_err("misspelt").contains("lisen"));
    assert!(read("[gc]\ngrase = \"1s\"", &[]).expect_err("misspelt").contains("grase"));
    assert!(read("[[notifications]]\nurll = \"x\"", &[]).expect_err("misspelt").contains("urll"));
    let error = read("", &[("BERTH_LISEN", "x")]).expect_err("misspelt");
    assert!(error.contains("BERTH_LISEN"));
    assert!(read("[gc]\ngrace = \"soon\"", &[]).expect_err("no span").contains("soon"));
    assert!(read("default_location = \"A\"", &[]).expect_err("capital").contains("\"A\""));
}

#[test]
fn values_that_break_something_are_named() {
    for (table, key, value) in [
        ("limits", "connections", "0"),
        ("limits", "connections", "9223372036854775807"),
        ("limits", "header_timeout", "\"0s\""),
        ("limits", "idle_timeout", "\"0ms\""),
        ("limits", "open_uploads", "0"),
        ("gc", "upload_expiry", "\"0s\""),
        ("audit", "file", "\"\""),
        ("tokens", "registry_lifetime", "\"59s\""),
        ("tokens", "registry_lifetime", "\"2h\""),
        ("sessions", "idle", "\"299s\""),
        ("sessions", "lifetime", "\"11h\""),
        ("sessions", "lifetime", "\"91d\""),
        ("new_repositories", "on_push", "\"pkg.dev\""),
        ("new_repositories", "on_push", "true"),
    ] {
        let error = read(&format!("[{table}]\n{key} = {value}"), &[]).expect_err("refused");
        assert!(error.contains(&format!("{table}.{key}")), "{error}");
    }
    read("[gc]\ngrace = \"0s\"\nretention = \"0s\"\ninterval = \"0s\"", &[]).expect("at once");
    read("[sessions]\nidle = \"5m\"\nlifetime = \"5m\"", &[]).expect("short");
    read("[limits]\nidle_timeout = \"36500d\"\ndrain_timeout = \"0s\"", &[]).expect("patient");
}

#[test]
fn a_value_that_cannot_work_is_named_with_its_place() {
    #[track_caller]
    fn check(outcome: Result<Config, String>, said: &[&str]) {
        let error = outcome.expect_err("refused");
        for text in said {
            assert!(error.contains(text), "{error:?} without {text:?}");
        }
    }
    let file = "# a comment\nexternal_url = \"registry.example.com\"\n";
    check(read(file, &[]), &["berth.toml, line 2: external_url", "no scheme"]);
    let variables = [("BERTH_EXTERNAL_URL", "https://h/reg")];
    check(read(file, &variables), &["BERTH_EXTERNAL_URL: external_url", "has a path"]);
    read(file, &[("BERTH_EXTERNAL_URL", "https://h")]).expect("it stands in place of the file's");
    let domains = "domains = [\n  \"a.example\",\n  \"https://b.example\",\n]";
    check(read(domains, &[]), &["line 1: domains", "https://b.example", "is a URL"]);
    check(read("default_location = \"mars\"", &[]), &["line 1: default_location", "mars"]);
    check(
        read("listen = \"127.0.0.1:1\"\n[limits]\n# few\nconnections = 0\n", &[]),
        &["line 4: limits.connections"],
    );
    check(read("limits.connections = 0", &[]), &["line 1: limits.connections"]);
    check(read("limits = { connections = 0 }", &[]), &["line 1: limits.connections"]);
    check(read("[tls]\ncertificate = \"c.pem\"", &[]), &["tls.key is missing"]);
    check(read("first_project = \"A\"", &[]), &["line 1: first_project"]);
    check(read("[log]\nlevel = \"info,=\"", &[]), &["line 2: log.level"]);
    check(read("[metadata]\naccount = \"me\"", &[]), &["line 2: metadata.account"]);
    check(read("listen = 5050", &[]), &["line 1: listen:", "expected"]);
    check(read("listen = \"localhost:1\"", &[]), &["line 1: listen:", "127.0.0.1:5050"]);
    check(read("\n[gc]\ngrace = 86400", &[]), &["line 3: gc.grace:", "no length of time"]);
    check(read("\nproxies = [\"10.0.0.0/33\"]", &[]), &["line 2: proxies:", "no network"]);
    check(read("\n[gc]\ngrase = \"1s\"", &[]), &["line 3: gc.grase:", "unknown field"]);
    check(read("a = \"", &[]), &["berth.toml is not valid", "line 1"]);
    let secret = "database = [\"postgres://user:secret@host\"]";
    assert!(!read(secret, &[]).err().unwrap_or_default().contains("secret"));
    check(read("", &[("BERTH_LISTEN", "5050")]), &["BERTH_LISTEN: listen", "127.0.0.1:5050"]);
    check(read("", &[("BERTH_GC_GRACE", "1")]), &["BERTH_GC_GRACE: gc.grace", "24h"]);
    check(read("", &[("BERTH_LIMITS_CONNECTIONS", "-1")]), &["BERTH_LIMITS_CONNECTIONS", "-1"]);
    check(read("", &[("BERTH_LIMITS_CONNECTIONS", "many")]), &["limits.connections", "many"]);
    check(read("", &[("BERTH_PROXIES", "10.0.0.1")]), &["BERTH_PROXIES: proxies"]);
    for variable in ["BERTH_NOTIFICATIONS", "BERTH_DATABASE"] {
        let secret = "[[\"postgres://user:secret@host\"]]";
        let error = read("", &[(variable, secret)]).map(|_| ()).err().unwrap_or_default();
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_text_that_looks_like_a_number_is_a_text() {
    let config = read("", &[("BERTH_DATA", "2026")]).expect("a folder");
    assert_eq!(config.data, PathBuf::from("2026"));
    let config = read("", &[("BERTH_PROXIES", "[\"10.0.0.0/8\", \"::1\"]")]).expect("a list");
    assert_eq!(config.proxies.len(), 2);
}

#[test]
fn variables_of_kubernetes_are_nothing_to_us() {
    let injected = [
        ("BERTH_PORT", "tcp://10.96.0.17:5050"),
        ("BERTH_SERVICE_HOST", "10.96.0.17"),
        ("BERTH_PORT_5050_TCP_ADDR", "10.96.0.17"),
        ("BERTH_OPS_SERVICE_PORT_METRICS", "5051"),
    ];
    let config = read("", &injected).expect("as if they were not there");
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    for (name, nearest) in [
        ("BERTH_PORT", "BERTH_LISTEN"),
        ("BERTH_EXTERNAL_URI", "BERTH_EXTERNAL_URL"),
        ("BERTH_GC_GRASE", "BERTH_GC_GRACE"),
    ] {
        let error = read("", &[(name, "5050")]).expect_err("no setting");
        assert!(error.contains(name) && error.contains(nearest), "{error}");
    }
}

#[test]
fn every_key_is_listed() {
    for key in KEYS {
        let (table, key) = key.split_once('.').unwrap_or(("", key));
        let toml = if table.is_empty() {
            format!("{key} = {{}}")
        } else {
            format!("[{table}]\n{key} = {{}}")
        };
        let error = read(&toml, &[]).expect_err("a table is no value of any setting");
        assert!(!error.contains("unknown field"), "{error}");
    }
}
