//! Places in lists, for those who may not know what stands there: only a process with the master key reads them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::IdentityError;
use crate::identity::Identity;

/// What no name begins with.
const MARK: char = '.';
/// A place is filled up to this, so that its length tells nothing either. No path holds a space.
const SEALED_LENGTH: usize = 256;

impl Identity {
    /// Hides a place in a list.
    pub fn seal_cursor(&self, list: &str, place: &str) -> Result<String, IdentityError> {
        let filled = format!("{place:<SEALED_LENGTH$}");
        let sealed = self.master.places().seal(list, filled.as_bytes());
        let broken =
            |_| IdentityError::Internal("a place in a list could not be sealed".to_owned());
        Ok(format!("{MARK}{}", URL_SAFE_NO_PAD.encode(sealed.map_err(broken)?)))
    }

    /// The place that was hidden. `None`: it is none of this list.
    pub fn open_cursor(&self, list: &str, text: &str) -> Option<String> {
        let sealed = URL_SAFE_NO_PAD.decode(text.strip_prefix(MARK)?).ok()?;
        let filled = self.master.places().open(list, &sealed).ok()?;
        Some(String::from_utf8(filled).ok()?.trim_end().to_owned())
    }
}
