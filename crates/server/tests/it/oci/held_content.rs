//! What a stored manifest names and the repository has, stays, whatever came first: checked by random operations against
//! a model of what is named.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use model::media_type::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use serde_json::{Value, json};
use server::config::Config;

use crate::gc::collect;
use crate::util::{Backend, Client, TestServer, digest_of};

const IMAGE: &str = "p/r1/image";
const STEPS: u64 = 250;

/// The same numbers in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn is_one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// A repository, and what is known of it.
struct World {
    admin: Client,
    numbers: Numbers,
    sparse: bool,
    blobs: Vec<Bytes>,
    /// All manifests that were ever made, stored or not.
    made: Vec<Value>,
    /// Those that are stored, by digest.
    stored: BTreeMap<String, Value>,
    /// How many were ever accepted.
    accepted: usize,
    /// The blobs that are here.
    here: BTreeSet<String>,
}

fn is_manifest(descriptor: &Value) -> bool {
    let types = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST];
    types.iter().any(|media_type| descriptor["mediaType"] == *media_type)
}

fn digest(descriptor: &Value) -> String {
    descriptor["digest"].as_str().expect("text").to_owned()
}

fn entries<'a>(manifest: &'a Value, field: &str) -> Vec<&'a Value> {
    match &manifest[field] {
        Value::Array(all) => all.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

/// What a manifest names that clients ask for as for blobs.
fn blobs_of(manifest: &Value) -> BTreeSet<String> {
    let layers = entries(manifest, "config").into_iter().chain(entries(manifest, "layers"));
    let unknown = entries(manifest, "manifests").into_iter().chain(entries(manifest, "subject"));
    layers.chain(unknown.filter(|entry| !is_manifest(entry))).map(digest).collect()
}

/// What a manifest names that clients may ask for as for manifests, its subject aside.
fn manifests_of(manifest: &Value) -> BTreeSet<String> {
    let layers = entries(manifest, "config").into_iter().chain(entries(manifest, "layers"));
    let layers = layers.filter(|layer| is_manifest(layer));
    layers.chain(entries(manifest, "manifests")).map(digest).collect()
}

impl World {
    fn new(server: &TestServer, seed: u64, sparse: bool) -> Self {
        let blobs = (0..6_u64).map(|blob| Bytes::from(format!("{seed} {blob}"))).collect();
        let (made, stored, here) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        let (admin, numbers) = (server.admin(), Numbers(seed));
        Self { admin, numbers, sparse, blobs, made, stored, accepted: 0, here }
    }

    fn descriptor(&mut self) -> Value {
        let numbers = &mut self.numbers;
        let bytes = if self.made.is_empty() || !numbers.is_one_in(3) {
            numbers.one_of(&self.blobs).clone()
        } else {
            numbers.one_of(&self.made).to_string().into()
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
            "mediaType": numbers.one_of(&types),
            "digest": digest_of(&bytes),
            "size": bytes.len() + lie,
        });
        if numbers.is_one_in(8) {
            descriptor["urls"] = json!(["https://example.com/elsewhere"]);
        }
        descriptor
    }

    fn manifest(&mut self) -> Value {
        let several = |world: &mut Self| {
            let count = world.numbers.below(4);
            (0..count).map(|_| world.descriptor()).collect::<Vec<_>>()
        };
        let mut manifest = if self.numbers.is_one_in(2) {
            let (config, layers) = (self.descriptor(), several(self));
            json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers })
        } else {
            json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": several(self) })
        };
        if self.numbers.is_one_in(4) {
            manifest["subject"] = self.descriptor();
        }
        manifest
    }

    async fn push(&mut self, manifest: Value) {
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

    fn names(&self, what: fn(&Value) -> BTreeSet<String>) -> BTreeSet<String> {
        self.stored.values().flat_map(what).collect()
    }

    async fn delete_manifest(&mut self) {
        let all: Vec<_> = self.stored.keys().cloned().collect();
        if all.is_empty() {
            return;
        }
        let digest = self.numbers.one_of(&all).clone();
        let deleted = self.admin.delete(&format!("/v2/{IMAGE}/manifests/{digest}")).await;
        let is_named = self.names(manifests_of).contains(&digest);
        assert_eq!(deleted.status != 202, is_named, "{digest}: {deleted:?}");
        if !is_named {
            self.stored.remove(&digest);
        }
    }

    async fn delete_blob(&mut self) {
        let digest = digest_of(self.numbers.one_of(&self.blobs));
        let expected = match (self.here.contains(&digest), self.names(blobs_of).contains(&digest)) {
            (false, _) => 404,
            (true, true) => 405,
            (true, false) => 202,
        };
        self.admin.delete(&format!("/v2/{IMAGE}/blobs/{digest}")).await.expect(expected);
        if expected == 202 {
            self.here.remove(&digest);
        }
    }

    /// Only what is named is left, and all of that.
    async fn collect(&mut self, server: &TestServer) {
        server.clock.advance_hours(25);
        collect(server).await;
        let named = self.names(blobs_of);
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
            self.admin.get(&format!("/v2/{IMAGE}/manifests/{digest}")).await.expect(200);
        }
    }

    async fn step(&mut self, server: &TestServer) {
        match self.numbers.below(14) {
            0..=3 => {
                let blob = self.numbers.one_of(&self.blobs).clone();
                self.here.insert(self.admin.push_blob(IMAGE, blob).await.to_string());
            }
            4..=7 => {
                let manifest = self.manifest();
                self.made.push(manifest.clone());
                self.push(manifest).await;
            }
            8..=9 if !self.made.is_empty() => {
                let manifest = self.numbers.one_of(&self.made).clone();
                self.push(manifest).await;
            }
            10 | 11 => self.delete_manifest().await,
            12 => self.delete_blob().await,
            _ => self.collect(server).await,
        }
    }
}

async fn check(sparse: bool) {
    for seed in [1, 2, 3] {
        for backend in [Some(Backend::Sqlite), Backend::postgres().await].into_iter().flatten() {
            let change = |config: &mut Config| config.new_repositories.sparse = sparse;
            let server = TestServer::start_with(backend, change).await;
            let mut world = World::new(&server, seed, sparse);
            for _ in 0..STEPS {
                world.step(&server).await;
            }
            world.collect(&server).await;
            assert!(world.accepted > 20, "{} were accepted", world.accepted);
        }
    }
}

#[tokio::test]
async fn what_is_named_stays() {
    check(false).await;
}

#[tokio::test]
async fn what_is_named_stays_where_anything_may_come_first() {
    check(true).await;
}
