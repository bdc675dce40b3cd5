//! The `Range` header of an upload.

use http::HeaderValue;

/// The stored bytes as a range whose end counts; that of nothing is `0-0`, as registries have always said.
pub(super) fn stored_range(offset: u64) -> HeaderValue {
    let end = offset.saturating_sub(1);
    HeaderValue::from_str(&format!("0-{end}")).expect("a number")
}
