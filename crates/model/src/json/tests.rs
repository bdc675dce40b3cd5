use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::*;

#[track_caller]
fn check(json: &[u8], expected: bool) {
    let shown = String::from_utf8_lossy(&json[..json.len().min(60)]);
    let ignored = parse_strict::<IgnoredAny>(json).map(drop);
    assert_eq!(ignored.is_ok(), expected, "{shown}: {ignored:?}");
    let kept = parse_strict::<serde_json::Value>(json).map(drop);
    assert_eq!(kept.is_ok(), expected, "{shown}: {kept:?}");
}

#[test]
fn documents_that_every_reader_reads_alike() {
    check(br#"{"a":1,"b":[{"a":2},{"a":3}],"c":null,"d":"x","e":1.5,"f":true,"g":-1}"#, true);
    check(br#"{"a":1,"a":1}"#, false);
    check(br#"{"a":1,"A":1}"#, true);
    check("{\"s\":1,\"\u{17f}\":1}".as_bytes(), true);
    check(br#"{"mediaType":1,"\u006dediaType":1}"#, false);
    check(br#"{"x":[{"a":1,"a":2}]}"#, false);
    check(br#"[[{"x":{"a":1,"a":2}}]]"#, false);
    check(b"{} {}", false);
    check(b"{}x", false);
    check(b"{}\0", false);
    check(b"\xef\xbb\xbf{}", false);
    check(b"{\0}", false);
    check(br#"{"a":"\ud800"}"#, false);
    check(br#"{"\ud800":1}"#, false);
    check(b"{\"a\":\"\xff\"}", false);
    check(b"{\"\xff\":1}", false);
    check(br#"{"a":1e999}"#, false);
    check(b"", false);
    check(&"{}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(), false);
    let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
    check(nested(127).as_bytes(), true);
    check(nested(129).as_bytes(), false);
    check(nested(1_000_000).as_bytes(), false);
}

#[test]
fn a_document_has_a_bound_of_keys() {
    let keys = |count: usize| (0..count).map(|key| format!("\"{key}\":0")).collect::<Vec<_>>();
    let flat = |count: usize| format!("{{{}}}", keys(count).join(","));
    check(flat(MAX_DOCUMENT_KEYS).as_bytes(), true);
    check(flat(MAX_DOCUMENT_KEYS + 1).as_bytes(), false);
    let spread = |count: usize| format!("[{}]", vec![r#"{"a":{}}"#; count].join(","));
    check(spread(MAX_DOCUMENT_KEYS).as_bytes(), true);
    check(spread(MAX_DOCUMENT_KEYS + 1).as_bytes(), false);
}

static INNER: FieldTable = FieldTable(&[ClientField::plain("size"), ClientField::plain("os.k")]);
static OUTER: FieldTable =
    FieldTable(&[ClientField::with_fields("list", &INNER), ClientField::plain("map")]);

#[track_caller]
fn check_fields(json: &str, expected: bool) {
    let read = parse_document::<IgnoredAny>(json.as_bytes(), &OUTER).map(drop);
    assert_eq!(read.is_ok(), expected, "{json}: {read:?}");
}

#[test]
fn fields_are_spelled_exactly() {
    check_fields(
        r#"{"list":[{"size":1},{"size":2}],"map":{"Size":1,"size":2},"other":{"LIST":1}}"#,
        true,
    );
    check_fields(r#"{"List":[]}"#, false);
    check_fields("{\"li\u{17f}t\":[]}", false);
    check_fields(r#"{"li\u017ft":[]}"#, false);
    check_fields(r#"{"list":[],"List":[]}"#, false);
    check_fields(r#"{"list":[{"size":1},{"SIZE":2}]}"#, false);
    check_fields(r#"{"list":{"SIZE":2}}"#, false);
    check_fields(r#"{"list":[[{"SIZE":2}]]}"#, false);
    check_fields("{\"list\":[{\"os.\u{212a}\":1}]}", false);
    // The table says nothing about the keys of an object in an unknown field.
    check_fields(r#"{"list":[{"x":{"SIZE":2,"size":1}}],"x":{"list":1,"List":2}}"#, true);
    check_fields(r#"{"size":1,"SIZE":2}"#, true);
    check_fields(r#"{"size":1,"size":2}"#, false);
}

#[test]
fn structures_are_objects() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "read by serde")]
    struct Point {
        x: u64,
        more: Option<Box<Self>>,
        names: BTreeMap<String, String>,
    }
    let read = |json: &str| parse_strict::<Point>(json.as_bytes()).is_ok();
    assert!(read(r#"{"x":1,"names":{"a":"b","A":"c"},"more":{"x":2,"names":{}},"y":[1]}"#));
    assert!(!read(r#"[1,null,{}]"#));
    assert!(!read(r#"{"x":1,"names":{},"more":[2,null,{}]}"#));
    assert!(!read(r#"{"x":1,"names":{"a":"b","\u0061":"c"}}"#));
    assert!(!read(r#"{"x":1,"x":1,"names":{}}"#));
}

#[test]
fn errors_repeat_little() {
    let long = "k".repeat(1 << 20);
    for json in [format!(r#"{{"{long}":1,"{long}":2}}"#), format!(r#""{long}""#)] {
        let error = parse_strict::<BTreeMap<String, u64>>(json.as_bytes()).expect_err("refused");
        let text = describe_error(&error);
        assert!(text.len() < 500 && text.contains("line 1"), "{text}");
    }
}
