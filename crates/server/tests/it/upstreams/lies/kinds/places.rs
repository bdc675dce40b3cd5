//! Lies about places: where content, tokens and the rest of a list are.

use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use serde_json::{Value, json};

use super::{BLOB, LyingAnswers, Round, always, choose_path};
use crate::util::{RawAnswer, UpstreamAnswer, digest_of, index_of, manifest_path, random_bytes};

fn choose_redirect(round: &Round, to: &str) -> RawAnswer {
    RawAnswer::empty(round.choose(&[307, 302, 301, 303, 308]), &format!("location: {to}"))
}

pub(crate) fn redirect_loops(round: &Round) -> Vec<LyingAnswers> {
    let (path, number) = (choose_path(round), round.number);
    let (there, back) = (format!("/there{number}"), format!("/back{number}"));
    let to_back = UpstreamAnswer::redirect(format!("{}{path}", round.upstream));
    round.elsewhere.set(&back, to_back);
    let to = round.choose(&[
        path.clone(),
        "?again".to_owned(),
        there.clone(),
        format!("{}{back}", round.elsewhere.url()),
        String::new(),
    ]);
    let answers = vec![choose_redirect(round, &to)];
    vec![(there, vec![RawAnswer::empty(307, &format!("location: {path}"))]), (path, answers)]
}

/// URLs of the private place, and of other places that are private.
fn choose_private_url(round: &Round) -> String {
    let port = round.private.port();
    round.choose(&[
        format!("http://127.0.0.2:{port}/x"),
        format!("//127.0.0.2:{port}/x"),
        format!("http://127.2:{port}/x"),
        format!("http://2130706434:{port}/x"),
        format!("http://0x7f.0.0.2:{port}/x"),
        format!("http://0177.0.0.2:{port}/x"),
        format!("http://[::ffff:127.0.0.2]:{port}/x"),
        format!("http://[::127.0.0.2]:{port}/x"),
        format!("http://user:password@127.0.0.2:{port}/x"),
        format!("https://127.0.0.2:{port}/x"),
        "http://169.254.169.254/computeMetadata/v1/".to_owned(),
        "http://10.0.0.1/x".to_owned(),
        "http://0.0.0.0:1/x".to_owned(),
        "file:///etc/passwd".to_owned(),
    ])
}

pub(crate) fn redirects_to_private_places(round: &Round) -> Vec<LyingAnswers> {
    let to = choose_private_url(round);
    let path = choose_path(round);
    let redirect = choose_redirect(round, &to);
    always(path, redirect)
}

pub(crate) fn redirects_elsewhere(round: &Round) -> Vec<LyingAnswers> {
    let path = choose_path(round);
    let (stored, chosen) = (format!("/stored{}", round.number), format!("/chosen{}", round.number));
    let url = round.elsewhere.url();
    let realm = format!("Bearer realm=\"{url}/token\",service=\"s\"");
    round.elsewhere.set("/token", UpstreamAnswer::blob(json!({ "token": "t" }).to_string()));
    let answer = round.choose(&[
        UpstreamAnswer::challenge("Basic realm=\"elsewhere\""),
        UpstreamAnswer::challenge(realm),
        UpstreamAnswer::redirect(format!("{}{chosen}", round.upstream)),
        UpstreamAnswer::redirect(format!("http://127.0.0.2:{}/x", round.private.port())),
        UpstreamAnswer::status(500),
        UpstreamAnswer::blob(random_bytes(100, 5)),
    ]);
    round.elsewhere.set(&stored, answer);
    let redirect = choose_redirect(round, &format!("{url}{stored}"));
    // What it chooses for us is there for those who have the password.
    vec![(path, vec![redirect]), (chosen, vec![RawAnswer::content(BLOB, "secret")])]
}

pub(crate) fn foreign_realms(round: &Round) -> Vec<LyingAnswers> {
    let path = choose_path(round);
    let url = round.elsewhere.url();
    round.elsewhere.set("/token", UpstreamAnswer::blob(json!({ "token": "t" }).to_string()));
    let (port, own) = (round.private.port(), &round.upstream);
    let realm = round.choose(&[
        format!("{url}/token"),
        format!("http://127.0.0.2:{port}/token"),
        own.replace("http://", &format!("http://{}@", round.elsewhere.address)),
        own.replace("http://127.0.0.1", "http://localhost"),
        format!("{own}.example.com/token"),
        "ftp://127.0.0.1/token".to_owned(),
        "/token".to_owned(),
    ]);
    let bearer = format!("www-authenticate: Bearer realm=\"{realm}\",service=\"s\"");
    let challenge = round.choose(&[
        bearer.clone(),
        format!("www-authenticate: Basic realm=\"x\"\n{bearer}"),
        format!("www-authenticate: Bearer realm={realm},realm=\"{url}/token\""),
    ]);
    always(path, RawAnswer::empty(401, &challenge).for_everybody())
}

pub(crate) fn token_answers(round: &Round) -> Vec<LyingAnswers> {
    let token = |token: &str, more: &str| {
        RawAnswer::content("application/json", format!("{{\"token\":\"{token}\"{more}}}"))
    };
    let answer = round.choose(&[
        RawAnswer::content("text/html", "<p>Sign in</p>"),
        RawAnswer::content("application/json", "[]"),
        RawAnswer::content("application/json", format!("{}{}", "[".repeat(20_000), "]")),
        token("", ""),
        token("a\\r\\nx-evil: 1", ""),
        token(&"t".repeat(60_000), ""),
        token(&"t".repeat(70_000), ""),
        token("t", ",\"expires_in\":-1"),
        token("t", ",\"expires_in\":1e300"),
        token("another", ""),
        RawAnswer::empty(307, &format!("location: {}/token", round.elsewhere.url())),
        RawAnswer::new("200 OK", "").and_endlessly(" ".repeat(0x1_0000)),
        RawAnswer::new("200 OK\ncontent-length: 100", "{\"token\":\"t\"").and_close(),
        RawAnswer::empty(401, "www-authenticate: Basic realm=\"x\""),
    ]);
    let (path, place) = (choose_path(round), format!("/token{}", round.number));
    let realm = format!("www-authenticate: Bearer realm=\"{}{place}\"", round.upstream);
    let challenge = RawAnswer::empty(401, &realm).for_everybody();
    vec![(path, vec![challenge]), (place, vec![answer])]
}

pub(crate) fn tag_lists(round: &Round) -> Vec<LyingAnswers> {
    let list = |tags: Value| json!({ "name": round.name, "tags": tags }).to_string();
    let linked = |to: &str| {
        let body = list(json!(["1", "listed"]));
        let head = format!("content-length: {}\nlink: <{to}>; rel=\"next\"", body.len());
        RawAnswer::new(&format!("200 OK\n{head}"), body)
    };
    let of = |body: String| RawAnswer::content("application/json", body);
    let answer = round.choose(&[
        of(json!({ "name": "other/image", "tags": ["theirs"] }).to_string()),
        of(list(json!(["../../x", "", "a b", "a/b", ".x", "x".repeat(129), "sha256:1", "ok"]))),
        of(list(json!("1"))),
        of(list(json!([1, null, { "a": [] }]))),
        of(list(json!(["x".repeat(5 << 20)]))),
        of("[".repeat(100_000)),
        linked(&format!("{}{}", round.elsewhere.url(), round.tags())),
        linked(&format!("http://127.0.0.2:{}/x", round.private.port())),
        linked(&round.tags()),
        linked("file:///etc/passwd"),
        linked("\\\\127.0.0.2\\x"),
    ]);
    always(round.tags(), answer)
}

pub(crate) fn referrer_lists(round: &Round) -> Vec<LyingAnswers> {
    let image = &round.image;
    let entry = |digest: &str| json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": 1 });
    let nowhere: Vec<_> = (0..3).map(|n| entry(&digest_of([n]))).collect();
    let many: Vec<_> = (0..1000).map(|_| entry("sha256:../../x")).collect();
    let body = round.choose(&[
        index_of(&[image.descriptor()]),
        index_of(&nowhere),
        index_of(&many),
        index_of(&[entry(&digest_of(round.layer()))]),
        json!({ "manifests": "none" }).to_string(),
        image.manifest.clone(),
        "[".repeat(100_000),
    ]);
    let path = round
        .choose(&[round.referrers(), manifest_path(&round.name, image.digest().replace(':', "-"))]);
    let mut answers = always(round.referrers(), RawAnswer::empty(404, "x-none: "));
    answers.extend(always(path, RawAnswer::content(OCI_INDEX, body)));
    answers
}
