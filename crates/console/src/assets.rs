//! The scripts, styles and drawings of the console. Their addresses hold their hashes, so that browsers keep them for
//! ever and never show an old one.

use std::io::Write;
use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use model::digest::Digest;

use crate::links::ROOT;

/// One file of the console.
struct Asset {
    /// The file's name with its hash: `console-0123456789abcdef.css`.
    name: String,
    media_type: &'static str,
    bytes: &'static [u8],
    compressed: Bytes,
}

/// The addresses of the files that every page names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AssetLinks {
    pub(crate) style: String,
    pub(crate) script: String,
    pub(crate) icons: String,
    pub(crate) favicon: String,
    pub(crate) speculation: String,
}

static ASSETS: LazyLock<[Asset; 5]> = LazyLock::new(|| {
    [
        asset("console", "css", "text/css; charset=utf-8", include_bytes!("../assets/console.css")),
        asset(
            "console",
            "js",
            "text/javascript; charset=utf-8",
            include_bytes!("../assets/console.js"),
        ),
        asset("icons", "svg", "image/svg+xml", include_bytes!("../assets/icons.svg")),
        asset("favicon", "svg", "image/svg+xml", include_bytes!("../assets/favicon.svg")),
        asset(
            "speculation",
            "json",
            "application/speculationrules+json",
            include_bytes!("../assets/speculation.json"),
        ),
    ]
});

static LINKS: LazyLock<AssetLinks> = LazyLock::new(|| {
    let link = |asset: &Asset| format!("{ROOT}-/assets/{}", asset.name);
    let [style, script, icons, favicon, speculation] = ASSETS.each_ref().map(link);
    AssetLinks { style, script, icons, favicon, speculation }
});

fn asset(stem: &str, end: &str, media_type: &'static str, bytes: &'static [u8]) -> Asset {
    let digest = Digest::of(bytes);
    let (_, hash) = digest.as_str().split_once(':').expect("every digest has a colon");
    Asset {
        name: format!("{stem}-{}.{end}", &hash[..16]),
        media_type,
        bytes,
        compressed: gzip(bytes),
    }
}

/// Compresses bytes.
pub(crate) fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::new(4));
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything").into()
}

/// Returns whether a client takes compressed answers.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

/// Returns the addresses of the files that every page names.
pub(crate) fn links() -> &'static AssetLinks {
    &LINKS
}

/// Answers a request for a file; `None` if there is no such file.
pub(crate) fn answer(name: &str, headers: &HeaderMap) -> Option<Response> {
    let asset = ASSETS.iter().find(|asset| asset.name == name)?;
    let response = Response::builder()
        .status(StatusCode::OK)
        .header(CONTENT_TYPE, asset.media_type)
        .header(CACHE_CONTROL, "public, max-age=31536000, immutable")
        .header(ETAG, format!("\"{}\"", asset.name))
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'")
        .header("cross-origin-resource-policy", "same-origin")
        .header(VARY, "accept-encoding");
    let (response, body) = if takes_gzip(headers) {
        (response.header(CONTENT_ENCODING, "gzip"), asset.compressed.clone())
    } else {
        (response, Bytes::from_static(asset.bytes))
    };
    let response = response.header(CONTENT_LENGTH, body.len()).body(Body::from(body));
    Some(response.expect("the headers are made of names and numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, value.parse().expect("a header"));
        assert_eq!(takes_gzip(&headers), expected, "{value}");
    }

    #[test]
    fn codings_that_clients_take() {
        check("gzip", true);
        check("br, GZIP;q=0.5", true);
        check("br", false);
        check("gzip;q=0", false);
        check("gzip; q=0", false);
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    /// The budget of what a first visit loads.
    #[test]
    fn files_are_small() {
        let size = |end: &str| {
            let found = ASSETS.iter().filter(|asset| asset.name.ends_with(end));
            found.map(|asset| asset.bytes.len()).sum::<usize>()
        };
        assert!(size(".css") <= 12 << 10, "{} bytes of styles", size(".css"));
        assert!(size(".js") <= 10 << 10, "{} bytes of scripts", size(".js"));
        assert!(size(".svg") <= 6 << 10, "{} bytes of drawings", size(".svg"));
    }
}
