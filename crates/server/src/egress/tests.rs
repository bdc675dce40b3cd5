//! Tests of which URLs are accepted, and to which addresses a name resolves. The tests of the front door check that
//! redirects are not followed.

use super::*;

fn allow(entries: &[&str]) -> Arc<AllowList> {
    let entries: Vec<_> = entries.iter().map(|entry| (*entry).to_owned()).collect();
    Arc::new(AllowList::new(&entries).expect("entries"))
}

#[track_caller]
fn check(url: &str, entries: &[&str], expected: Option<&str>) {
    let refused = EgressTarget::new(url, &allow(entries)).err().map(|error| error.to_string());
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
    Arc::new(EgressRule { allow: allow(entries), port: 443, encrypted: scheme == "https" })
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
