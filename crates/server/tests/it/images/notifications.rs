//! Webhook messages about pushes, tags and deletes, in the form in which Pub/Sub pushes them.

mod documented;
mod processes;

use identity::Clock;
use meta::outbox;
use model::media_type::OCI_MANIFEST;
use serde_json::json;

use super::{R1, api_path, image_path, push_image, put_tag, set_up_repository, version_body};
use crate::gc::collect_garbage;
use crate::util::accounts::PROJECT;
use crate::util::google::repository_name;
use crate::util::receiver::ReceivedRequest;
use crate::util::{
    AccountServer, Backend, Image, Receiver, ReceiverAnswer, StartOn, TestServer, on_both,
};

const IMAGE: &str = "p/r1/image";

/// A server with accounts, and a receiver of all its messages.
struct NotifiedAccounts {
    accounts: AccountServer,
    receiver: Receiver,
}

impl StartOn for NotifiedAccounts {
    async fn start(backend: Backend) -> Self {
        let receiver = Receiver::start().await;
        let accounts =
            AccountServer::start_with(backend, |config| receiver.configure(config)).await;
        Self { accounts, receiver }
    }
}

/// A server without accounts, and a receiver of all its messages.
struct NotifiedServer {
    server: TestServer,
    receiver: Receiver,
}

impl StartOn for NotifiedServer {
    async fn start(backend: Backend) -> Self {
        let receiver = Receiver::start().await;
        let server = TestServer::start_with(backend, |config| {
            receiver.configure(config);
            config.gc.interval = "100ms".parse().expect("a span");
        })
        .await;
        Self { server, receiver }
    }
}

impl NotifiedServer {
    /// Pushes images under the tags `1`, `2`, ….
    async fn push_images(&self, count: u64) {
        for seed in 1..=count {
            Image::new(seed).push(&self.server.admin(), (IMAGE, &seed.to_string())).await;
        }
    }
}

/// The tags in messages.
fn notified_tags(heard: &[ReceivedRequest]) -> Vec<String> {
    let tag = |heard: &ReceivedRequest| {
        let data = heard.message_data();
        data["tag"].as_str().and_then(|tag| tag.rsplit(':').next()).unwrap_or_default().to_owned()
    };
    heard.iter().map(tag).collect()
}

on_both![
    each_change_sends_a_message_in_the_form_of_artifact_registry,
    deleting_an_image_or_repository_sends_a_message_for_each_version,
    a_receiver_that_was_down_misses_no_message,
    one_refused_message_does_not_delay_the_others,
    a_receiver_may_answer_nothing_or_too_much,
    a_message_that_is_not_accepted_is_dropped_after_a_week,
    without_webhooks_no_message_is_stored
];

async fn each_change_sends_a_message_in_the_form_of_artifact_registry(told: NotifiedAccounts) {
    let NotifiedAccounts { accounts, receiver } = &told;
    let owner = set_up_repository(accounts).await;
    let (first, second, third) = (Image::new(1), Image::new(2), Image::new(3));
    let uri =
        format!("us-west1-docker.localhost:{}/{PROJECT}/{R1}/a/b", accounts.server.address.port());
    let digest = |image: &Image| format!("{uri}@{}", image.digest());
    let named = |tag: &str| format!("{uri}:{tag}");
    let inserted =
        |image, tag| json!({ "action": "INSERT", "digest": digest(image), "tag": named(tag) });
    let mut expected = Vec::new();

    push_image(owner, "a/b", "1.0", &first).await;
    expected.push(inserted(&first, "1.0"));
    // A push that changes nothing sends no message.
    push_image(owner, "a/b", "1.0", &first).await;
    push_image(owner, "a/b", &first.digest(), &first).await;
    put_tag(owner, "a/b", "2.0", &first).await.expect_status(201);
    expected.push(inserted(&first, "2.0"));
    push_image(owner, "a/b", &second.digest(), &second).await;
    expected.push(json!({ "action": "INSERT", "digest": digest(&second) }));
    third.push_blobs(&owner.client, &image_path("a/b")).await;
    let both = format!("{}?tag=3.0&tag=3.1", third.digest());
    owner
        .client
        .push_manifest((&image_path("a/b"), &both), OCI_MANIFEST, third.manifest.clone())
        .await
        .expect_status(201);
    expected.extend([inserted(&third, "3.0"), inserted(&third, "3.1")]);
    // The message about a tag that moves has the new digest.
    put_tag(owner, "a/b", "2.0", &second).await.expect_status(201);
    expected.push(inserted(&second, "2.0"));

    let tags = api_path("packages/a%2Fb/tags");
    owner
        .post(&format!("{tags}?tagId=stable"), &version_body("a%2Fb", &first))
        .await
        .expect_status(200);
    expected.push(inserted(&first, "stable"));
    for _ in 0..2 {
        let moved = owner
            .patch(&format!("{tags}/stable?updateMask=version"), &version_body("a%2Fb", &second))
            .await;
        moved.expect_status(200);
    }
    expected.push(inserted(&second, "stable"));
    owner.delete(&format!("{tags}/stable")).await.expect_status(200);
    expected.push(json!({ "action": "DELETE", "tag": named("stable") }));
    let manifests = format!("/v2/{}/manifests", image_path("a/b"));
    owner.client.delete(&format!("{manifests}/3.1")).await.expect_status(202);
    expected.push(json!({ "action": "DELETE", "tag": named("3.1") }));
    owner.client.delete(&format!("{manifests}/{}", first.digest())).await.expect_status(202);
    expected.push(json!({ "action": "DELETE", "tag": named("1.0") }));
    expected.push(json!({ "action": "DELETE", "digest": digest(&first) }));
    owner
        .delete(&format!(
            "{}?force=true",
            api_path(&format!("packages/a%2Fb/versions/{}", second.digest()))
        ))
        .await
        .expect_status(200);
    expected.push(json!({ "action": "DELETE", "tag": named("2.0") }));
    expected.push(json!({ "action": "DELETE", "digest": digest(&second) }));
    // A request that was refused sends no message.
    owner.client.delete(&format!("{manifests}/4.0")).await.expect_status(404);
    put_tag(owner, "a/b", "9", &third).await.expect_status(201);
    expected.push(inserted(&third, "9"));

    let heard = receiver.wait_for_taken(expected.len()).await;
    assert_eq!(heard.iter().map(ReceivedRequest::message_data).collect::<Vec<_>>(), expected);
    for heard in &heard {
        let message = &heard.body["message"];
        assert_eq!(heard.body["subscription"], format!("projects/{PROJECT}/subscriptions/w"));
        assert_eq!(message["message_id"], message["messageId"]);
        assert_eq!(message["publish_time"], message["publishTime"]);
        let time: jiff::Timestamp =
            message["publishTime"].as_str().expect("text").parse().expect("a time");
        assert!((accounts.server.clock.now() - time.as_microsecond()).abs() < 60_000_000);
        assert_eq!(heard.headers["content-type"], "application/json");
        assert!(!heard.headers.contains_key("authorization"));
    }
    let ids: std::collections::BTreeSet<_> =
        heard.iter().map(|heard| heard.body["message"]["messageId"].to_string()).collect();
    assert_eq!(ids.len(), heard.len());
}

async fn deleting_an_image_or_repository_sends_a_message_for_each_version(told: NotifiedAccounts) {
    let NotifiedAccounts { accounts, receiver } = &told;
    let owner = set_up_repository(accounts).await;
    let (first, second, third) = (Image::new(1), Image::new(2), Image::new(3));
    push_image(owner, "a/b", "1", &first).await;
    push_image(owner, "a/b", &second.digest(), &second).await;
    push_image(owner, "other", "2", &third).await;
    receiver.wait_for_taken(3).await;
    owner.delete(&api_path("packages/a%2Fb")).await.expect_status(200);
    // The version is pushed again before its old rows are deleted. A message about its delete would be wrong.
    push_image(owner, "a/b", &second.digest(), &second).await;
    receiver.wait_for_taken(4).await;
    collect_garbage(&accounts.server).await;
    let uri =
        format!("us-west1-docker.localhost:{}/{PROJECT}/{R1}", accounts.server.address.port());
    let tag = |name: &str| json!({ "action": "DELETE", "tag": format!("{uri}/{name}") });
    let digest = |name: &str, image: &Image| {
        let digest = format!("{uri}/{name}@{}", image.digest());
        json!({ "action": "DELETE", "digest": digest })
    };
    let heard = receiver.wait_for_taken(6).await;
    let data: Vec<_> = heard[4..].iter().map(ReceivedRequest::message_data).collect();
    assert_eq!(data, [tag("a/b:1"), digest("a/b", &first)]);
    owner.delete(&format!("/v1/{}", repository_name(PROJECT, R1))).await.expect_status(200);
    collect_garbage(&accounts.server).await;
    let heard = receiver.wait_for_taken(9).await;
    let mut data: Vec<_> = heard[6..].iter().map(ReceivedRequest::message_data).collect();
    assert_eq!(data.remove(0), tag("other:2"));
    data.sort_by_key(|data| data["digest"].to_string());
    assert_eq!(data, [digest("a/b", &second), digest("other", &third)]);
}

async fn a_receiver_that_was_down_misses_no_message(told: NotifiedServer) {
    let NotifiedServer { server, receiver } = &told;
    receiver.set_answer(ReceiverAnswer::Status(500));
    told.push_images(3).await;
    server.wait_for_metrics("berth_notifications_failed_total{webhook=\"w\"} 1").await;
    receiver.set_answer(ReceiverAnswer::Cut);
    server.wait_for_metrics("berth_notifications_failed_total{webhook=\"w\"} 2").await;
    server.wait_for_metrics("berth_notifications_waiting{webhook=\"w\"} 3").await;
    receiver.set_answer(ReceiverAnswer::Take);
    assert_eq!(notified_tags(&receiver.wait_for_taken(3).await), ["1", "2", "3"]);
    server.wait_for_metrics("berth_notifications_delivered_total{webhook=\"w\"} 3").await;
    server.wait_for_metrics("berth_notifications_waiting{webhook=\"w\"} 0").await;
    let heard = receiver.all_requests();
    assert_eq!(notified_tags(&heard), ["1", "1", "1", "2", "3"]);
    assert_eq!(heard[0].body, heard[2].body, "it is the same message, as often as it is sent");
}

async fn one_refused_message_does_not_delay_the_others(told: NotifiedServer) {
    let NotifiedServer { server, receiver } = &told;
    receiver.set_answer(ReceiverAnswer::Refuse(":2\""));
    told.push_images(4).await;
    assert_eq!(notified_tags(&receiver.wait_for_taken(3).await), ["1", "3", "4"]);
    // The message is put off, and not dropped.
    server.wait_for_metrics("berth_notifications_waiting{webhook=\"w\"} 1").await;
    receiver.set_answer(ReceiverAnswer::Take);
    server.clock.advance_seconds(601);
    assert_eq!(notified_tags(&receiver.wait_for_taken(4).await), ["1", "3", "4", "2"]);
}

async fn a_receiver_may_answer_nothing_or_too_much(told: NotifiedServer) {
    let NotifiedServer { server, receiver } = &told;
    receiver.set_answer(ReceiverAnswer::Hang);
    told.push_images(2).await;
    server.wait_for_metrics("berth_notifications_failed_total{webhook=\"w\"} 1").await;
    receiver.set_answer(ReceiverAnswer::Endless);
    assert_eq!(notified_tags(&receiver.wait_for_taken(2).await), ["1", "2"]);
    server.wait_for_metrics("berth_notifications_waiting{webhook=\"w\"} 0").await;
}

async fn a_message_that_is_not_accepted_is_dropped_after_a_week(told: NotifiedServer) {
    let NotifiedServer { server, receiver } = &told;
    receiver.set_answer(ReceiverAnswer::Status(503));
    told.push_images(2).await;
    server.wait_for_metrics("berth_notifications_waiting{webhook=\"w\"} 2").await;
    server.clock.advance_hours(7 * 24 - 1);
    Image::new(3).push(&server.admin(), (IMAGE, "3")).await;
    server.clock.advance_hours(2);
    server.wait_for_metrics("berth_notifications_dropped_total{webhook=\"w\"} 2").await;
    receiver.set_answer(ReceiverAnswer::Take);
    assert_eq!(notified_tags(&receiver.wait_for_taken(1).await), ["3"]);
}

async fn without_webhooks_no_message_is_stored(server: TestServer) {
    Image::new(1).push(&server.admin(), (IMAGE, "1")).await;
    server
        .admin()
        .delete(&format!("/v2/{IMAGE}/manifests/{}", Image::new(1).digest()))
        .await
        .expect_status(202);
    let rows = server.open_meta().await.write(|tx| outbox::delete_old(tx, i64::MAX, 10)).await;
    assert_eq!(rows.expect("writable"), Vec::<String>::new());
}

/// Each webhook gets the messages of its own projects and repositories. A webhook that is down does not delay the
/// others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_webhook_gets_its_own_messages() {
    let (all, some, down) =
        (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    down.set_answer(ReceiverAnswer::Status(503));
    let secret = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(&secret, "one-of-ours\n").expect("writable");
    let server = TestServer::start_with(Backend::Sqlite, |config| {
        all.configure(config);
        down.configure(config);
        config.notifications[1].name = "down".to_owned();
        config.notifications[1].projects = vec!["other".to_owned(), "p".to_owned()];
        some.configure(config);
        let some = &mut config.notifications[2];
        some.name = "some".to_owned();
        some.repositories = vec!["projects/p/locations/us-west1/repositories/r2".to_owned()];
        some.subscription = "projects/p/subscriptions/mine".to_owned();
        some.token_file = secret.path().to_owned();
    })
    .await;
    let admin = server.admin();
    Image::new(1).push(&admin, ("p/r1/image", "1")).await;
    Image::new(2).push(&admin, ("p/r2/image", "2")).await;
    Image::new(3).push(&admin, ("q/r2/image", "3")).await;
    assert_eq!(notified_tags(&all.wait_for_taken(3).await), ["1", "2", "3"]);
    let heard = some.wait_for_taken(1).await;
    assert_eq!(notified_tags(&heard), ["2"]);
    assert_eq!(heard[0].body["subscription"], "projects/p/subscriptions/mine");
    assert_eq!(heard[0].headers["authorization"], "Bearer one-of-ours");
    server.wait_for_metrics("berth_notifications_waiting{webhook=\"down\"} 2").await;
    assert_eq!(some.all_requests().len(), 1);
}
