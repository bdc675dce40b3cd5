//! Page tokens that hide the name at which a list goes on: the caller may not know that name, because it may be one of
//! a resource that is hidden from the caller. Only a process with the master key reads them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::IdentityError;
use crate::identity::Identity;

/// The first character of a sealed page token. No name begins with it.
const SEALED_MARK: char = '.';
/// The length that names are padded to, with spaces, so that the length of a token says nothing of the name. No name
/// has a space in it.
const PADDED_LENGTH: usize = 256;

impl Identity {
    /// Seals the name at which a list goes on. The token opens for this list only.
    pub fn seal_cursor(&self, list: &str, name: &str) -> Result<String, IdentityError> {
        let padded = format!("{name:<PADDED_LENGTH$}");
        let sealed =
            self.master.page_token_key().seal(list, padded.as_bytes()).map_err(|_| {
                IdentityError::Internal("a page token could not be sealed".to_owned())
            })?;
        Ok(format!("{SEALED_MARK}{}", URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Returns the name that [`Identity::seal_cursor`] sealed, or `None` if the token is not one of this list.
    pub fn open_cursor(&self, list: &str, token: &str) -> Option<String> {
        let sealed = URL_SAFE_NO_PAD.decode(token.strip_prefix(SEALED_MARK)?).ok()?;
        let padded = self.master.page_token_key().open(list, &sealed).ok()?;
        Some(String::from_utf8(padded).ok()?.trim_end().to_owned())
    }
}
