//! The proof that a form was sent from a page of this console, and not by another site in the viewer's name.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName};
use model::digest::{Digest, DigestAlgorithm, DigestHasher};

/// The name of the form field that holds the token.
pub(crate) const FIELD: &str = "token";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The reason why a form is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CsrfError {
    /// The browser says that another site sent the form.
    #[error("the form was sent from another site")]
    OtherSite,
    /// No header says where the form comes from.
    #[error("nothing says where the form was sent from: use a browser, or the API")]
    NoOrigin,
    /// The form has no token of this viewer.
    #[error("the form is not from a page of this session: load the page again")]
    Token,
}

/// Checks where a form was sent from. `own` is the scheme and host of the console.
///
/// `Sec-Fetch-Site` is set by browsers alone and decides where it is present. Older browsers send `Origin`. A request
/// with neither is no form of a browser.
pub(crate) fn check_origin(headers: &HeaderMap, own: &str) -> Result<(), CsrfError> {
    let is = |name: HeaderName| headers.get(name).map(|value| value.as_bytes().to_vec());
    match (is(SEC_FETCH_SITE), is(http::header::ORIGIN)) {
        (Some(site), _) if site == b"same-origin" => Ok(()),
        (Some(_), _) => Err(CsrfError::OtherSite),
        (None, Some(origin)) if origin == own.as_bytes() => Ok(()),
        (None, Some(_)) => Err(CsrfError::OtherSite),
        (None, None) => Err(CsrfError::NoOrigin),
    }
}

/// Returns a secret for the forms of a browser without a session.
pub(crate) fn new_secret() -> String {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).expect("the system has random numbers");
    URL_SAFE_NO_PAD.encode(secret)
}

/// The secret from which the tokens of one session are made.
#[derive(Clone)]
pub(crate) struct FormKey([u8; 32]);

impl FormKey {
    /// Returns the key for the secret of a session.
    pub(crate) fn of(secret: &str) -> Self {
        let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
        hasher.update(b"form token\0");
        hasher.update(secret.as_bytes());
        Self(bytes_of(&hasher.finish()))
    }

    /// Returns a token for one page. Each one differs, because pages are compressed: whoever watches the lengths of
    /// answers could otherwise guess a token that stays.
    pub(crate) fn token(&self) -> String {
        let mut pad = [0; 32];
        getrandom::fill(&mut pad).expect("the system has random numbers");
        let masked: Vec<u8> = pad.iter().zip(self.0).map(|(pad, key)| pad ^ key).collect();
        URL_SAFE_NO_PAD.encode([&pad[..], &masked].concat())
    }

    /// Checks the token of a form.
    pub(crate) fn check(&self, token: &str) -> Result<(), CsrfError> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| CsrfError::Token)?;
        if bytes.len() != 64 {
            return Err(CsrfError::Token);
        }
        let (pad, masked) = bytes.split_at(32);
        let unmasked = pad.iter().zip(masked).map(|(pad, masked)| pad ^ masked);
        // All bytes are looked at, however early the first one differs.
        let difference = unmasked.zip(self.0).fold(0, |sum, (sent, key)| sum | (sent ^ key));
        if difference == 0 { Ok(()) } else { Err(CsrfError::Token) }
    }
}

/// Returns the bytes of a SHA-256 digest.
fn bytes_of(digest: &Digest) -> [u8; 32] {
    let (_, hex) = digest.as_str().split_once(':').expect("every digest has a colon");
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a digest is hexadecimal") as u8;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = digit(pair[0]) << 4 | digit(pair[1]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://reg.example:8443";

    #[track_caller]
    fn check(site: Option<&str>, origin: Option<&str>, expected: Result<(), CsrfError>) {
        let mut headers = HeaderMap::new();
        for (name, value) in [(SEC_FETCH_SITE, site), (http::header::ORIGIN, origin)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().expect("a header"));
            }
        }
        assert_eq!(check_origin(&headers, OWN), expected, "{site:?} {origin:?}");
    }

    #[test]
    fn only_forms_of_this_console_are_taken() {
        check(Some("same-origin"), Some(OWN), Ok(()));
        check(Some("same-origin"), None, Ok(()));
        check(Some("same-site"), Some(OWN), Err(CsrfError::OtherSite));
        check(Some("cross-site"), Some(OWN), Err(CsrfError::OtherSite));
        check(Some("none"), None, Err(CsrfError::OtherSite));
        check(None, Some(OWN), Ok(()));
        check(None, Some("https://reg.example"), Err(CsrfError::OtherSite));
        check(None, Some("http://reg.example:8443"), Err(CsrfError::OtherSite));
        check(None, Some("https://reg.example:8443.evil.example"), Err(CsrfError::OtherSite));
        check(None, Some("null"), Err(CsrfError::OtherSite));
        check(None, None, Err(CsrfError::NoOrigin));
    }

    #[test]
    fn tokens_are_of_one_session() {
        let (alice, bob) = (FormKey::of("alice"), FormKey::of("bob"));
        let (first, second) = (alice.token(), alice.token());
        assert_ne!(first, second);
        assert_eq!(alice.check(&first), Ok(()));
        assert_eq!(alice.check(&second), Ok(()));
        assert_eq!(bob.check(&first), Err(CsrfError::Token));
        for wrong in ["", "x", "AAAA", &first[1..]] {
            assert_eq!(alice.check(wrong), Err(CsrfError::Token));
        }
    }
}
