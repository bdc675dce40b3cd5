//! Several parts of a blob in one answer.

use bytes::Bytes;

use crate::util::{Client, Reply, TestServer, on_both, random_bytes};

const IMAGE: &str = "p/r1/image";

/// The parts of a multipart answer: the range and the bytes of each.
#[track_caller]
fn parse_parts(answer: &Reply) -> Vec<(String, Bytes)> {
    assert_eq!(answer.status, 206, "{answer:?}");
    assert_eq!(answer.header("content-range"), "", "each part has its own");
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    let boundary = answer.header("content-type").strip_prefix("multipart/byteranges; boundary=");
    let boundary = boundary.expect("several parts");
    let mut rest = answer.body.clone();
    let mut parts = Vec::new();
    let mut delimiter = format!("--{boundary}");
    loop {
        assert_eq!(rest.split_to(delimiter.len()), delimiter, "{parts:?}");
        if rest == "--\r\n" {
            return parts;
        }
        let end = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(rest.split_to(end + 4).to_vec()).expect("plain text");
        let lines: Vec<_> = head.split("\r\n").collect();
        let ["", "Content-Type: application/octet-stream", range, "", ""] = lines[..] else {
            panic!("{head:?}")
        };
        let range = range.strip_prefix("Content-Range: bytes ").expect("a range").to_owned();
        let (first, last) =
            range.split_once('/').and_then(|(range, _)| range.split_once('-')).expect("numbers");
        let [first, last]: [usize; 2] =
            [first, last].map(|number| number.parse().expect("a number"));
        parts.push((range, rest.split_to(last - first + 1)));
        delimiter = format!("\r\n--{boundary}");
    }
}

async fn get_range(client: &Client, path: &str, range: &str) -> Reply {
    client.clone().with_header("range", range).get(path).await
}

on_both![
    several_ranges_are_answered_in_order,
    other_ranges_get_the_whole_blob,
    ranges_of_a_corrupt_copy_are_not_served
];

async fn several_ranges_are_answered_in_order(server: TestServer) {
    let admin = server.admin();
    // The blob is longer than one read.
    let bytes = random_bytes(3_000_000, 7);
    let digest = admin.push_blob(IMAGE, bytes.clone()).await;
    let path = format!("/v2/{IMAGE}/blobs/{digest}");
    let answer = get_range(&admin, &path, "bytes=0-0,10-19,100000-1899999,-5").await;
    assert_eq!(answer.header("etag"), format!("\"{digest}\""));
    assert_eq!(answer.header("docker-content-digest"), digest.as_str());
    let expected = [
        ("0-0/3000000", 0..1),
        ("10-19/3000000", 10..20),
        ("100000-1899999/3000000", 100_000..1_900_000),
        ("2999995-2999999/3000000", 2_999_995..3_000_000),
    ];
    let expected = expected.map(|(range, place)| (range.to_owned(), bytes.slice(place)));
    assert!(parse_parts(&answer) == expected);
    let http2 =
        get_range(&admin.clone().over_http2(), &path, "bytes=0-0,10-19,100000-1899999,-5").await;
    assert!(parse_parts(&http2) == expected);
    let again = get_range(&admin, &path, "bytes=0-0,2-2").await;
    assert_ne!(again.header("content-type"), answer.header("content-type"), "nobody can guess it");
    // 100 ranges are the most that one answer may have.
    let many: Vec<_> = (0..100).map(|n| format!("{}-{}", 7 * n, 7 * n + 4)).collect();
    let answer = parse_parts(&get_range(&admin, &path, &format!("bytes={}", many.join(","))).await);
    assert_eq!(answer.len(), 100);
    assert!(answer.iter().enumerate().all(|(n, (_, part))| *part == bytes[7 * n..7 * n + 5]));
}

async fn other_ranges_get_the_whole_blob(server: TestServer) {
    let admin = server.admin();
    let bytes = random_bytes(1_000, 7);
    let digest = admin.push_blob(IMAGE, bytes.clone()).await;
    let path = format!("/v2/{IMAGE}/blobs/{digest}");
    let many: Vec<_> = (0..101).map(|n| format!("{}-{}", 7 * n, 7 * n)).collect();
    for range in [
        "bytes=10-19,0-9",
        "bytes=0-9,9-19",
        "bytes=0-9,0-9",
        "bytes=-10,-5",
        "bytes=0-499,500-999",
        "bytes=0-,0-1",
        "bytes=0-9,19-10",
        "bytes=0-9,x",
        "bytes=,",
        "lines=0-1,3-4",
        &format!("bytes={}", many.join(",")),
    ] {
        let whole = get_range(&admin, &path, range).await.expect_status(200);
        assert!(whole.body == bytes, "{range}");
        assert_eq!(whole.header("content-type"), "application/octet-stream", "{range}");
    }
    for range in ["bytes=1000-,2000-", "bytes=-0,1000-1001", "bytes=5-2"] {
        let none = get_range(&admin, &path, range).await.expect_oci_error("416 RANGE_INVALID");
        assert_eq!(none.header("content-range"), "bytes */1000");
    }
    // A single range that can be answered is answered alone.
    for range in ["bytes=1000-,10-19", "bytes=10-19,1000-1001", "bytes=,10-19,", "bytes=-0,10-19"] {
        let one = get_range(&admin, &path, range).await.expect_status(206);
        assert_eq!(
            (one.header("content-range"), &one.body[..]),
            ("bytes 10-19/1000", &bytes[10..20])
        );
    }
}

async fn ranges_of_a_corrupt_copy_are_not_served(server: TestServer) {
    let admin = server.admin();
    let bytes = random_bytes(1_000, 7);
    let digest = admin.push_blob(IMAGE, bytes.clone()).await;
    let path = format!("/v2/{IMAGE}/blobs/{digest}");
    for file in server.blob_paths() {
        let mut content = std::fs::read(&file).expect("readable");
        // A byte outside of the ranges below.
        content[500] ^= 1;
        std::fs::write(&file, content).expect("writable");
    }
    get_range(&admin, &path, "bytes=0-0,10-19").await.expect_oci_error("404 BLOB_UNKNOWN");
    admin.push_blob(IMAGE, bytes.clone()).await;
    assert_eq!(parse_parts(&get_range(&admin, &path, "bytes=0-0,10-19").await).len(), 2);
}
