//! Lies that break the protocol, or lead its parts against each other.

use bytes::Bytes;
use model::media_type::OCI_MANIFEST;

use super::{
    BLOB, Content, LyingAnswers, Round, always, choose_content, choose_path, flipped, other_image,
};
use crate::util::RawAnswer;

pub(crate) fn wrong_lengths(round: &Round) -> Vec<LyingAnswers> {
    let content = choose_content(round);
    let length = content.bytes.len();
    let less = round.choose_below(length);
    let head = round.choose(&[
        format!("content-length: {less}"),
        format!("content-length: {length}\ncontent-length: {less}"),
        "content-length: -1".to_owned(),
        format!("content-length: {length}\ntransfer-encoding: chunked"),
        format!("content-length: {}", u64::MAX),
        format!("content-length: {length}, {less}"),
        "content-length: 0".to_owned(),
    ]);
    let answer = content.answer_with(&head, &content.bytes).and_close();
    always(content.path, answer)
}

pub(crate) fn endless_answers(round: &Round) -> Vec<LyingAnswers> {
    let path = choose_path(round);
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    let answer = round.choose(&[
        RawAnswer::new("200 OK", "").and_endlessly(" ".repeat(0x1_0000)),
        RawAnswer::new("200 OK\ntransfer-encoding: chunked", "").and_endlessly(chunk),
        RawAnswer::of_bytes("HTTP/1.1 200 OK\r\n")
            .and_endlessly("x-more: of them\r\n".repeat(1000)),
        RawAnswer::of_bytes("HTTP/1.1 200 OK\r\nx: ").and_endlessly("x".repeat(0x1_0000)),
        RawAnswer::new("500 Text", "").and_endlessly("x".repeat(0x1_0000)),
    ]);
    always(path, answer)
}

/// The bytes in the form of gzip, as they are, or far more zeros than the form has bytes.
fn gzip(bytes: Option<&[u8]>) -> Vec<u8> {
    let mut form = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    let Some(bytes) = bytes else {
        // A literal zero, and then 258 zeros for each 13 bits, by the fixed codes.
        let bits = "110".chars().chain("00110000".chars());
        let mut bits: Vec<_> = bits.chain("1100010100000".chars().cycle().take(13 << 18)).collect();
        bits.extend("0000000".chars());
        let byte = |bits: &[char]| {
            bits.iter().enumerate().map(|(at, bit)| u8::from(*bit == '1') << at).sum::<u8>()
        };
        form.extend(bits.chunks(8).map(byte));
        return form;
    };
    for (number, block) in bytes.chunks(0xffff).enumerate() {
        let length = block.len() as u16;
        form.push(u8::from((number + 1) * 0xffff >= bytes.len()));
        form.extend(length.to_le_bytes().into_iter().chain((!length).to_le_bytes()));
        form.extend_from_slice(block);
    }
    let step = |sum: u32, _| (sum >> 1) ^ (0xedb8_8320 * (sum & 1));
    let sum = bytes.iter().fold(!0_u32, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step));
    form.extend((!sum).to_le_bytes().into_iter().chain((bytes.len() as u32).to_le_bytes()));
    form
}

pub(crate) fn encodings(round: &Round) -> Vec<LyingAnswers> {
    let content = choose_content(round);
    let bytes = &content.bytes;
    let body = round.choose(&[gzip(Some(bytes)), gzip(None), bytes.to_vec()]);
    let encoding = round.choose(&["gzip", "x-gzip, gzip", "br", "deflate"]);
    let head = format!("content-length: {}\ncontent-encoding: {encoding}", body.len());
    let answer = content.answer_with(&head, body);
    always(content.path, answer)
}

pub(crate) fn wrong_parts(round: &Round) -> Vec<LyingAnswers> {
    let (layer, wrong) = (round.layer(), flipped(round));
    let size = layer.len();
    let cut = 1 + round.choose_below(size - 2);
    let part = |head: String, body: &[u8]| {
        let head = format!("206 Partial Content\ncontent-length: {}\n{head}", body.len());
        RawAnswer::new(&head, body)
    };
    let range = |start: usize| format!("content-range: bytes {start}-{}/{size}", size - 1);
    let later = (cut + 1).min(size - 1);
    let (first, rest) = round.choose(&[
        (None, part(range(0), layer)),
        (None, part(range(1), &layer[1..])),
        (Some(cut), part(range(cut), &wrong[cut..])),
        (Some(cut), part(range(later), &layer[later..])),
        (Some(cut), part("content-range: bytes */1".to_owned(), &layer[cut..])),
        (Some(cut), part("x-none: ".to_owned(), &layer[cut..])),
        (Some(cut), part(range(0), &wrong)),
        (Some(cut), part(format!("content-range: bytes {cut}-/{}", u64::MAX), &layer[cut..])),
        (Some(cut), RawAnswer::content(BLOB, &wrong)),
        (Some(cut), RawAnswer::empty(416, "content-range: bytes */0")),
    ]);
    let first = first.map(|cut| RawAnswer::content(BLOB, layer).cut_to(cut));
    vec![(round.layer_path(), first.into_iter().chain([rest]).collect())]
}

pub(crate) fn chunks(round: &Round) -> Vec<LyingAnswers> {
    let content = choose_content(round);
    let (bytes, length) = (&content.bytes[..], content.bytes.len());
    let chunk = |size: &str| [size.as_bytes(), b"\r\n", bytes, b"\r\n"].concat();
    let body = round.choose(&[
        chunk(&format!("{:x}", length + 1)),
        chunk(&format!("{length:x}")),
        chunk("zz"),
        chunk("fffffffffffffffff1"),
        chunk("-1"),
        [&chunk(&format!("{:x};{}", length, "e".repeat(100_000)))[..], b"0\r\n\r\n"].concat(),
        [&chunk(&format!("{length:x}"))[..], b"1\r\nx\r\n0\r\n\r\n"].concat(),
    ]);
    let answer = content.answer_with("transfer-encoding: chunked", body).and_close();
    always(content.path, answer)
}

/// An answer that nobody has asked for follows a true one, on a connection that stays open.
pub(crate) fn second_answers(round: &Round) -> Vec<LyingAnswers> {
    let content = choose_content(round);
    let other = other_image(round).manifest;
    let (body, kind) = round.choose(&[
        (Bytes::from(flipped(round)), BLOB),
        (Bytes::from(other), OCI_MANIFEST),
        (Bytes::from_static(b"{\"tags\":[\"evil\"]}"), "application/json"),
    ]);
    let length = body.len();
    let second = format!("200 OK\ncontent-type: {kind}\ncontent-length: {length}");
    let second = RawAnswer::new(&second, body);
    let answer = content.answer(&content.bytes).and_then(&second);
    always(content.path, answer)
}

pub(crate) fn no_http(round: &Round) -> Vec<LyingAnswers> {
    let Content { path, bytes, .. } = choose_content(round);
    let lie = round.choose(&[
        RawAnswer::of_bytes("SSH-2.0-OpenSSH_9.2\r\n").and_close(),
        RawAnswer::of_bytes(bytes.clone()).and_close(),
        RawAnswer::of_bytes("").and_close(),
        RawAnswer::new("101 Switching Protocols\nupgrade: x\nconnection: upgrade", &bytes)
            .and_close(),
        RawAnswer::new("999 Text", &bytes).and_close(),
        RawAnswer::of_bytes("HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)).and_close(),
        RawAnswer::of_bytes("HTTP/1.1 200 OK\r\nbad header\r\n\r\n").and_close(),
    ]);
    always(path, lie)
}
