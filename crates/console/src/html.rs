//! The parts of pages that several templates share: times, sizes, digests, and texts of strangers.
//!
//! Each part writes its own markup and escapes what it shows, so that templates show it as it is.

use std::fmt::{self, Write};

use askama::filters::HtmlSafe;
use jiff::Timestamp;

/// The longest text of a stranger that a table shows, in characters.
const MAX_SHOWN: usize = 200;

/// A text that somebody else wrote: a name, a label, a line of a history. Control characters and those that change the
/// direction of a text are shown by their numbers.
#[derive(Debug, Clone)]
pub(crate) struct Untrusted {
    text: String,
    max_chars: usize,
}

impl Untrusted {
    /// Returns a text that is cut where a table would become too wide.
    pub(crate) fn short(text: impl Into<String>) -> Self {
        Self { text: text.into(), max_chars: MAX_SHOWN }
    }

    /// Returns a text that is cut only where a page would become too long.
    pub(crate) fn long(text: impl Into<String>) -> Self {
        Self { text: text.into(), max_chars: 10_000 }
    }

    /// Returns a text that is shown as a whole.
    pub(crate) fn whole(text: impl Into<String>) -> Self {
        Self { text: text.into(), max_chars: usize::MAX }
    }

    /// Returns the text as it was written. A page must not show it so.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl HtmlSafe for Untrusted {}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<bdi>")?;
        let mut chars = self.text.chars();
        for character in chars.by_ref().take(self.max_chars) {
            write_char(f, character)?;
        }
        let left = chars.count();
        f.write_str("</bdi>")?;
        if left > 0 {
            write!(f, "<span class=\"more\">… +{left}</span>")?;
        }
        Ok(())
    }
}

fn write_char(f: &mut fmt::Formatter<'_>, character: char) -> fmt::Result {
    match character {
        '<' => f.write_str("&lt;"),
        '>' => f.write_str("&gt;"),
        '&' => f.write_str("&amp;"),
        '"' => f.write_str("&quot;"),
        '\'' => f.write_str("&#39;"),
        '\n' => f.write_char('\n'),
        '\t' => f.write_char('\t'),
        control if control.is_ascii_control() => {
            write!(f, "<span class=\"control\">\\x{:02x}</span>", u32::from(control))
        }
        hidden if is_hidden(hidden) => {
            write!(f, "<span class=\"control\">U+{:04X}</span>", u32::from(hidden))
        }
        other => f.write_char(other),
    }
}

/// Returns whether a character is not seen itself, but may change how the text around it is seen.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// A point in time. The page shows UTC, and its script turns that into the viewer's time zone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time(pub(crate) i64);

impl HtmlSafe for Time {}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(at) = Timestamp::from_microsecond(self.0) else { return f.write_str("—") };
        let (exact, short) = (at.strftime("%Y-%m-%dT%H:%M:%SZ"), at.strftime("%Y-%m-%d %H:%M"));
        write!(f, "<time datetime=\"{exact}\" title=\"{exact}\">{short} UTC</time>")
    }
}

/// A point in time that there may not be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaybeTime(pub(crate) Option<i64>);

impl HtmlSafe for MaybeTime {}

impl fmt::Display for MaybeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => Time(at).fmt(f),
            None => f.write_str("—"),
        }
    }
}

/// A number of bytes, with the exact number as its title.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes(pub(crate) i64);

impl HtmlSafe for Bytes {}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<span title=\"{} B\">{}</span>", self.0, size_text(self.0))
    }
}

/// Returns a number of bytes in the unit that leaves three digits, as `12.4 MiB`.
pub(crate) fn size_text(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value.abs() >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if value.abs() < 9.95 => format!("{value:.2} {}", UNITS[unit]),
        _ if value.abs() < 99.95 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// The first digits of a digest, as tables show it.
pub(crate) fn short_digest(digest: &str) -> &str {
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    hex.get(..12).unwrap_or(hex)
}

/// Returns the name of a platform: `linux/arm64/v8`.
pub(crate) fn platform_text(platform: &model::image_config::Platform) -> String {
    let model::image_config::Platform { architecture, os, os_version, variant, .. } = platform;
    let mut text = format!("{os}/{architecture}");
    if let Some(variant) = variant.as_deref().filter(|variant| !variant.is_empty()) {
        text.push('/');
        text.push_str(variant);
    }
    if let Some(version) = os_version.as_deref().filter(|version| !version.is_empty()) {
        text.push(' ');
        text.push_str(version);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_strangers_are_inert() {
        let shown = |text: &str| Untrusted::short(text).to_string();
        assert_eq!(shown("<b onclick='x'>"), "<bdi>&lt;b onclick=&#39;x&#39;&gt;</bdi>");
        assert_eq!(shown("a\u{202e}b"), "<bdi>a<span class=\"control\">U+202E</span>b</bdi>");
        assert_eq!(shown("\u{1b}[31m"), "<bdi><span class=\"control\">\\x1b</span>[31m</bdi>");
        assert_eq!(shown("\u{9b}"), "<bdi><span class=\"control\">U+009B</span></bdi>");
        assert_eq!(shown("映像 e\u{301}"), "<bdi>映像 e\u{301}</bdi>");
        let long = shown(&"x".repeat(250));
        assert!(long.ends_with("x</bdi><span class=\"more\">… +50</span>"), "{long}");
    }

    #[test]
    fn sizes() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (10 << 20, "10.0 MiB"),
            (999 << 20, "999 MiB"),
            (1023 << 20, "1023 MiB"),
            (1 << 40, "1.00 TiB"),
            (-2048, "-2.00 KiB"),
        ] {
            assert_eq!(size_text(bytes), expected);
        }
    }

    #[test]
    fn times() {
        let html = Time(1_709_208_000_500_000).to_string();
        assert_eq!(
            html,
            "<time datetime=\"2024-02-29T12:00:00Z\" title=\"2024-02-29T12:00:00Z\">2024-02-29 12:00 UTC</time>"
        );
        assert_eq!(MaybeTime(None).to_string(), "—");
    }
}
