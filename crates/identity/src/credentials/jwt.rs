//! JSON Web Tokens in their compact form, read strictly.
//!
//! The algorithm follows from the key, never from the token: a header that names another algorithm is refused. Refused
//! are also headers with a field that could choose a key (`jwk`, `jku`, `x5c`, `x5u`), critical extensions, and
//! duplicate names anywhere. Claims have types: an `exp` that is a text is refused.

use crate::error::JwtError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::json::{ClientField, FieldTable, parse_document, parse_strict};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The length of the longest token that is read.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// The registered claims (RFC 7519, section 4.1). Readers of tokens have structures for them.
pub(crate) static CLAIMS: FieldTable = FieldTable(&[
    ClientField::plain("iss"),
    ClientField::plain("sub"),
    ClientField::plain("aud"),
    ClientField::plain("exp"),
    ClientField::plain("nbf"),
    ClientField::plain("iat"),
    ClientField::plain("jti"),
]);

/// The header of a token. A header with any other field is refused.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenHeader {
    pub(crate) alg: String,
    #[serde(default)]
    pub(crate) typ: Option<String>,
    #[serde(default)]
    pub(crate) kid: Option<String>,
}

/// A token whose signature has not been checked yet.
pub(crate) struct UnverifiedToken<'t> {
    pub(crate) header: TokenHeader,
    message: &'t str,
    claims: &'t str,
    signature: Vec<u8>,
}

impl<'t> UnverifiedToken<'t> {
    /// Splits a token into header, claims and signature.
    pub(crate) fn parse(token: &'t str) -> Result<Self, JwtError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JwtError("the text is too long"));
        }
        let (message, signature) =
            token.rsplit_once('.').ok_or(JwtError("there are no parts in it"))?;
        let (header, claims) =
            message.split_once('.').ok_or(JwtError("there are only two parts in it"))?;
        let header = decode(header)?;
        let header = parse_strict(&header).map_err(|_| JwtError("the header is not plain JSON"))?;
        let signature = decode(signature)?;
        Ok(Self { header, message, claims, signature })
    }

    /// Returns the claims, if `verify` says that the signature over the message is right.
    pub(crate) fn verified<C: DeserializeOwned>(
        &self,
        verify: impl FnOnce(&[u8], &[u8]) -> bool,
    ) -> Result<C, JwtError> {
        if !verify(self.message.as_bytes(), &self.signature) {
            return Err(JwtError("the signature is wrong"));
        }
        self.claims()
    }

    /// Returns the claims, although nothing proves them. They are good for finding the key, and for nothing else.
    pub(crate) fn claims<C: DeserializeOwned>(&self) -> Result<C, JwtError> {
        let claims = decode(self.claims)?;
        // The value borrows nothing from the decoded bytes, which end here.
        let value: serde_json::Value = parse_document(&claims, &CLAIMS)
            .map_err(|_| JwtError("the claims are not plain JSON"))?;
        serde_json::from_value(value).map_err(|_| JwtError("a claim is missing or of a wrong type"))
    }
}

/// Returns a signed token with this header and these claims.
pub(crate) fn encode<C: Serialize, E>(
    header: &TokenHeader,
    claims: &C,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<String, E> {
    let part = |json: String| URL_SAFE_NO_PAD.encode(json);
    let header = serde_json::to_string(header).expect("texts are always JSON");
    let claims = serde_json::to_string(claims).expect("claims are always JSON");
    let message = format!("{}.{}", part(header), part(claims));
    let signature = sign(message.as_bytes())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn decode(part: &str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError("a part is not base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(header), part(claims), part("signature"))
    }

    #[track_caller]
    fn check_header(header: &str, valid: bool) {
        let token = token(header, "{}");
        assert_eq!(UnverifiedToken::parse(&token).is_ok(), valid, "{header}");
    }

    #[test]
    fn headers_choose_nothing() {
        check_header(r#"{"alg":"RS256","typ":"JWT","kid":"x"}"#, true);
        check_header(r#"{"alg":"none"}"#, true);
        check_header(r#"{"typ":"JWT"}"#, false);
        for extra in [
            r#""jwk":{}"#,
            r#""jku":"https://evil.example""#,
            r#""x5u":"https://evil.example""#,
            r#""x5c":[]"#,
            r#""crit":["x"]"#,
            r#""b64":false"#,
            r#""alg":"none""#,
            r#""Alg":"none""#,
        ] {
            check_header(&format!(r#"{{"alg":"RS256",{extra}}}"#), false);
        }
    }

    #[test]
    fn claims_have_types() {
        #[derive(Debug, Deserialize)]
        struct Claims {
            #[expect(dead_code, reason = "read by serde")]
            exp: i64,
        }
        let read = |claims: &str| {
            let token = token(r#"{"alg":"RS256"}"#, claims);
            let parsed = UnverifiedToken::parse(&token).expect("three parts");
            parsed.claims::<Claims>().is_ok()
        };
        assert!(read(r#"{"exp":9999999999}"#));
        assert!(read(r#"{"exp":9999999999,"name":"a","Name":"b","act":{"Sub":"c"}}"#));
        for claims in [
            r#"{"exp":"9999999999"}"#,
            r#"{"exp":1e300}"#,
            r#"{"exp":1.5}"#,
            r#"{"exp":null}"#,
            r#"{"exp":1,"exp":2}"#,
            r#"{"exp":1,"Exp":2}"#,
            "{\"exp\":1,\"i\u{17f}s\":\"x\"}",
            "{}",
            "[]",
            "",
        ] {
            assert!(!read(claims), "{claims}");
        }
    }

    #[test]
    fn a_wrong_signature_shows_no_claims() {
        let header = TokenHeader { alg: "X".to_owned(), typ: None, kid: None };
        let token =
            encode(&header, &serde_json::json!({"a": 1}), |message| Ok::<_, ()>(message.to_vec()));
        let token = token.expect("signed");
        let parsed = UnverifiedToken::parse(&token).expect("three parts");
        let claims: serde_json::Value =
            parsed.verified(|message, signature| message == signature).expect("right");
        assert_eq!(claims["a"], 1);
        assert!(parsed.verified::<serde_json::Value>(|_, _| false).is_err());
        for token in ["", ".", "..", "a.b", "a.b.c.d", "!.!.!", &"a".repeat(20_000)] {
            assert!(UnverifiedToken::parse(token).is_err(), "{token:.10}");
        }
    }
}
