//! The owner's key file, which stays in the data folder until its owner moves it elsewhere.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::Value;

use super::{DataFolder, private_file};

impl DataFolder {
    fn owner_key(&self) -> PathBuf {
        self.path.join("owner-key.json")
    }

    /// Writes `token_uri` into the owner's key file, if the file is still here and names another one.
    pub fn set_token_uri(&self, token_uri: &str) {
        let path = self.owner_key();
        let problem = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => error.to_string(),
            Ok(text) => match with_token_uri(&text, token_uri) {
                Ok(None) => return,
                Ok(Some(new)) => match self.replace_owner_key(&new) {
                    Ok(()) => {
                        tracing::info!("{} names {token_uri} now", path.display());
                        return;
                    }
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            },
        };
        tracing::warn!("cannot write {token_uri} into {}: {problem}", path.display());
    }

    /// Replaces the file in one step: a crash leaves either the old text or the new one.
    fn replace_owner_key(&self, text: &str) -> io::Result<()> {
        let new = self.path.join(format!("owner-key.{}.new", std::process::id()));
        let _ = fs::remove_file(&new);
        let mut file = private_file(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.owner_key())?;
        fs::File::open(&self.path)?.sync_all()
    }
}

/// Returns the text of a key file with `token_uri` in it, or `None` if the file names it already.
fn with_token_uri(text: &str, token_uri: &str) -> Result<Option<String>, serde_json::Error> {
    let mut file: serde_json::Map<String, Value> = serde_json::from_str(text)?;
    if file.get("token_uri").is_some_and(|current| current == token_uri) {
        return Ok(None);
    }
    file.insert("token_uri".to_owned(), token_uri.into());
    if file.contains_key("auth_uri") {
        let base = token_uri.strip_suffix("/token").unwrap_or(token_uri);
        file.insert("auth_uri".to_owned(), format!("{base}/o/oauth2/auth").into());
    }
    Ok(Some(format!("{:#}\n", Value::Object(file))))
}
