//! Two writers race for an immutable tag many times. One of them wins, and its digest stays.

use std::collections::BTreeMap;

use model::media_type::OCI_MANIFEST;
use serde_json::json;

use super::list_all;
use crate::util::google::repository_name;
use crate::util::process::BerthProcess;
use crate::util::{Backend, Client, GoogleClient, Image, test_rounds};

const PROJECT: &str = "p";
const IMAGE: &str = "p/race/image";

/// The usual number of races. `TEST_ROUNDS=10000` makes a long run.
const RACES: usize = 60;

fn google_client(berth: &BerthProcess) -> GoogleClient {
    GoogleClient::new(&Client::new(berth.listen_address()), "any", "anybody@example.com")
}

/// One writer pushes. The other one pushes as well, or creates the tag by the API.
async fn race_for_tags(one: &GoogleClient, other: &GoogleClient) {
    let path = format!("/v1/projects/{PROJECT}/locations/us-west1/repositories?repositoryId=race");
    let immutable = json!({ "format": "DOCKER", "dockerConfig": { "immutableTags": true } });
    one.post(&path, &immutable).await.expect_status(200);
    let (first, second) = (Image::new(1), Image::new(2));
    for image in [&first, &second] {
        image.push(&one.client, (IMAGE, &image.digest())).await;
    }
    let package = format!("{}/packages/image", repository_name(PROJECT, "race"));
    let version = json!({ "version": format!("{package}/versions/{}", second.digest()) });
    let mut winners = BTreeMap::new();
    for round in 0..test_rounds(RACES) {
        let tag = format!("v{round}");
        let pushed = one.client.push_manifest((IMAGE, &tag), OCI_MANIFEST, first.manifest.clone());
        let made = async {
            if round % 2 == 0 {
                other
                    .client
                    .push_manifest((IMAGE, &tag), OCI_MANIFEST, second.manifest.clone())
                    .await
            } else {
                other.post(&format!("/v1/{package}/tags?tagId={tag}"), &version).await
            }
        };
        let (pushed, made) = tokio::join!(pushed, made);
        let winner = match (pushed.status.is_success(), made.status.is_success()) {
            (true, false) => &first,
            (false, true) => &second,
            both => panic!("{tag}: {both:?}\n{pushed:#?}\n{made:#?}"),
        };
        for reader in [one, other] {
            let held = reader
                .client
                .head(&format!("/v2/{IMAGE}/manifests/{tag}"))
                .await
                .expect_status(200);
            assert_eq!(held.header("docker-content-digest"), winner.digest(), "{tag}");
        }
        winners.insert(format!("{package}/tags/{tag}"), winner.digest());
    }
    for reader in [one, other] {
        let (tags, _) = list_all(reader, &format!("/v1/{package}/tags"), "tags").await;
        let held: BTreeMap<String, String> = tags
            .iter()
            .map(|tag| {
                (tag["name"].as_str().expect("text"), tag["version"].as_str().expect("text"))
            })
            .map(|(name, version)| {
                (name.to_owned(), version.rsplit('/').next().expect("a digest").to_owned())
            })
            .collect();
        assert_eq!(held, winners);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_writer_wins_in_one_process_on_sqlite() {
    let data = tempfile::tempdir().expect("a folder");
    let berth = BerthProcess::start(data.path(), &Backend::Sqlite).await;
    race_for_tags(&google_client(&berth), &google_client(&berth)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_writer_wins_in_two_processes_on_postgres() {
    let Some(backend) = Backend::postgres().await else {
        println!("SKIPPED: TEST_POSTGRES_URL is not set");
        return;
    };
    let data = tempfile::tempdir().expect("a folder");
    let (one, other) = (
        BerthProcess::start(data.path(), &backend).await,
        BerthProcess::start(data.path(), &backend).await,
    );
    race_for_tags(&google_client(&one), &google_client(&other)).await;
}
