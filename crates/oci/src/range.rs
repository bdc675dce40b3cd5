//! The `Range` header of an upload.

use http::HeaderValue;

/// Returns the range of the stored bytes, whose end is inclusive. With no bytes it is `0-0`, as in other registries.
pub(super) fn stored_range(offset: u64) -> HeaderValue {
    let end = offset.saturating_sub(1);
    HeaderValue::from_str(&format!("0-{end}")).expect("a number")
}
