//! Tests of which URLs are accepted, and to which addresses a name resolves. The tests of the front door check that
//! redirects are not followed.

use super::*;
use crate::config::EgressSettings;

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn rules(allow: &[&str]) -> EgressRules {
    let settings = EgressSettings { allow: texts(allow), ..EgressSettings::default() };
    EgressRules::read(&settings, &[]).expect("settings")
}

#[track_caller]
fn check(url: &str, entries: &[&str], expected: Option<&str>) {
    let refused = EgressTarget::new(url, &rules(entries)).err().map(|error| error.to_string());
    match (&refused, expected) {
        (None, None) => {}
        (Some(refused), Some(expected)) => assert!(refused.contains(expected), "{url}: {refused}"),
        _ => panic!("{url}: {refused:?}"),
    }
}

#[test]
fn urls() {
    check("https://hooks.example.com/a?b=c", &[], None);
    check("https://1.1.1.1/", &[], None);
    check("https://[2606:4700:4700::1111]:8443/", &[], None);
    // The addresses of the name decide, when it is resolved.
    check("http://hooks.example.com/", &[], None);
    check("http://1.1.1.1/", &[], Some("without encryption"));
    check("http://1.1.1.1/", &["1.1.1.1:80"], None);
    for url in [
        "",
        "hooks",
        "/hooks",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "data:,",
        "gopher://a/",
    ] {
        check(url, &["0.0.0.0/0", "::/0"], Some("is no URL"));
    }
    for url in [
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://:password@example.com/",
    ] {
        check(url, &["0.0.0.0/0"], Some("user name"));
    }
    let within = [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "127.0.0.1.",
        "0",
        "10.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[::]",
        "[::ffff:169.254.169.254]",
        "[::ffff:7f00:1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "168.63.129.16",
        "\u{ff11}27.0.0.1",
    ];
    for host in within {
        check(&format!("https://{host}/"), &[], Some("egress.allow"));
        check(&format!("http://{host}:8080/"), &["8.8.8.8"], Some("egress.allow"));
    }
    check("http://127.1:8080/", &["127.0.0.1:8080"], None);
    check("http://127.1:8081/", &["127.0.0.1:8080"], Some("egress.allow"));
    check("http://[::ffff:10.0.0.1]/", &["10.0.0.0/8"], None);
}

fn rule(entries: &[&str], scheme: &str) -> Arc<EgressRule> {
    Arc::new(EgressRule { allow: rules(entries).allow, port: 443, encrypted: scheme == "https" })
}

/// Returns the addresses that are left of those of a name.
async fn resolve(rule: &Arc<EgressRule>, lookup: VettingResolver) -> Result<Vec<IpAddr>, String> {
    let vetted = VettedAddresses { rule: rule.clone(), lookup };
    let found = vetted.resolve("hooks.example.com".parse().expect("a name")).await;
    let found = found.map_err(|error| error.to_string())?;
    Ok(found.map(|address| address.ip()).collect())
}

#[tokio::test]
async fn a_name_is_what_it_turns_out_to_be() {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    let inside: VettingResolver = |_| Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) });
    let both: VettingResolver =
        |_| Box::pin(async { Ok(vec![IpAddr::from([10, 0, 0, 1]), IpAddr::from([1, 1, 1, 1])]) });
    let none: VettingResolver = |_| Box::pin(async { Ok(Vec::new()) });
    let closed = rule(&[], "https");
    let refused = resolve(&closed, inside).await.expect_err("it is this machine");
    assert!(refused.contains("127.0.0.1"), "{refused}");
    assert_eq!(resolve(&closed, both).await, Ok(vec![ip("1.1.1.1")]));
    assert_eq!(resolve(&closed, none).await, Ok(Vec::new()));
    let refused = resolve(&rule(&[], "http"), both).await.expect_err("nothing is encrypted");
    assert!(refused.contains("encryption"), "{refused}");
    assert_eq!(resolve(&rule(&["10.0.0.0/8"], "http"), both).await, Ok(vec![ip("10.0.0.1")]));
    assert_eq!(
        resolve(&rule(&["hooks.example.com"], "https"), inside).await,
        Ok(vec![ip("127.0.0.1")])
    );
}

#[track_caller]
fn check_proxied(url: &str, expected: &str) {
    let settings = EgressSettings {
        allow: texts(&["*.example.com", "plain.test:80", "10.0.0.1"]),
        proxy: "http://user:secret@proxy.test:3128".to_owned(),
        no_proxy: texts(&["near.test", "192.168.0.0/16"]),
        ..EgressSettings::default()
    };
    let rules = EgressRules::read(&settings, &[]).expect("settings");
    let url = Url::parse(url).expect("a URL");
    let way = match check_target(&url, &rules) {
        Ok(CheckedTarget { proxy: Some(_), .. }) => "proxied".to_owned(),
        Ok(CheckedTarget { proxy: None, .. }) => "direct".to_owned(),
        Err(refused) => refused.to_string(),
    };
    assert!(way.contains(expected), "{url}: {way}");
}

#[test]
fn names_behind_a_proxy_are_vetted_and_addresses_are_too() {
    check_proxied("https://a.example.com/", "proxied");
    check_proxied("http://a.example.com:8080/", "proxied");
    check_proxied("http://plain.test/", "proxied");
    check_proxied("https://plain.test/", "needs the name in egress.allow");
    check_proxied("https://other.test/", "needs the name in egress.allow");
    check_proxied("https://metadata.google.internal/", "needs the name in egress.allow");
    check_proxied("https://1.1.1.1/", "proxied");
    check_proxied("https://10.0.0.1/", "proxied");
    check_proxied("https://10.0.0.2/", "egress.allow can open it");
    check_proxied("https://169.254.169.254/", "egress.allow can open it");
    check_proxied("https://192.168.1.1/", "egress.allow can open it");
    // Their addresses are vetted when they are known.
    check_proxied("https://near.test/", "direct");
    check_proxied("https://localhost/", "direct");
}

#[test]
fn settings_that_cannot_work_are_named() {
    let refused = |settings: EgressSettings| {
        format!("{:#}", EgressRules::read(&settings, &[]).expect_err("wrong"))
    };
    for proxy in ["proxy:3128", "https://proxy.test", "socks5://a", "http://", "http://a/path"] {
        let proxy = proxy.to_owned();
        let text = refused(EgressSettings { proxy, ..EgressSettings::default() });
        assert!(text.starts_with("egress.proxy: is no URL of a proxy"), "{text}");
    }
    let no_proxy = texts(&["a b"]);
    let text = refused(EgressSettings { no_proxy, ..EgressSettings::default() });
    assert!(text.starts_with("egress.no_proxy: \"a b\""), "{text}");
}
