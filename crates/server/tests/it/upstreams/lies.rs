//! An upstream that lies, in many ways. Nothing wrong is served or kept, the password goes nowhere else, and nothing
//! private is reached. `TEST_ROUNDS=1000` makes a long run.

mod kinds;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use model::reference::Tag;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::cold::HELD_BACK;
use super::credentials::{PASSWORD, SECRET, basic, body_of, send_secrets_command};
use super::{api_path, create_from_body, image_in};
use crate::images::list_all;
use crate::util::accounts::sign_in;
use crate::util::{
    AccountServer, Backend, Image, LyingUpstream, RawAnswer, Reply, ScriptedUpstream, blob_path,
    digest_of, index_of, manifest_path, on_both, random_bytes, test_rounds,
};

/// The usual number of lies of each kind.
const ROUNDS: usize = 20;
/// The number of lies that are told at once.
const AT_ONCE: usize = 8;
/// The statuses of a refusal that names the upstream's failure.
const REFUSALS: [u16; 4] = [404, 429, 502, 503];

/// Makes tests of kinds of lies, which are the functions of these names.
macro_rules! test_lies {
    ($($kind:ident),* $(,)?) => {
        $(
            async fn $kind(backend: Backend) {
                expect_nothing_kept(backend, kinds::$kind).await;
            }
        )*
        on_both![$($kind),*];
    };
}

test_lies![
    wrong_bytes,
    short_bodies,
    long_bodies,
    wrong_lengths,
    wrong_digests,
    other_manifests,
    media_types,
    pages_of_html,
    redirect_loops,
    redirects_to_private_places,
    redirects_elsewhere,
    endless_answers,
    encodings,
    wrong_parts,
    foreign_realms,
    token_answers,
    tag_lists,
    referrer_lists,
    chunks,
    second_answers,
    no_http
];

/// A server, the upstream that lies to it, and two places that the lies name.
struct LieTest {
    accounts: AccountServer,
    upstream: LyingUpstream,
    /// A place that may be reached, but without a credential.
    elsewhere: Arc<ScriptedUpstream>,
    /// A place that must not be reached.
    private: PrivatePlace,
}

/// A place on an address that the server may not reach.
struct PrivatePlace {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl PrivatePlace {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.2:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { address, connections }
    }
}

/// A path, and what the upstream answers to requests for it, one after the other.
type LyingAnswers = (String, Vec<RawAnswer>);

/// One lie, and the image that it is about.
struct Round {
    number: usize,
    name: String,
    image: Image,
    upstream: String,
    elsewhere: Arc<ScriptedUpstream>,
    private: SocketAddr,
    /// The part of the number that chooses variants yet.
    choices: Cell<usize>,
}

impl Round {
    fn new(test: &LieTest, number: usize) -> Self {
        let seed = number as u64;
        // A small layer waits for its digest in whole, and a large one for its end.
        let image = match number / 7 % 2 {
            0 => Image::new(seed),
            _ => Image::of_layer(random_bytes(100_000 + number, seed)),
        };
        Self {
            number,
            name: format!("app{number}"),
            image,
            upstream: test.upstream.url(),
            elsewhere: test.elsewhere.clone(),
            private: test.private.address,
            choices: Cell::new(number),
        }
    }

    /// Chooses a variant. All combinations of variants have their round.
    fn choose<T: Clone>(&self, variants: &[T]) -> T {
        let choices = self.choices.get();
        self.choices.set(choices / variants.len());
        variants[choices % variants.len()].clone()
    }

    /// Chooses a number below `end` that is another one in each round.
    fn choose_below(&self, end: usize) -> usize {
        (self.number + 1) * 7_919 % end
    }

    fn by_tag(&self) -> String {
        manifest_path(&self.name, "1")
    }

    fn by_digest(&self) -> String {
        manifest_path(&self.name, self.image.digest())
    }

    fn layer(&self) -> &Bytes {
        &self.image.blobs[1]
    }

    fn layer_path(&self) -> String {
        blob_path(&self.name, digest_of(self.layer()))
    }

    fn tags(&self) -> String {
        format!("/v2/{}/tags/list", self.name)
    }

    fn referrers(&self) -> String {
        format!("/v2/{}/referrers/{}", self.name, self.image.digest())
    }

    /// The manifest as the upstream should send it.
    fn manifest_answer(&self, media_type: &str, digest: &str) -> RawAnswer {
        let (bytes, length) = (&self.image.manifest, self.image.manifest.len());
        RawAnswer::new(
            &format!(
                "200 OK\ncontent-type: {media_type}\ncontent-length: {length}\n\
                 docker-content-digest: {digest}"
            ),
            bytes,
        )
    }

    /// Sets all that is true of the image.
    fn tell_truth(&self, upstream: &LyingUpstream) {
        let manifest = self.manifest_answer(OCI_MANIFEST, &self.image.digest());
        upstream.set(&self.by_tag(), [manifest.clone()]);
        upstream.set(&self.by_digest(), [manifest]);
        for blob in &self.image.blobs {
            let answer = RawAnswer::content("application/octet-stream", blob);
            upstream.set(&blob_path(&self.name, digest_of(blob)), [answer]);
        }
        let tags = json!({ "name": self.name, "tags": ["1"] }).to_string();
        upstream.set(&self.tags(), [RawAnswer::content("application/json", tags)]);
        let none = index_of(&[]);
        upstream.set(&self.referrers(), [RawAnswer::content(OCI_INDEX, none)]);
    }
}

/// The answers of the server about one image.
struct ServedAnswers {
    manifests: Vec<Reply>,
    blobs: Vec<Reply>,
    tags: Reply,
    referrers: Reply,
}

impl ServedAnswers {
    /// Asserts that each answer is true, or a refusal that names a failure.
    #[track_caller]
    fn expect_truth_or_refusal(&self, round: &Round) {
        for manifest in &self.manifests {
            if !is_refusal(manifest) {
                expect_manifest(manifest, &round.image);
            }
        }
        for (reply, blob) in self.blobs.iter().zip(&round.image.blobs) {
            if !is_refusal(reply) {
                expect_blob_or_break(reply, blob);
            }
        }
        if !is_refusal(&self.tags) {
            let tags = self.tags.json()["tags"].as_array().cloned().unwrap_or_default();
            let is_tag = |tag: &Value| tag.as_str().is_some_and(|tag| tag.parse::<Tag>().is_ok());
            assert!(tags.iter().all(is_tag), "{:#?}", self.tags);
        }
        if !is_refusal(&self.referrers) {
            assert_eq!(self.referrers.json()["manifests"], json!([]), "{:#?}", self.referrers);
        }
    }

    /// Asserts that the manifest and all blobs are served.
    #[track_caller]
    fn expect_truth(&self, round: &Round) {
        for manifest in &self.manifests {
            expect_manifest(manifest, &round.image);
        }
        for (reply, blob) in self.blobs.iter().zip(&round.image.blobs) {
            assert_eq!((reply.status.as_u16(), &reply.body), (200, blob));
        }
    }

    #[track_caller]
    fn expect_true_lists(&self) {
        assert_eq!(self.tags.json()["tags"], json!(["1"]), "{:#?}", self.tags);
        assert_eq!(self.referrers.json()["manifests"], json!([]), "{:#?}", self.referrers);
    }
}

#[track_caller]
fn is_refusal(reply: &Reply) -> bool {
    if reply.status == 200 {
        return false;
    }
    assert!(REFUSALS.contains(&reply.status.as_u16()), "{reply:#?}");
    assert!(reply.json()["errors"][0]["code"].is_string(), "{reply:#?}");
    true
}

#[track_caller]
fn expect_manifest(reply: &Reply, image: &Image) {
    assert_eq!(reply.text(), image.manifest, "{reply:#?}");
    assert_eq!(reply.header("docker-content-digest"), image.digest());
    assert_eq!(reply.header("content-type"), OCI_MANIFEST);
}

/// Asserts that a body is the blob, or breaks off before the bytes that wait for the digest.
#[track_caller]
fn expect_blob_or_break(reply: &Reply, blob: &[u8]) {
    if reply.body != blob {
        let length: usize = reply.header("content-length").parse().expect("a length");
        let read = reply.body.len();
        assert!(read + HELD_BACK <= length, "{read} of {length} bytes, and not the blob");
    }
}

impl LieTest {
    async fn start(backend: Backend) -> Self {
        let accounts = AccountServer::start_with(backend, |config| {
            config.egress.allow = vec!["127.0.0.1".to_owned()];
        });
        let accounts = accounts.await;
        let upstream = LyingUpstream::start(basic(PASSWORD)).await;
        let add = json!({ "secret": SECRET, "origin": upstream.url(), "value": PASSWORD });
        send_secrets_command(&accounts, json!({ "add": add })).await.expect("added");
        let body = body_of(&upstream.url(), &format!("{SECRET}/versions/1"));
        create_from_body(&accounts, "remote", &body).await.expect_status(200);
        let elsewhere = Arc::new(ScriptedUpstream::start().await);
        Self { accounts, upstream, elsewhere, private: PrivatePlace::start().await }
    }

    /// Asks the server for all of an image.
    async fn ask(&self, round: &Round) -> ServedAnswers {
        let (client, name) = (&self.accounts.owner.client, image_in("remote", &round.name));
        let (mut manifests, mut blobs) = (Vec::new(), Vec::new());
        for reference in [&round.image.digest(), "1"] {
            manifests.push(client.get(&manifest_path(&name, reference)).await);
        }
        for blob in &round.image.blobs {
            blobs.push(client.get(&blob_path(&name, digest_of(blob))).await);
        }
        let tags = client.get(&format!("/v2/{name}/tags/list")).await;
        let referrers = format!("/v2/{name}/referrers/{}", round.image.digest());
        ServedAnswers { manifests, blobs, tags, referrers: client.get(&referrers).await }
    }

    async fn tell_lie(&self, round: &Round, lie: Vec<LyingAnswers>) {
        round.tell_truth(&self.upstream);
        for (path, answers) in lie {
            self.upstream.set(&path, answers);
        }
        self.ask(round).await.expect_truth_or_refusal(round);
        round.tell_truth(&self.upstream);
        // The beginning of a blob that is kept may be a lie. The pull that goes on with it finds out.
        self.ask(round).await.expect_truth_or_refusal(round);
        self.ask(round).await.expect_truth(round);
    }

    /// Asserts that the repository has nothing but these images.
    async fn expect_nothing_else(&self, rounds: &[Round]) {
        let images = api_path("remote", "/dockerImages?pageSize=100");
        let (listed, _) = list_all(&self.accounts.owner, &images, "dockerImages").await;
        let digest = |image: &Value| {
            let name = image["name"].as_str().expect("text");
            name.rsplit('@').next().expect("a digest").to_owned()
        };
        let listed: BTreeSet<_> = listed.iter().map(digest).collect();
        assert_eq!(listed, rounds.iter().map(|round| round.image.digest()).collect());
    }

    fn expect_nothing_leaked(&self) {
        assert_eq!(self.private.connections.load(Ordering::Relaxed), 0);
        for asked in self.elsewhere.asked() {
            assert_eq!(asked.authorization(), "", "{asked:?}");
        }
        let mut asked = self.upstream.asked().into_iter();
        assert!(asked.any(|asked| asked.authorization() == basic(PASSWORD)), "it has it at all");
    }
}

/// Has the upstream tell lies of a kind, and asserts that they have no effect.
async fn expect_nothing_kept(backend: Backend, lie: fn(&Round) -> Vec<LyingAnswers>) {
    let mut test = LieTest::start(backend).await;
    let rounds: Vec<_> = (0..test_rounds(ROUNDS)).map(|number| Round::new(&test, number)).collect();
    let told = &test;
    let lies = stream::iter(&rounds).for_each_concurrent(AT_ONCE, |round| async move {
        told.tell_lie(round, lie(round)).await;
    });
    lies.await;
    // Lists are asked for again.
    test.accounts.server.clock.advance_seconds(3_700);
    test.accounts.owner = sign_in(&test.accounts.server, &test.accounts.owner_key).await;
    for round in &rounds {
        let served = test.ask(round).await;
        served.expect_truth(round);
        served.expect_true_lists();
    }
    test.expect_nothing_else(&rounds).await;
    test.expect_nothing_leaked();
}
