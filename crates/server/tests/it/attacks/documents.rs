//! Attacks 54 to 59: manifests that are too large, ambiguous or wrong.

use berth_server::config::DurationSetting;
use model::media_type::{OCI_INDEX, OCI_MANIFEST};
use serde_json::json;

use crate::util::{Backend, Client, Image, Reply, TestServer, descriptor_of, digest_of, on_both};

const IMAGE: &str = "p/r1/image";

async fn put_manifest(
    client: &Client,
    media_type: &str,
    manifest: impl Into<bytes::Bytes>,
) -> Reply {
    client.push_manifest((IMAGE, "x"), media_type, manifest).await
}

/// A valid index that is padded to a length.
fn padded_index(length: usize) -> String {
    let empty = r#"{"schemaVersion":2,"manifests":[],"annotations":{"x":""}}"#;
    empty.replace("\"\"", &format!("\"{}\"", "a".repeat(length - empty.len())))
}

on_both![
    attack_54_manifests_have_a_maximal_size,
    attack_55_a_manifest_has_one_type,
    attack_56_no_key_is_repeated,
    attack_56_fields_are_spelled_exactly,
    keys_of_maps_may_differ_in_case,
    attack_57_a_manifest_has_a_maximal_number_of_keys,
    attack_57_a_call_has_a_maximal_number_of_keys,
    attack_57_strange_documents_are_refused,
    attack_58_sizes_must_be_right,
    attack_59_deep_and_wide_indexes_are_bounded
];

async fn attack_54_manifests_have_a_maximal_size(server: TestServer) {
    const LIMIT: usize = 4 << 20;
    let admin = server.admin();
    put_manifest(&admin, OCI_INDEX, padded_index(LIMIT)).await.expect_status(201);
    put_manifest(&admin, OCI_INDEX, padded_index(LIMIT + 1))
        .await
        .expect_oci_error("413 MANIFEST_INVALID");
    // The body says that it is very long, and is refused at once.
    let head = format!(
        "PUT /v2/{IMAGE}/manifests/x HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
         content-type: {OCI_INDEX}\r\nconnection: close\r\n",
        admin.authorization()
    );
    let chunked = format!(
        "{head}transfer-encoding: chunked\r\n\r\n{}",
        format!("100000\r\n{}\r\n", "a".repeat(0x10_0000)).repeat(5)
    );
    let answer = admin.send_raw(chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let huge = format!("{head}content-length: 1000000000000000000\r\n\r\n{}", "a".repeat(5 << 20));
    let answer = admin.send_raw(huge.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

async fn attack_55_a_manifest_has_one_type(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push_blobs(&admin, IMAGE).await;
    let refused = async |media_type: &str, manifest: String| {
        put_manifest(&admin, media_type, manifest).await.expect_oci_error("400 MANIFEST_INVALID");
    };
    refused(OCI_INDEX, image.manifest.clone()).await;
    let both = image.manifest.replacen('{', r#"{"manifests":[],"#, 1);
    refused(OCI_MANIFEST, both.clone()).await;
    refused(OCI_INDEX, both.replace(OCI_MANIFEST, OCI_INDEX)).await;
    let config = format!(
        r#"{{"schemaVersion":2,"manifests":[],"config":{{"mediaType":"x","digest":"{}","size":1}}}}"#,
        digest_of(&image.blobs[0])
    );
    refused(OCI_INDEX, config).await;
    let silent = image.manifest.replace(&format!(",\"mediaType\":\"{OCI_MANIFEST}\""), "");
    assert_ne!(silent, image.manifest);
    refused("", silent.clone()).await;
    refused("application/octet-stream", silent.clone()).await;
    // The Content-Type decides if a manifest names no media type. A pull returns the same type.
    put_manifest(&admin, OCI_MANIFEST, silent.clone()).await.expect_status(201);
    let pulled = admin.get(&format!("/v2/{IMAGE}/manifests/x")).await.expect_status(200);
    assert_eq!(
        (pulled.header("content-type"), &pulled.body[..]),
        (OCI_MANIFEST, silent.as_bytes())
    );
}

async fn attack_56_no_key_is_repeated(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push_blobs(&admin, IMAGE).await;
    for extra in [
        r#""layers":[],"#,
        r#""mediaType":"application/vnd.oci.image.index.v1+json","#,
        r#""\u006dediaType":"application/vnd.oci.image.index.v1+json","#,
        r#""annotations":{"a":"b","a":"c"},"#,
        r#""MediaType":"application/vnd.oci.image.index.v1+json","#,
        r#""annotations":{"a":"b","\u0061":"c"},"#,
        r#""x":[{"y":{"a":1,"a":1}}],"#,
    ] {
        let manifest = image.manifest.replacen('{', &format!("{{{extra}"), 1);
        put_manifest(&admin, OCI_MANIFEST, manifest).await.expect_oci_error("400 MANIFEST_INVALID");
    }
    // The bytes are stored as they came, including white space.
    let spaced = image.manifest.replace(',', " ,\n");
    put_manifest(&admin, OCI_MANIFEST, spaced.clone()).await.expect_status(201);
    let pulled = admin.get(&format!("/v2/{IMAGE}/manifests/x")).await.expect_status(200);
    assert_eq!(pulled.body, spaced);
    assert_eq!(pulled.header("docker-content-digest"), digest_of(&spaced));
}

/// Go's decoder takes `layerſ` for `layers`, and the last field wins. A client would pull content that nobody has
/// checked.
async fn attack_56_fields_are_spelled_exactly(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push_blobs(&admin, IMAGE).await;
    let refused = async |media_type: &str, manifest: String| {
        let refused = put_manifest(&admin, media_type, manifest.clone()).await;
        let message = refused.json()["errors"][0]["message"].to_string();
        assert!(message.contains("must be spelled"), "{manifest}: {message}");
        refused.expect_oci_error("400 MANIFEST_INVALID");
    };
    let evil = r#"[{"mediaType":"x","digest":"sha256:$","size":1}]"#.replace('$', &"a".repeat(64));
    for key in [
        "layer\u{17f}",
        r"layer\u017f",
        "LAYERS",
        "manife\u{17f}t\u{17f}",
        "Manifests",
        "fslayers",
        "Subject",
    ] {
        let first = image.manifest.replacen('{', &format!("{{\"{key}\":{evil},"), 1);
        refused(OCI_MANIFEST, first).await;
        let end = image.manifest.len() - 1;
        let last = format!("{},\"{key}\":{evil}}}", &image.manifest[..end]);
        refused(OCI_MANIFEST, last).await;
        refused(OCI_INDEX, format!(r#"{{"schemaVersion":2,"manifests":[],"{key}":{evil}}}"#)).await;
    }
    // The fields of descriptors and platforms are spelled exactly, too, and those of a subject.
    for key in ["dige\u{17f}t", r"Dige\u0073t", "\u{17f}ize", "URLs", "Data", "platForm"] {
        let config =
            image.manifest.replacen("\"digest\"", &format!("\"{key}\":null,\"digest\""), 1);
        refused(OCI_MANIFEST, config).await;
        let mut named = image.descriptor();
        named[key.replace(r"\u0073", "s")] = json!(null);
        let index = json!({ "schemaVersion": 2, "manifests": [named] });
        refused(OCI_INDEX, index.to_string()).await;
        let subject = json!({ "schemaVersion": 2, "manifests": [], "subject": named });
        refused(OCI_INDEX, subject.to_string()).await;
    }
    for key in ["o\u{17f}", "OS.features", "o\u{17f}.ver\u{17f}ion", "Variant", "Features"] {
        let mut named = image.descriptor();
        named["platform"] = json!({ "architecture": "a", "os": "b", key: null });
        let index = json!({ "schemaVersion": 2, "manifests": [named] });
        refused(OCI_INDEX, index.to_string()).await;
    }
}

/// `oras push --annotation` and `crane mutate` make such manifests.
async fn keys_of_maps_may_differ_in_case(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push_blobs(&admin, IMAGE).await;
    let both = r#"{"release":"1","Release":"2","relea\u017fe":"3","Layers":"4"}"#;
    for extra in [
        format!(r#""annotations":{both},"#),
        format!(r#""x-unknown":{{"layers":[],"Layers":[],"deeper":{both}}},"#),
        r#""x-Unknown":1,"x-unknown":2,"#.to_owned(),
    ] {
        let manifest = image.manifest.replacen('{', &format!("{{{extra}"), 1);
        put_manifest(&admin, OCI_MANIFEST, manifest.clone()).await.expect_status(201);
        let pulled = admin.get(&format!("/v2/{IMAGE}/manifests/x")).await.expect_status(200);
        assert_eq!(pulled.body, manifest);
    }
    let layer = image.manifest.replacen("\"size\"", &format!("\"annotations\":{both},\"size\""), 1);
    put_manifest(&admin, OCI_MANIFEST, layer).await.expect_status(201);
}

/// Looking at very many keys takes long, and no client needs them.
async fn attack_57_a_manifest_has_a_maximal_number_of_keys(server: TestServer) {
    let admin = server.admin();
    let keys =
        |count: usize| (0..count).map(|key| format!("\"{key}\":0")).collect::<Vec<_>>().join(",");
    let index = |unknown: String| format!(r#"{{"schemaVersion":2,"manifests":[],"x":{unknown}}}"#);
    put_manifest(&admin, OCI_INDEX, index(format!("{{{}}}", keys(90_000))))
        .await
        .expect_status(201);
    for many in
        [format!("{{{}}}", keys(300_000)), format!("[{}]", vec![r#"{"a":0}"#; 300_000].join(","))]
    {
        let refused = put_manifest(&admin, OCI_INDEX, index(many)).await;
        let message = refused.json()["errors"][0]["message"].to_string();
        assert!(message.contains("more than 100000 keys"), "{message}");
        refused.expect_oci_error("400 MANIFEST_INVALID");
    }
    // The error does not repeat a long text.
    let long = "a".repeat(1 << 20);
    for manifest in [
        format!(r#"{{"schemaVersion":"{long}"}}"#),
        format!(r#"{{"schemaVersion":2,"mediaType":"{long}"}}"#),
        format!(r#"{{"{long}":1,"{long}":2}}"#),
    ] {
        let refused = put_manifest(&admin, OCI_INDEX, manifest)
            .await
            .expect_oci_error("400 MANIFEST_INVALID");
        assert!(refused.body.len() < 2_000, "{} bytes", refused.body.len());
    }
}

/// The same rules hold for the bodies of Google's APIs.
async fn attack_57_a_call_has_a_maximal_number_of_keys(server: TestServer) {
    let admin = server.google_admin().client;
    let create = "/v1/projects/p/locations/us-west1/repositories?repositoryId=keys";
    let keys = |count: usize| {
        (0..count).map(|key| format!("\"k{key}\":\"\"")).collect::<Vec<_>>().join(",")
    };
    let long = "a".repeat(1 << 20);
    for (body, text) in [
        (format!(r#"{{"labels":{{{}}}}}"#, keys(200_000)), "more than 100000 keys"),
        (
            format!(r#"{{"x":[{}]}}"#, vec![r#"{"a":0}"#; 200_000].join(",")),
            "more than 100000 keys",
        ),
        (r#"{"description":"one","description":"two"}"#.to_owned(), "stands twice"),
        (format!(r#"{{"{long}":1,"{long}":2}}"#), "stands twice"),
        (format!(r#"{{"format":"{long}"}}"#), "format"),
        (format!(r#"{{"{long}":1}}"#), "Unknown name"),
    ] {
        let refused = admin.post(create, body).await.expect_google_error("400 INVALID_ARGUMENT");
        let message = refused.json()["error"]["message"].to_string();
        assert!(message.contains(text), "{message}");
        assert!(refused.body.len() < 4_000, "{} bytes", refused.body.len());
    }
    admin.get("/v1/projects/p/locations/us-west1/repositories/keys").await.expect_status(404);
}

async fn attack_57_strange_documents_are_refused(server: TestServer) {
    let admin = server.admin();
    let valid = r#"{"schemaVersion":2,"manifests":[]}"#;
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let with = |value: &str| valid.replacen('{', &format!("{{\"x\":{value},"), 1);
    let many = |count: usize| vec!["0"; count].join(",");
    let documents: Vec<Vec<u8>> = [
        with(&nested(129)),
        with(&nested(10_000)),
        with("1e999"),
        with("\"\\ud800\""),
        valid.replacen('{', r#"{"artifactType":"a\u0000b","#, 1),
        format!("\u{feff}{valid}"),
        format!("{valid}{valid}"),
        format!("{valid}\0"),
        valid.replace("2", "18446744073709551616"),
        valid.replace("2", "-0"),
        valid.replace("[]", &format!("[{}]", many(1_000_000))),
        String::new(),
    ]
    .into_iter()
    .map(String::into_bytes)
    .chain([valid.encode_utf16().flat_map(u16::to_le_bytes).collect(), vec![0xff; 100]])
    .collect();
    for document in documents {
        put_manifest(&admin, OCI_INDEX, document).await.expect_oci_error("400 MANIFEST_INVALID");
    }
    put_manifest(&admin, OCI_INDEX, with(&format!("[{}]", many(1_000_000))))
        .await
        .expect_status(201);
    let blob = |media_type: &str| descriptor_of(media_type, "x");
    let image = |config: &str, layers: usize| {
        json!({ "schemaVersion": 2, "config": blob(config), "layers": vec![blob("x"); layers] })
            .to_string()
    };
    put_manifest(&admin, OCI_MANIFEST, image("a\0b", 1))
        .await
        .expect_oci_error("400 MANIFEST_INVALID");
    let long = put_manifest(&admin, OCI_MANIFEST, image("a", 10_000))
        .await
        .expect_oci_error("400 MANIFEST_INVALID");
    assert!(long.json()["errors"][0]["message"].to_string().contains("5000"), "{long:?}");
    // NUL is allowed in texts that do not end with it elsewhere.
    let text =
        json!({ "schemaVersion": 2, "manifests": [], "annotations": { "a\0": "\0" } }).to_string();
    put_manifest(&admin, OCI_INDEX, text.clone()).await.expect_status(201);
    assert_eq!(admin.get(&format!("/v2/{IMAGE}/manifests/x")).await.expect_status(200).body, text);
}

async fn attack_58_sizes_must_be_right(server: TestServer) {
    let admin = server.admin();
    let image = Image::new(1);
    image.push_blobs(&admin, IMAGE).await;
    let with_size =
        |size: &str| image.manifest.replacen("\"size\":100", &format!("\"size\":{size}"), 1);
    for size in ["-1", "9223372036854775808", "18446744073709551616", "1.5", "\"100\""] {
        put_manifest(&admin, OCI_MANIFEST, with_size(size))
            .await
            .expect_oci_error("400 MANIFEST_INVALID");
    }
    for size in ["99", "101", "0", "9223372036854775807"] {
        put_manifest(&admin, OCI_MANIFEST, with_size(size))
            .await
            .expect_oci_error("400 SIZE_INVALID");
    }
    put_manifest(&admin, OCI_MANIFEST, image.manifest.clone()).await.expect_status(201);
    let child =
        json!({ "mediaType": OCI_MANIFEST, "digest": digest_of(&image.manifest), "size": 5 });
    let index = json!({ "schemaVersion": 2, "manifests": [child] }).to_string();
    put_manifest(&admin, OCI_INDEX, index).await.expect_oci_error("400 SIZE_INVALID");
}

async fn attack_59_deep_and_wide_indexes_are_bounded(server: TestServer) {
    let admin = server.admin();
    let mut below = r#"{"schemaVersion":2,"manifests":[]}"#.to_owned();
    for _ in 0..100 {
        put_manifest(&admin, OCI_INDEX, below.clone()).await.expect_status(201);
        let child = descriptor_of(OCI_INDEX, &below);
        below = json!({ "schemaVersion": 2, "manifests": [child] }).to_string();
    }
    put_manifest(&admin, OCI_INDEX, below.clone()).await.expect_status(201);
    admin.delete(&format!("/v2/{IMAGE}/manifests/{}", digest_of(&below))).await.expect_status(202);
    let child = descriptor_of(OCI_INDEX, "x");
    let wide = json!({ "schemaVersion": 2, "manifests": vec![child; 10_000] }).to_string();
    let refused = put_manifest(&admin, OCI_INDEX, wide).await;
    assert!(refused.json()["errors"][0]["message"].to_string().contains("5000"));
    refused.expect_oci_error("400 MANIFEST_INVALID");
    // A subject may be any manifest, even one that refers back, because the server does not follow subjects.
    let subject = descriptor_of(OCI_INDEX, &below);
    let loops = json!({ "schemaVersion": 2, "manifests": [], "subject": subject }).to_string();
    put_manifest(&admin, OCI_INDEX, loops.clone()).await.expect_status(201);
    let referrers = admin.get(&format!("/v2/{IMAGE}/referrers/{}", digest_of(&below))).await;
    assert_eq!(referrers.json()["manifests"][0]["digest"], digest_of(&loops));
}

/// Attack 54 with a body that stops. Nothing is stored, so that one database suffices.
#[tokio::test]
async fn attack_54_a_manifest_that_stops_coming_times_out() {
    let server = TestServer::start_with(Backend::Sqlite, |config| {
        config.limits.idle_timeout = "300ms".parse::<DurationSetting>().expect("a time");
    })
    .await;
    let admin = server.admin();
    let start = format!(
        "PUT /v2/{IMAGE}/manifests/x HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
         content-type: {OCI_INDEX}\r\nconnection: close\r\ncontent-length: 100\r\n\r\n\
         {{\"schemaVersion\":2",
        admin.authorization()
    );
    let answer = admin.send_raw(start.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    admin.get("/v2/p/r1/tags/list").await.expect_oci_error("404 NAME_UNKNOWN");
}
