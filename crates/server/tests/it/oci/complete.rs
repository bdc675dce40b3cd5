//! Complete lists for clients that follow no link: the whole list in one answer, or an error.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use meta::versions::NewVersion;
use meta::{SqlParam, packages, repositories, tags, versions};
use model::digest::Digest;
use model::media_type::OCI_MANIFEST;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::util::image::insert_images;
use crate::util::server::repository_of_p;
use crate::util::{Client, Image, TestServer, next_page, on_both};

const IMAGE: &str = "p/r1/image";
const GCRANE: &str = "gcrane/v0.22.1 go-containerregistry/v0.22.1";
const CRANE: &str = "crane/v0.22.1 go-containerregistry/v0.22.1";
const CLEANER: &str = "gcr-cleaner/source \
    (+https://github.com/GoogleCloudPlatform/gcr-cleaner) go-containerregistry/v0.20.2";

/// The tags of each digest.
type TagsByDigest = BTreeMap<String, Vec<String>>;

fn with_agent(client: Client, agent: &str) -> Client {
    client.with_header("user-agent", agent)
}

/// Adds versions to an image, past the server. The version with the number `n` gets `counts[n]` tags.
async fn add_versions(server: &TestServer, counts: Vec<usize>) -> TagsByDigest {
    let write = move |tx: &mut meta::Tx<'_>| {
        let repository = repositories::find(tx, &repository_of_p("r1"))?.expect("it is there").id;
        let package = packages::find(tx, &repository, "image")?.expect("it is there");
        let mut added = TagsByDigest::new();
        for (n, count) in counts.iter().enumerate() {
            let bytes = format!("version {n}");
            let digest = Digest::of(bytes.as_bytes());
            let new = NewVersion {
                repository_id: &repository,
                package_id: &package,
                digest: &digest,
                bytes: bytes.as_bytes(),
                media_type: OCI_MANIFEST,
                image_bytes: n as i64,
                artifact_type: None,
                subject: None,
                annotations: "{}",
                platforms: "[]",
                built_at: None,
                is_untagged: false,
                now: 1_700_000_000_000_000 + n as i64,
            };
            let id = versions::insert(tx, &new)?.expect("a new one");
            // Between two tags of one version there are tags of many others in the order of all tags.
            let names: BTreeSet<_> = (0..*count).map(|tag| format!("t{tag:04}-{n}")).collect();
            for name in &names {
                tags::set(tx, &package, name, &id, 1)?;
            }
            added.insert(digest.to_string(), names.into_iter().collect());
        }
        Ok::<_, meta::MetaError>(added)
    };
    server.open_meta().await.write(write).await.expect("writable")
}

/// Adds images to the repository, past the server.
async fn add_images(server: &TestServer, names: Vec<String>) {
    let write = move |tx: &mut meta::Tx<'_>| insert_images(tx, &repository_of_p("r1"), &names);
    server.open_meta().await.write(write).await.expect("writable");
}

fn string_list(list: &Value) -> Vec<String> {
    serde_json::from_value(list.clone()).expect("a list of names")
}

/// Reads the whole body, or returns the error of HTTP/1 or HTTP/2.
async fn read_whole(response: Response<Incoming>) -> hyper::Result<Bytes> {
    response.into_body().collect().await.map(|whole| whole.to_bytes())
}

fn empty_request(client: &Client, path: &str) -> Request<Empty<Bytes>> {
    let mut request = Request::get(format!("http://{}{path}", client.address()));
    request = request.header("host", client.address().to_string());
    for (name, value) in client.headers() {
        request = request.header(name, value);
    }
    request.body(Empty::new()).expect("a request")
}

/// Begins to read a list. The client has room for a kilobyte, so that the server waits for it.
async fn begin_list(client: &Client, path: &str) -> Response<Incoming> {
    request_over_http2(client, path).await.expect("an answer")
}

async fn request_over_http2(client: &Client, path: &str) -> hyper::Result<Response<Incoming>> {
    let stream = TcpStream::connect(client.address()).await.expect("it listens");
    let mut handshake = http2::Builder::new(TokioExecutor::new());
    handshake.initial_stream_window_size(1_024);
    let (mut sender, connection) =
        handshake.handshake(TokioIo::new(stream)).await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    sender.send_request(empty_request(client, path)).await
}

async fn request_over_http1(client: &Client, path: &str) -> hyper::Result<Response<Incoming>> {
    let stream = TcpStream::connect(client.address()).await.expect("it listens");
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
    tokio::spawn(connection);
    sender.send_request(empty_request(client, path)).await
}

on_both![
    all_tags_and_versions_are_in_one_answer,
    other_clients_get_pages,
    children_are_complete_and_in_order,
    complete_lists_need_the_permission_to_read,
    a_list_that_fails_halfway_ends_with_an_error,
    a_list_of_a_deleted_image_ends_with_an_error,
    concurrent_complete_lists_are_limited
];

async fn all_tags_and_versions_are_in_one_answer(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push(&admin, (IMAGE, "latest")).await;
    image.push(&admin, (&format!("{IMAGE}/below"), "latest")).await;
    // The counts are near the sizes of reads: 16 and then 500 tags of a version, 200 versions, 500 tags.
    let mut counts = vec![0; 250];
    counts.extend([1; 150]);
    counts.extend([15, 16, 17, 515, 516, 517, 1_100]);
    let mut expected = add_versions(&server, counts).await;
    expected.insert(image.digest(), vec!["latest".to_owned()]);
    let tags: BTreeSet<_> = expected.values().flatten().cloned().collect();
    let list = format!("/v2/{IMAGE}/tags/list");
    for (agent, query) in [
        (GCRANE, ""),
        (GCRANE, "?n=1000"),
        (GCRANE, "?n=10000"),
        (CLEANER, "?n=1000"),
        ("go-containerregistry/v0.5.0", ""),
    ] {
        let client = with_agent(server.admin(), agent);
        let reply = client.get(&format!("{list}{query}")).await.expect_status(200);
        assert_eq!(next_page(&reply), None, "{agent} {query}");
        assert_eq!(reply.header("content-type"), "application/json");
        let json = reply.json();
        assert_eq!((&json["name"], &json["child"]), (&json!(IMAGE), &json!(["below"])));
        assert!(string_list(&json["tags"]).iter().eq(&tags), "{agent} {query}");
        let manifests = json["manifest"].as_object().expect("an object");
        let found =
            manifests.iter().map(|(digest, entry)| (digest.clone(), string_list(&entry["tag"])));
        assert_eq!(found.collect::<TagsByDigest>(), expected, "{agent} {query}");
        // Each digest is in the list once, and the digests are in order.
        let text = reply.text();
        let digests: Vec<_> =
            text.match_indices("\"sha256:").map(|(at, _)| &text[at + 1..at + 72]).collect();
        assert!(digests.iter().eq(expected.keys()), "{agent} {query}");
        // Each entry is the same as on a page.
        let page = admin.get(&list).await.expect_status(200).json();
        let entry = &page["manifest"][image.digest()];
        assert_eq!((entry, entry["tag"].is_array()), (&json["manifest"][image.digest()], true));
        let head = client.head(&format!("{list}{query}")).await.expect_status(200);
        assert_eq!((head.header("content-type"), head.header("link")), ("application/json", ""));
    }
    // The list is the same over HTTP/2.
    let reply = with_agent(server.admin(), GCRANE).over_http2().get(&list).await.expect_status(200);
    assert_eq!(
        reply.json()["manifest"].as_object().map(serde_json::Map::len),
        Some(expected.len())
    );
}

async fn other_clients_get_pages(server: TestServer) {
    let admin = server.admin();
    Image::new(1).push(&admin, (IMAGE, "latest")).await;
    let added = add_versions(&server, vec![1_100]).await;
    let list = format!("/v2/{IMAGE}/tags/list");
    for (agent, query, count) in [
        (CRANE, "?n=1000", 2),
        (CRANE, "", 2),
        ("oras/1.3.6", "", 2),
        ("Helm/3.22", "", 2),
        ("regclient/regctl (v0.11.7)", "", 2),
        ("skopeo/1.9.3", "", 2),
        ("curl/7.88.1", "", 2),
        ("", "", 2),
        (GCRANE, "?n=500", 3),
        (GCRANE, "?n=1000&last=t", 2),
        (GCRANE, "?last=t0000-", 2),
    ] {
        let replies = with_agent(server.admin(), agent).get_pages(&format!("{list}{query}")).await;
        assert_eq!(replies.len(), count, "{agent} {query}");
        let found: Vec<_> =
            replies.iter().flat_map(|page| string_list(&page.json()["tags"])).collect();
        let expected = added.values().flatten();
        let found = found.iter().filter(|tag| *tag != "latest");
        assert!(found.eq(expected), "{agent} {query}");
    }
    let bad = with_agent(server.admin(), GCRANE).get(&format!("{list}?n=-1")).await;
    bad.expect_oci_error("400 PAGINATION_NUMBER_INVALID");
}

/// Among names `a/x` comes after `a-b`. Among children `a` comes before `a-b`.
async fn children_are_complete_and_in_order(server: TestServer) {
    let admin = server.admin();
    Image::new(1).push(&admin, ("p/r1/zzz", "latest")).await;
    let below = [
        "a", "a-b", "a-c/x", "a/x", "a/y", "b/y/z", "b.c", "c", "c0/d", "c/e", "d-e/f", "d.f",
        "d/x", "e--f", "e.g.h-i", "e/x", "f-g/x", "f-g-h", "f/x", "f_g/y",
    ];
    let mut images: Vec<_> = below.iter().map(|name| (*name).to_owned()).collect();
    images.extend(below.iter().map(|name| format!("top/{name}")));
    // There are more images than one read returns: side by side, below one image, and below each of many.
    images.extend((0..1_200).map(|n| format!("i{n:04}")));
    images.extend((0..1_200).map(|n| format!("j/{n:04}")));
    images.extend((0..600).map(|n| format!("k-{n:03}/x")));
    images.push("k/y".to_owned());
    let first = |name: &str| name.split('/').next().expect("one").to_owned();
    let expected: BTreeSet<_> =
        images.iter().map(|name| first(name)).chain(["zzz".to_owned()]).collect();
    let of_top: BTreeSet<_> = below.iter().map(|name| first(name)).collect();
    add_images(&server, images).await;
    let gcrane = with_agent(server.admin(), GCRANE);
    for (path, expected) in [("p/r1", &expected), ("p/r1/top", &of_top)] {
        let reply = gcrane.get(&format!("/v2/{path}/tags/list?n=1000")).await.expect_status(200);
        let json = reply.json();
        assert!(string_list(&json["child"]).iter().eq(expected), "{path}: {}", json["child"]);
        assert_eq!((&json["tags"], &json["manifest"]), (&json!([]), &json!({})), "{path}");
        assert_eq!((&json["name"], next_page(&reply)), (&json!(path), None));
    }
    let many = gcrane.get("/v2/p/r1/j/tags/list").await.expect_status(200).json();
    assert_eq!(string_list(&many["child"]).len(), 1_200);
}

async fn complete_lists_need_the_permission_to_read(server: TestServer) {
    Image::new(1).push(&server.admin(), (IMAGE, "latest")).await;
    for path in ["p/r1", IMAGE] {
        let path = format!("/v2/{path}/tags/list");
        let ask = async |client: Client| with_agent(client, GCRANE).get(&path).await;
        ask(server.client_of("reader-1")).await.expect_status(200);
        ask(server.client_of("nobody")).await.expect_oci_error("403 DENIED");
        ask(server.anonymous()).await.expect_oci_error("401 UNAUTHORIZED");
    }
    let gcrane = with_agent(server.admin(), GCRANE);
    for path in ["p/r1/other", "p/other/image", "p/other", "other", "p/r1/imag", "p/r1/image/below"]
    {
        let unknown = gcrane.get(&format!("/v2/{path}/tags/list")).await;
        unknown.expect_oci_error("404 NAME_UNKNOWN");
    }
}

/// A list that breaks off must not look like a short list.
async fn a_list_that_fails_halfway_ends_with_an_error(server: TestServer) {
    Image::new(1).push(&server.admin(), (IMAGE, "latest")).await;
    add_versions(&server, vec![1; 450]).await;
    let gcrane = with_agent(server.admin(), GCRANE);
    let list = format!("/v2/{IMAGE}/tags/list");
    read_whole(begin_list(&gcrane, &list).await).await.expect("it is whole");
    let answer = request_over_http1(&gcrane, &list).await.expect("an answer");
    read_whole(answer).await.expect("it is whole");
    // A version in the third part of the list gets an invalid digest.
    let meta = server.open_meta().await;
    let broken = meta.write(|tx| {
        tx.execute(
            "INSERT INTO manifest_contents (digest, bytes) VALUES ('zzz', ?1)",
            &[SqlParam::from(&b"x"[..])],
        )?;
        let sql =
            "UPDATE versions SET digest = 'zzz' WHERE digest = (SELECT max(digest) FROM versions)";
        tx.execute(sql, &[])
    });
    assert_eq!(broken.await.expect("writable"), 1);
    let outcomes =
        [request_over_http1(&gcrane, &list).await, request_over_http2(&gcrane, &list).await];
    // The end of a connection or the reset of a stream may come before the head of the answer.
    for answer in outcomes.into_iter().flatten() {
        assert_eq!(answer.status(), 200);
        assert!(read_whole(answer).await.is_err(), "it has no end");
    }
}

async fn a_list_of_a_deleted_image_ends_with_an_error(server: TestServer) {
    let admin = server.google_admin();
    let gcrane = with_agent(server.admin(), GCRANE);
    let list = format!("/v2/{IMAGE}/tags/list");
    let repository = "/v1/projects/p/locations/us-west1/repositories/r1";
    for deleted in [format!("{repository}/packages/image"), repository.to_owned()] {
        Image::new(1).push(&server.admin(), (IMAGE, "latest")).await;
        add_versions(&server, vec![1; 450]).await;
        let answer = begin_list(&gcrane, &list).await;
        assert_eq!(answer.status(), 200);
        admin.delete(&deleted).await.expect_status(200);
        assert!(read_whole(answer).await.is_err(), "it has no end: {deleted}");
        gcrane.get(&list).await.expect_oci_error("404 NAME_UNKNOWN");
    }
}

/// A slow reader holds one of a few places. The place is free again when the reader is done.
async fn concurrent_complete_lists_are_limited(server: TestServer) {
    Image::new(1).push(&server.admin(), (IMAGE, "latest")).await;
    Image::new(1).push(&server.admin(), ("p/r2/image", "latest")).await;
    add_versions(&server, vec![1; 450]).await;
    let list = format!("/v2/{IMAGE}/tags/list");
    let gcrane = |caller: &str| with_agent(server.client_of(caller), GCRANE);
    let mut first = Vec::new();
    for _ in 0..8 {
        first.push(begin_list(&gcrane("first-admin"), &list).await);
    }
    assert!(first.iter().all(|answer| answer.status() == 200));
    let refused = gcrane("first-admin").get(&list).await;
    assert_eq!(refused.header("retry-after"), "5");
    refused.expect_oci_error("429 TOOMANYREQUESTS");
    let head = gcrane("first-admin").head(&list).await.expect_status(429);
    assert_eq!(head.header("retry-after"), "5");
    gcrane("first-admin").get("/v2/p/r1/tags/list").await.expect_oci_error("429 TOOMANYREQUESTS");
    // Pages need no place, and other callers have places of their own.
    server.admin().get(&list).await.expect_status(200);
    let mut second = Vec::new();
    for caller in ["other-admin", "reader-1"].into_iter().cycle().take(8) {
        second.push(begin_list(&gcrane(caller), &list).await);
    }
    assert!(second.iter().all(|answer| answer.status() == 200));
    gcrane("reader-1").get(&list).await.expect_oci_error("429 TOOMANYREQUESTS");
    // A caller without the permission does not learn that the places are taken.
    gcrane("nobody").get(&list).await.expect_oci_error("403 DENIED");
    for answer in second.drain(4..) {
        read_whole(answer).await.expect("it is whole");
    }
    gcrane("reader-1").get(&list).await.expect_status(200);
    // A client that leaves frees its place. The server notices that a moment later.
    drop((first, second));
    let mut tries = 0;
    while gcrane("first-admin").get(&list).await.status != 200 {
        tries += 1;
        assert!(tries < 600, "the places do not come back");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
