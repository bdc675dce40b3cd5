//! Content that a stored manifest names stays in the repository, in whatever order both came. The test makes random
//! changes and compares the outcome with a model.

use std::collections::{BTreeMap, BTreeSet};

use berth_server::config::Config;
use bytes::Bytes;
use model::media_type::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use serde_json::{Value, json};

use crate::gc::collect_garbage;
use crate::util::numbers::RandomNumbers;
use crate::util::{Backend, Client, TestServer, digest_of};

const IMAGE: &str = "p/r1/image";
const STEPS: u64 = 250;

/// A repository, and a model of its content.
struct RandomRegistry {
    admin: Client,
    numbers: RandomNumbers,
    sparse: bool,
    blobs: Vec<Bytes>,
    /// All manifests that were made, stored or not.
    made: Vec<Value>,
    /// The stored manifests by digest.
    stored: BTreeMap<String, Value>,
    /// The number of pushes that were accepted.
    accepted: usize,
    /// The blobs in the repository.
    here: BTreeSet<String>,
}

fn is_manifest(descriptor: &Value) -> bool {
    let types = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST];
    types.iter().any(|media_type| descriptor["mediaType"] == *media_type)
}

fn digest_in(descriptor: &Value) -> String {
    descriptor["digest"].as_str().expect("text").to_owned()
}

fn descriptors_in<'a>(manifest: &'a Value, field: &str) -> Vec<&'a Value> {
    match &manifest[field] {
        Value::Array(all) => all.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

/// The digests in a manifest that clients get as blobs.
fn named_blobs(manifest: &Value) -> BTreeSet<String> {
    let layers =
        descriptors_in(manifest, "config").into_iter().chain(descriptors_in(manifest, "layers"));
    let unknown = descriptors_in(manifest, "manifests")
        .into_iter()
        .chain(descriptors_in(manifest, "subject"));
    layers.chain(unknown.filter(|entry| !is_manifest(entry))).map(digest_in).collect()
}

/// The digests in a manifest, without its subject, that clients get as manifests.
fn named_manifests(manifest: &Value) -> BTreeSet<String> {
    let layers =
        descriptors_in(manifest, "config").into_iter().chain(descriptors_in(manifest, "layers"));
    let layers = layers.filter(|layer| is_manifest(layer));
    layers.chain(descriptors_in(manifest, "manifests")).map(digest_in).collect()
}

impl RandomRegistry {
    fn new(server: &TestServer, seed: u64, sparse: bool) -> Self {
        let blobs = (0..6_u64).map(|blob| Bytes::from(format!("{seed} {blob}"))).collect();
        let (made, stored, here) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        let (admin, numbers) = (server.admin(), RandomNumbers(seed));
        Self { admin, numbers, sparse, blobs, made, stored, accepted: 0, here }
    }

    fn random_descriptor(&mut self) -> Value {
        let numbers = &mut self.numbers;
        let bytes = if self.made.is_empty() || !numbers.is_one_in(3) {
            numbers.pick_one(&self.blobs).clone()
        } else {
            numbers.pick_one(&self.made).to_string().into()
        };
        let types = [
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.buildkit.cacheconfig.v0",
            "application/x-unknown",
            OCI_MANIFEST,
            OCI_INDEX,
            DOCKER_MANIFEST,
        ];
        let lie = usize::from(self.sparse && numbers.is_one_in(8));
        let mut descriptor = json!({
            "mediaType": numbers.pick_one(&types),
            "digest": digest_of(&bytes),
            "size": bytes.len() + lie,
        });
        if numbers.is_one_in(8) {
            descriptor["urls"] = json!(["https://example.com/elsewhere"]);
        }
        descriptor
    }

    fn random_manifest(&mut self) -> Value {
        let several = |world: &mut Self| {
            let count = world.numbers.next_below(4);
            (0..count).map(|_| world.random_descriptor()).collect::<Vec<_>>()
        };
        let mut manifest = if self.numbers.is_one_in(2) {
            let (config, layers) = (self.random_descriptor(), several(self));
            json!({
                "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers,
            })
        } else {
            json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": several(self) })
        };
        if self.numbers.is_one_in(4) {
            manifest["subject"] = self.random_descriptor();
        }
        manifest
    }

    async fn push_manifest_value(&mut self, manifest: Value) {
        let media_type = manifest["mediaType"].as_str().expect("text");
        let (text, reference) = (manifest.to_string(), digest_of(manifest.to_string()));
        let pushed = self.admin.push_manifest((IMAGE, &reference), media_type, text).await;
        match pushed.status.as_u16() {
            201 => {
                self.accepted += 1;
                self.stored.insert(reference, manifest);
            }
            400 => {}
            _ => panic!("{pushed:?}"),
        }
    }

    fn all_named(&self, what: fn(&Value) -> BTreeSet<String>) -> BTreeSet<String> {
        self.stored.values().flat_map(what).collect()
    }

    async fn delete_manifest(&mut self) {
        let all: Vec<_> = self.stored.keys().cloned().collect();
        if all.is_empty() {
            return;
        }
        let digest = self.numbers.pick_one(&all).clone();
        let deleted = self.admin.delete(&format!("/v2/{IMAGE}/manifests/{digest}")).await;
        let is_named = self.all_named(named_manifests).contains(&digest);
        assert_eq!(deleted.status != 202, is_named, "{digest}: {deleted:?}");
        if !is_named {
            self.stored.remove(&digest);
        }
    }

    async fn delete_blob(&mut self) {
        let digest = digest_of(self.numbers.pick_one(&self.blobs));
        let expected =
            match (self.here.contains(&digest), self.all_named(named_blobs).contains(&digest)) {
                (false, _) => 404,
                (true, true) => 405,
                (true, false) => 202,
            };
        self.admin.delete(&format!("/v2/{IMAGE}/blobs/{digest}")).await.expect_status(expected);
        if expected == 202 {
            self.here.remove(&digest);
        }
    }

    /// Collects, and asserts that exactly the named content is left.
    async fn collect_and_check(&mut self, server: &TestServer) {
        server.clock.advance_hours(25);
        collect_garbage(server).await;
        let named = self.all_named(named_blobs);
        self.here.retain(|digest| named.contains(digest));
        for blob in &self.blobs {
            let digest = digest_of(blob);
            let found = self.admin.get(&format!("/v2/{IMAGE}/blobs/{digest}")).await;
            let is_named = named.contains(&digest);
            assert_eq!(
                found.status == 200,
                self.here.contains(&digest),
                "{digest}, named: {is_named}"
            );
        }
        for digest in self.stored.keys() {
            self.admin.get(&format!("/v2/{IMAGE}/manifests/{digest}")).await.expect_status(200);
        }
    }

    async fn random_step(&mut self, server: &TestServer) {
        match self.numbers.next_below(14) {
            0..=3 => {
                let blob = self.numbers.pick_one(&self.blobs).clone();
                self.here.insert(self.admin.push_blob(IMAGE, blob).await.to_string());
            }
            4..=7 => {
                let manifest = self.random_manifest();
                self.made.push(manifest.clone());
                self.push_manifest_value(manifest).await;
            }
            8..=9 if !self.made.is_empty() => {
                let manifest = self.numbers.pick_one(&self.made).clone();
                self.push_manifest_value(manifest).await;
            }
            10 | 11 => self.delete_manifest().await,
            12 => self.delete_blob().await,
            _ => self.collect_and_check(server).await,
        }
    }
}

async fn check_random_steps(sparse: bool) {
    for seed in [1, 2, 3] {
        for backend in [Some(Backend::Sqlite), Backend::postgres().await].into_iter().flatten() {
            let change = |config: &mut Config| config.new_repositories.sparse = sparse;
            let server = TestServer::start_with(backend, change).await;
            let mut world = RandomRegistry::new(&server, seed, sparse);
            for _ in 0..STEPS {
                world.random_step(&server).await;
            }
            world.collect_and_check(&server).await;
            assert!(world.accepted > 20, "{} were accepted", world.accepted);
        }
    }
}

#[tokio::test]
async fn named_content_stays() {
    check_random_steps(false).await;
}

#[tokio::test]
async fn named_content_stays_in_sparse_repositories() {
    check_random_steps(true).await;
}
