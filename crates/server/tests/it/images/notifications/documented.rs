//! The examples in `docs/notifications.md` work.

use berth_server::config::Config;
use serde_json::Value;

use super::IMAGE;
use crate::util::{Backend, Image, Receiver, TestServer};

const PAGE: &str = include_str!("../../../../../../docs/notifications.md");

/// The first code block of a language below a heading.
fn code_block(heading: &str, language: &str) -> &'static str {
    let (_, below) = PAGE.split_once(&format!("\n## {heading}\n")).expect("a heading");
    let (_, block) = below.split_once(&format!("```{language}\n")).expect("a block");
    block.split_once("```").expect("it ends").0
}

/// Collects the names in a JSON value. A nested name has its parents' names before it.
fn collect_names(value: &Value, place: &str, into: &mut Vec<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        into.push(format!("{place}.{name}"));
        collect_names(value, &format!("{place}.{name}"), into);
    }
}

fn field_names(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_names(value, "", &mut found);
    found
}

#[tokio::test]
async fn the_documented_examples_work() {
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, token) = (folder.path().join("berth.toml"), folder.path().join("token"));
    std::fs::write(&token, "from-the-file").expect("writable");
    let settings = code_block("Set it up", "toml")
        .replace("https://deploy.example.com", &format!("http://{}", receiver.address))
        .replace("/etc/berth/deploy-token", token.to_str().expect("plain"));
    std::fs::write(&file, settings).expect("writable");
    let read = Config::read(Some(&file), std::iter::empty()).expect("valid settings");
    let server = TestServer::start_with(Backend::Sqlite, |config| {
        config.notifications = read.notifications;
        config.egress.allow = vec![receiver.address.to_string()];
    })
    .await;
    Image::new(1).push(&server.admin(), (IMAGE, "1.1")).await;
    let heard = receiver.wait_for_taken(1).await.remove(0);
    assert_eq!(heard.headers["authorization"], "Bearer from-the-file");
    let shown: Value = serde_json::from_str(code_block("What is sent", "json")).expect("JSON");
    assert_eq!(field_names(&heard.body), field_names(&shown));
    assert_eq!(heard.body["subscription"], "projects/p/subscriptions/deploy");
    let (_, after) = PAGE.split_once("`data` is").expect("what is in it");
    let (_, data) = after.split_once("```json\n").expect("a block");
    let data: Value =
        serde_json::from_str(data.split_once("```").expect("it ends").0).expect("JSON");
    assert_eq!(field_names(&heard.message_data()), field_names(&data));
}
