use proptest::prelude::*;

use super::*;
use crate::media_type::{DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST};

/// Replaces `$D` by a digest. The digest would make the tables hard to read.
fn expand(json: &str) -> String {
    json.replace("$D", &format!("sha256:{}", "d".repeat(64)))
}

#[track_caller]
fn check(content_type: Option<&str>, json: &str, expected: &str) {
    let actual = match Manifest::parse(expand(json).as_bytes(), content_type) {
        Ok(manifest) => format!("{:?}", manifest.kind),
        Err(error) => error.to_string(),
    };
    assert!(actual.contains(expected), "{json}\n  gives    {actual}\n  expected {expected}");
}

const CONFIG: &str = r#""config":{"mediaType":"c","digest":"$D","size":5}"#;

fn image(extra: &str) -> String {
    format!(r#"{{"schemaVersion":2,{CONFIG},"layers":[]{extra}}}"#)
}

#[test]
fn the_media_type_is_stated_once_at_least_and_never_twice_differently() {
    check(Some(OCI_MANIFEST), &image(""), "Image");
    check(Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"), &image(""), "Image");
    check(None, &image(""), "no mediaType");
    check(Some(""), &image(""), "no mediaType");
    check(Some("application/json"), &image(""), "no mediaType");
    check(Some("text/html"), &image(r#","mediaType":"text/html""#), "not a media type");
    let stated = image(&format!(r#","mediaType":"{OCI_MANIFEST}""#));
    check(None, &stated, "Image");
    check(Some(OCI_MANIFEST), &stated, "Image");
    check(Some(DOCKER_MANIFEST), &stated, "Content-Type is");
    check(Some(OCI_INDEX), &stated, "Content-Type is");
    check(Some("application/json"), &stated, "Content-Type is");
}

#[test]
fn an_image_is_no_index() {
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    check(Some(OCI_INDEX), index, "Index");
    check(Some(DOCKER_MANIFEST_LIST), index, "Index");
    check(Some(OCI_INDEX), r#"{"schemaVersion":2,"manifests":null}"#, "Index");
    check(Some(OCI_INDEX), r#"{"schemaVersion":2}"#, r#"must have "manifests""#);
    check(Some(OCI_MANIFEST), index, r#"must have "config""#);
    check(Some(OCI_INDEX), &image(""), r#"must not have "config""#);
    check(Some(OCI_MANIFEST), &image(r#","manifests":[]"#), r#"must not have "manifests""#);
    let both = r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#;
    check(Some(OCI_INDEX), both, r#"must not have "layers""#);
    let no_layers = format!(r#"{{"schemaVersion":2,{CONFIG}}}"#);
    check(Some(OCI_MANIFEST), &no_layers, r#"must have "layers""#);
    check(Some(OCI_MANIFEST), &no_layers.replace('}', "},\"layers\":null}"), "not valid");
}

#[test]
fn ambiguous_documents() {
    check(Some(OCI_MANIFEST), &image(r#","layers":[]"#), "stands twice");
    check(Some(OCI_MANIFEST), &image(r#","Layers":[]"#), r#"must be spelled "layers""#);
    check(Some(OCI_MANIFEST), &image(r#","x":{"a":1,"a":1}"#), "stands twice");
    check(Some(OCI_MANIFEST), &image(r#","\u006cayers":[]"#), "stands twice");
    check(Some(OCI_MANIFEST), &format!("{} ", image("")), "Image");
    check(Some(OCI_MANIFEST), &format!("{}x", image("")), "trailing");
    check(Some(OCI_MANIFEST), &format!("\u{feff}{}", image("")), "not valid");
    check(Some(OCI_MANIFEST), "[]", "not valid");
    check(Some(OCI_MANIFEST), "", "not valid");
    check(Some(OCI_MANIFEST), "null", "not valid");
}

/// A key that clients take for a field must be spelled like the field. That holds everywhere in a manifest, also if the
/// field itself is missing, and also for fields that Berth does not read.
#[test]
fn fields_are_spelled_exactly() {
    let refused = "must be spelled";
    for key in [
        "SchemaVersion",
        "MediaType",
        "ArtifactType",
        "Config",
        "layer\u{17f}",
        "LAYERS",
        "Manifests",
        "manife\u{17f}ts",
        "Subject",
        "Annotation\u{17f}",
        "Blobs",
        "FsLayers",
        "fSLayers",
        "History",
        "Signatures",
        "Name",
        "Tag",
        "Architecture",
    ] {
        check(Some(OCI_MANIFEST), &image(&format!(r#","{key}":[]"#)), refused);
        let index = format!(r#"{{"schemaVersion":2,"manifests":[],"{key}":[]}}"#);
        check(Some(OCI_INDEX), &index, refused);
    }
    for key in [
        "MediaType",
        "Digest",
        "dige\u{17f}t",
        "Size",
        "\u{17f}ize",
        "URLs",
        "Annotations",
        "Data",
        "Platform",
        "ArtifactType",
    ] {
        let descriptor = format!(r#"{{"mediaType":"m","digest":"$D","size":5,"{key}":1}}"#);
        let config = format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[]}}"#);
        check(Some(OCI_MANIFEST), &config, refused);
        let layers = format!(r#"{{"schemaVersion":2,{CONFIG},"layers":[{descriptor}]}}"#);
        check(Some(DOCKER_MANIFEST), &layers, refused);
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{descriptor}]}}"#);
        check(Some(DOCKER_MANIFEST_LIST), &index, refused);
        check(Some(OCI_MANIFEST), &image(&format!(r#","subject":{descriptor}"#)), refused);
    }
    for key in
        ["Architecture", "OS", "o\u{17f}", "OS.version", "os.Features", "Variant", "Features"]
    {
        let platform = format!(r#"{{"architecture":"a","os":"o","{key}":"x"}}"#);
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"m","digest":"$D","size":5,"platform":{platform}}}]}}"#
        );
        check(Some(OCI_INDEX), &index, refused);
    }
}

#[test]
fn maps_are_maps() {
    let both = r#"{"release":"1","Release":"2","relea\u017fe":"3"}"#;
    check(Some(OCI_MANIFEST), &image(&format!(r#","annotations":{both}"#)), "Image");
    let descriptor = format!(
        r#"{{"mediaType":"m","digest":"$D","size":5,"annotations":{both},"x":{{"Size":1}}}}"#
    );
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{descriptor}]}}"#);
    check(Some(OCI_INDEX), &index, "Index");
    // An unknown field may hold any keys, also those of a manifest.
    let unknown = r#","x":{"Layers":[],"layers":[],"config":{"Digest":1}},"digest":1,"Digest":2"#;
    check(Some(OCI_MANIFEST), &image(unknown), "Image");
    check(Some(OCI_MANIFEST), &image(r#","annotations":{"a":"1","\u0061":"2"}"#), "stands twice");
    check(Some(OCI_MANIFEST), &image(r#","x":[{"y":{"a":1,"a":2}}]"#), "stands twice");
}

#[test]
fn objects_are_no_arrays() {
    check(Some(OCI_INDEX), r#"[2,null,null,null,null,[],null,null]"#, "not valid");
    let layer = r#"["m","$D",5,null,null]"#;
    let layers = format!(r#"{{"schemaVersion":2,{CONFIG},"layers":[{layer}]}}"#);
    check(Some(OCI_MANIFEST), &layers, "not valid");
}

#[test]
fn schemas() {
    let old = r#"{"schemaVersion":1,"name":"a","fsLayers":[]}"#;
    check(Some("application/vnd.docker.distribution.manifest.v1+prettyjws"), old, "skopeo");
    check(Some(OCI_MANIFEST), old, "skopeo");
    check(None, old, "skopeo");
    check(Some(OCI_MANIFEST), &image("").replace('2', "3"), "schemaVersion 2");
    check(Some(OCI_MANIFEST), r#"{"config":{},"layers":[]}"#, "not valid");
    check(Some(OCI_MANIFEST), r#"{"layers":[]}"#, "schemaVersion 2");
}

#[test]
fn descriptors() {
    let layer = |layer: &str| format!(r#"{{"schemaVersion":2,{CONFIG},"layers":[{layer}]}}"#);
    let sized = |size: &str| {
        layer(&format!(r#"{{"mediaType":"l","digest":"sha256:{}","size":{size}}}"#, "e".repeat(64)))
    };
    check(Some(OCI_MANIFEST), &sized("0"), "Image");
    check(Some(OCI_MANIFEST), &sized("9223372036854775807"), "Image");
    check(Some(OCI_MANIFEST), &sized("9223372036854775808"), "layers[0]: size");
    check(Some(OCI_MANIFEST), &sized("18446744073709551616"), "not valid");
    check(Some(OCI_MANIFEST), &sized("-1"), "not valid");
    check(Some(OCI_MANIFEST), &sized("-0"), "not valid");
    check(Some(OCI_MANIFEST), &sized("1.5"), "not valid");
    check(Some(OCI_MANIFEST), &sized("1e999"), "not valid");
    check(Some(OCI_MANIFEST), &sized("\"1\""), "not valid");
    check(Some(OCI_MANIFEST), &layer(r#"{"mediaType":"l","digest":"$D","size":6}"#), "two sizes");
    check(
        Some(OCI_MANIFEST),
        &layer(r#"{"mediaType":"l","digest":"md5:x","size":6}"#),
        "layers[0]",
    );
    check(Some(OCI_MANIFEST), &layer(r#"{"mediaType":"l","size":6}"#), "digest");
    check(Some(OCI_MANIFEST), &layer(r#"{"digest":"$D","size":6}"#), "mediaType");
    check(Some(OCI_MANIFEST), &layer("5"), "not valid");
}

#[test]
fn artifact_types() {
    let typed = |artifact_type: &str| image(&format!(r#","artifactType":"{artifact_type}""#));
    let refused = "must have at most 255 characters";
    check(Some(OCI_MANIFEST), &typed(&"a".repeat(MAX_ARTIFACT_TYPE_CHARS)), "Image");
    check(Some(OCI_MANIFEST), &typed("application/x; a=b"), "Image");
    check(Some(OCI_MANIFEST), &typed(&"a".repeat(MAX_ARTIFACT_TYPE_CHARS + 1)), refused);
    for strange in [r"a\u0000", r"a\n", r"\u009b", "\u{e9}"] {
        check(Some(OCI_MANIFEST), &typed(strange), refused);
        let config = format!(r#""mediaType":"{strange}""#);
        let config = image("").replace(r#""mediaType":"c""#, &config);
        check(Some(OCI_MANIFEST), &config, refused);
        // Annotations are stored as JSON, where such characters are escaped.
        check(
            Some(OCI_MANIFEST),
            &image(&format!(r#","annotations":{{"{strange}":"{strange}"}}"#)),
            "Image",
        );
    }
}

#[test]
fn the_number_of_descriptors_is_bounded() {
    let index = |count: usize| {
        let child = r#"{"mediaType":"m","digest":"$D","size":6}"#;
        format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, vec![child; count].join(","))
    };
    check(Some(OCI_INDEX), &index(MAX_DESCRIPTORS), "Index");
    check(Some(OCI_INDEX), &index(MAX_DESCRIPTORS + 1), "the limit is 5000");
    let huge = "x".repeat(MAX_MANIFEST_BYTES + 1);
    assert_eq!(Manifest::parse(huge.as_bytes(), None), Err(ManifestError::TooLarge));
}

#[test]
fn fields_of_a_manifest_are_read() {
    let json = expand(
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
        "config":{"mediaType":"application/x.config","digest":"$D","size":5},
        "layers":[{"mediaType":"l","digest":"sha256:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee","size":7,
                   "urls":["https://example.com/layer"]}],
        "subject":{"mediaType":"m","digest":"$D","size":9},"annotations":{"a":"b"}}"#,
    );
    let manifest = Manifest::parse(json.as_bytes(), None).expect("valid");
    assert_eq!(manifest.artifact_type.as_deref(), Some("application/x.config"));
    assert_eq!(manifest.content_size(), 12);
    assert_eq!(manifest.required_blob_sizes().len(), 1, "a layer with URLs is not counted");
    assert_eq!(manifest.annotations["a"], "b");
    assert_eq!(manifest.subject.map(|subject| subject.size), Some(9));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Manifest::parse(&bytes, Some(OCI_MANIFEST));
    }

    #[test]
    fn no_change_of_a_manifest_makes_it_panic(at in 0_usize..130, byte: u8) {
        let mut bytes = expand(&image("")).into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(manifest) = Manifest::parse(&bytes, Some(OCI_MANIFEST)) {
            prop_assert!(manifest.content_size() <= MAX_CONTENT_SIZE);
        }
    }
}

#[test]
fn the_empty_blob_has_its_digest() {
    assert_eq!(Digest::of(EMPTY_BLOB).as_str(), EMPTY_BLOB_DIGEST);
}
