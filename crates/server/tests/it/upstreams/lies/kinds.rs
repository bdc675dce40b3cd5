//! The kinds of lies. A function returns what the upstream answers in a round: paths, each with its answers. These are
//! lies about content.

mod places;
mod protocol;

use bytes::Bytes;
use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use serde_json::{Value, json};

use super::{LyingAnswers, Round};
use crate::util::{Image, RawAnswer, digest_of, index_of, random_bytes};

pub(super) use places::{
    foreign_realms, redirect_loops, redirects_elsewhere, redirects_to_private_places,
    referrer_lists, tag_lists, token_answers,
};
pub(super) use protocol::{
    chunks, encodings, endless_answers, no_http, second_answers, wrong_lengths, wrong_parts,
};

const BLOB: &str = "application/octet-stream";

/// One answer to all requests for a path.
fn always(path: String, answer: RawAnswer) -> Vec<LyingAnswers> {
    vec![(path, vec![answer])]
}

/// Content of the image at a path of the upstream.
#[derive(Clone)]
struct Content {
    path: String,
    bytes: Bytes,
    /// The lines of the head, but for the length.
    head: String,
}

impl Content {
    /// 200 with a body of its length.
    fn answer(&self, body: impl AsRef<[u8]>) -> RawAnswer {
        self.answer_with(&format!("content-length: {}", body.as_ref().len()), body)
    }

    /// 200 with a body, and with more lines of the head.
    fn answer_with(&self, head: &str, body: impl AsRef<[u8]>) -> RawAnswer {
        RawAnswer::new(&format!("200 OK\n{}\n{head}", self.head), body)
    }
}

fn choose_content(round: &Round) -> Content {
    let manifest = |path| {
        let head = format!("docker-content-digest: {}", round.image.digest());
        let head = format!("content-type: {OCI_MANIFEST}\n{head}");
        Content { path, bytes: round.image.manifest.clone().into(), head }
    };
    let layer = Content {
        path: round.layer_path(),
        bytes: round.layer().clone(),
        head: format!("content-type: {BLOB}"),
    };
    round.choose(&[layer, manifest(round.by_digest()), manifest(round.by_tag())])
}

fn choose_path(round: &Round) -> String {
    round.choose(&[round.layer_path(), round.by_digest(), round.by_tag(), round.tags()])
}

/// Another image with the same name, which the upstream does not have.
fn other_image(round: &Round) -> Image {
    Image::new(1_000_000 + round.number as u64)
}

fn flipped(round: &Round) -> Vec<u8> {
    let mut bytes = round.layer().to_vec();
    let at = round.choose_below(bytes.len());
    bytes[at] ^= 1;
    bytes
}

pub(super) fn wrong_bytes(round: &Round) -> Vec<LyingAnswers> {
    let layer = round.layer();
    let mut beginning = layer.to_vec();
    beginning[0] ^= 1;
    let answer = round.choose(&[
        RawAnswer::content(BLOB, flipped(round)),
        RawAnswer::content(BLOB, random_bytes(layer.len(), 7)),
        RawAnswer::content(BLOB, &round.image.blobs[0]),
        // A beginning that is kept, because the upstream breaks off.
        RawAnswer::content(BLOB, beginning).cut_to(layer.len() / 2),
    ]);
    always(round.layer_path(), answer)
}

pub(super) fn short_bodies(round: &Round) -> Vec<LyingAnswers> {
    let content = choose_content(round);
    let length = content.bytes.len();
    let short = content.bytes.slice(..round.choose_below(length));
    let answer = round.choose(&[
        content.answer(&short),
        content.answer_with("", &short).and_close(),
        content.answer_with(&format!("content-length: {length}"), &short).and_close(),
    ]);
    always(content.path, answer)
}

pub(super) fn long_bodies(round: &Round) -> Vec<LyingAnswers> {
    let content = choose_content(round);
    let more = random_bytes(1 + round.choose_below(70_000), 3);
    let long = [&content.bytes[..], &more].concat();
    let answer = round.choose(&[
        content.answer(&long),
        content.answer_with("", &long).and_close(),
        content.answer([&content.bytes[..], b" "].concat()),
    ]);
    always(content.path, answer)
}

pub(super) fn wrong_digests(round: &Round) -> Vec<LyingAnswers> {
    let digest = round.choose(&[
        other_image(round).digest(),
        digest_of(round.layer()),
        format!("sha256:{}", "0".repeat(64)),
        "sha256:../../etc/passwd".to_owned(),
        format!("sha512:{}", "a".repeat(128)),
    ]);
    let path = round.choose(&[round.by_tag(), round.by_digest()]);
    always(path, round.manifest_answer(OCI_MANIFEST, &digest))
}

pub(super) fn other_manifests(round: &Round) -> Vec<LyingAnswers> {
    let (other, true_digest) = (other_image(round), round.image.digest());
    let manifest = |text: &str, digest: &str| {
        let length = text.len();
        let head = format!("content-length: {length}\ndocker-content-digest: {digest}");
        RawAnswer::new(&format!("200 OK\ncontent-type: {OCI_MANIFEST}\n{head}"), text)
    };
    let (path, digest) = round.choose(&[
        (round.by_digest(), true_digest.clone()),
        (round.by_digest(), other.digest()),
        (round.by_tag(), true_digest),
    ]);
    let mut changed: Value = serde_json::from_str(&round.image.manifest).expect("JSON");
    changed["annotations"] = json!({ "a": "b" });
    let text = round.choose(&[
        other.manifest.clone(),
        changed.to_string(),
        format!("{} ", round.image.manifest),
        index_of(&[other.descriptor()]),
        "{}".to_owned(),
    ]);
    always(path, manifest(&text, &digest))
}

pub(super) fn media_types(round: &Round) -> Vec<LyingAnswers> {
    let media_type = round.choose(&[
        OCI_INDEX,
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "text/html; charset=utf-8",
        "application/json",
        "x",
        "",
    ]);
    let digest = round.image.digest();
    let layer = RawAnswer::content(media_type, round.layer());
    let manifest = round.manifest_answer(media_type, &digest);
    let (path, answer) = round.choose(&[
        (round.by_tag(), manifest.clone()),
        (round.by_digest(), manifest),
        (round.layer_path(), layer),
    ]);
    always(path, answer)
}

pub(super) fn pages_of_html(round: &Round) -> Vec<LyingAnswers> {
    let page = "<!doctype html><title>Sign in</title><form action=/login></form>";
    let path = round.choose(&[
        round.by_tag(),
        round.by_digest(),
        round.layer_path(),
        round.tags(),
        round.referrers(),
    ]);
    let media_type = round.choose(&["text/html", "application/json", OCI_MANIFEST]);
    always(path, RawAnswer::content(media_type, page))
}
