//! Key files in Google's format. They are written once, and read in every shape in which people paste them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::accounts::AccountRow;
use serde::Deserialize;
use serde_json::json;

use crate::credentials::crypto::AccountKey;
use crate::error::CredentialError;

/// The length of the longest key file that is read. Real ones have 2,400 bytes.
const MAX_KEY_FILE_BYTES: usize = 32 << 10;

/// The content of a key file. Only the private key proves anything; the other fields say which account and key to look
/// up.
pub(crate) struct KeyFile {
    pub(crate) client_email: String,
    pub(crate) private_key_id: String,
    private_key: Vec<u8>,
}

impl KeyFile {
    /// Parses the private key, which takes a tenth of a millisecond. So the account's key is looked up before.
    pub(crate) fn private_key(&self) -> Result<AccountKey, CredentialError> {
        AccountKey::from_pkcs8(&self.private_key).map_err(|_| CredentialError::OtherKey)
    }
}

#[derive(Deserialize)]
struct KeyFileDocument {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key_id: String,
    private_key: String,
}

/// Returns the text of the file of a new key.
pub(crate) fn to_text(
    account: &AccountRow,
    id: &str,
    private_key: &[u8],
    token_uri: &str,
) -> String {
    let encoded = STANDARD.encode(private_key);
    let lines: Vec<_> =
        encoded.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let base = token_uri.strip_suffix("/token").unwrap_or(token_uri);
    let file = json!({
        "type": "service_account",
        "project_id": account.project,
        "private_key_id": id,
        "private_key": pem,
        "client_email": account.email,
        "client_id": account.unique_id,
        "auth_uri": format!("{base}/o/oauth2/auth"),
        "token_uri": token_uri,
        "universe_domain": "googleapis.com",
    });
    format!("{file:#}\n")
}

/// Reads a key file: JSON, or base64 of it in either alphabet. Line breaks of both kinds and a byte order mark may be
/// in it. The private key is not parsed yet.
pub(crate) fn parse(text: &str) -> Result<KeyFile, CredentialError> {
    let KeyFileDocument { client_email, private_key_id, private_key, .. } = parse_document(text)?;
    let private_key = parse_pem(&private_key).ok_or(CredentialError::KeyFile)?;
    Ok(KeyFile { client_email, private_key_id, private_key })
}

/// Returns the address of the account that a key file names. Nothing is verified.
pub(crate) fn claimed_account(text: &str) -> Option<String> {
    parse_document(text).ok().map(|document| document.client_email)
}

fn parse_document(text: &str) -> Result<KeyFileDocument, CredentialError> {
    let malformed = CredentialError::KeyFile;
    if text.len() > MAX_KEY_FILE_BYTES {
        return Err(malformed);
    }
    let text = text.trim_start_matches('\u{feff}').trim();
    let json = if text.starts_with('{') {
        text.as_bytes().to_vec()
    } else {
        let packed: String = text
            .chars()
            .filter(|c| !c.is_ascii_whitespace() && *c != '=')
            .map(|c| match c {
                '-' => '+',
                '_' => '/',
                other => other,
            })
            .collect();
        let unpadded = base64::engine::general_purpose::STANDARD_NO_PAD;
        unpadded.decode(packed).map_err(|_| malformed)?
    };
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&json);
    let document: KeyFileDocument = model::json::parse_strict(json).map_err(|_| malformed)?;
    if document.kind != "service_account" {
        return Err(malformed);
    }
    Ok(document)
}

fn parse_pem(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD.decode(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (String, Vec<u8>) {
        let (pair, private) = AccountKey::generate().expect("made");
        let account = AccountRow {
            email: "builder@p1.iam.gserviceaccount.com".to_owned(),
            project: "p1".to_owned(),
            unique_id: "1".repeat(21),
            display_name: String::new(),
            description: String::new(),
            disabled: false,
            updated_at: 0,
        };
        let file = to_text(&account, "key-id", &private, "http://localhost:5050/token");
        (file, pair.public_key().expect("it has one"))
    }

    #[test]
    fn a_key_file_is_read_in_every_shape_that_people_paste() {
        let (file, public) = file();
        let packed = STANDARD.encode(&file);
        let wrapped: Vec<_> =
            packed.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line)).collect();
        for shape in [
            file.clone(),
            format!("\u{feff}{file}"),
            file.replace('\n', "\r\n"),
            packed.clone(),
            wrapped.join("\n"),
            wrapped.join("\r\n"),
            packed.trim_end_matches('=').to_owned(),
            packed.replace('+', "-").replace('/', "_"),
            STANDARD.encode(format!("\u{feff}{file}")),
        ] {
            let parsed = parse(&shape).unwrap_or_else(|_| panic!("readable: {shape:.60}"));
            assert_eq!(parsed.client_email, "builder@p1.iam.gserviceaccount.com");
            assert_eq!(parsed.private_key_id, "key-id");
            let key = parsed.private_key().expect("a key");
            assert_eq!(key.public_key().expect("it has one"), public);
        }
    }

    #[test]
    fn what_is_no_key_file() {
        let (file, _) = file();
        for text in [
            String::new(),
            "{}".to_owned(),
            "x".repeat(100_000),
            format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000)),
            "!!!!".to_owned(),
            STANDARD.encode("not json"),
            file.replace("service_account", "authorized_user"),
            file.replace("BEGIN PRIVATE KEY", "BEGIN RSA PRIVATE KEY"),
            file.replacen("MII", "AAA", 1),
            file.replacen('{', "{\"client_email\":\"other@p1.iam.gserviceaccount.com\",", 1),
        ] {
            assert!(parse(&text).and_then(|file| file.private_key()).is_err(), "{text:.60}");
        }
    }
}
