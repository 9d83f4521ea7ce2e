//! Text from the database made safe for a terminal.
//!
//! A job's error message may hold anything, also what would move the cursor, change the title of
//! the window or turn the reading order around. Nothing of that reaches a terminal as such.

use std::borrow::Cow;

/// The text on one line, its control characters written as escapes.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

/// Whether a terminal might act on it instead of showing it.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        // Line and paragraph separators, marks and overrides of direction, and the byte order mark.
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_overrides_of_direction_are_shown_as_escapes() {
        assert_eq!(visible("a\u{1b}[31mb\n\t\0\u{9b}\u{202e}c"), "a\\u{1b}[31mb\\n\\t\\u{0}\\u{9b}\\u{202e}c");
        assert_eq!(visible("Grüße, 世界 🐘"), "Grüße, 世界 🐘");
    }
}
