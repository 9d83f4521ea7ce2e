//! Makes text from the database safe for a terminal.
//!
//! A job's error message may contain characters that move the cursor, change the window's title, reverse the reading
//! order or hide text. They are escaped.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// The text on one line, with control characters escaped.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

/// Characters that show nothing, although their category is that of letters, marks or symbols: what the property
/// `Default_Ignorable_Code_Point` (`DerivedCoreProperties.txt` of Unicode) has beside the categories of [`is_unsafe`],
/// and the blank of Braille.
const INVISIBLE: [RangeInclusive<char>; 10] = [
    '\u{34f}'..='\u{34f}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180d}',
    '\u{180f}'..='\u{180f}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{e0100}'..='\u{e01ef}',
];

/// Whether a terminal might act on it or show nothing, by its Unicode category: control, format, line and paragraph
/// separators, private use, unassigned. Or because it is one of the other characters that show nothing.
pub(crate) fn is_unsafe(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    if INVISIBLE.iter().any(|range| range.contains(&c)) {
        return true;
    }
    matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::PrivateUse
            | GeneralCategory::Unassigned
    )
}

/// The character as an escape of a JSON string: in UTF-16.
pub(crate) fn json_escape(c: char) -> String {
    c.encode_utf16(&mut [0; 2]).iter().fold(String::new(), |escape, unit| format!("{escape}\\u{unit:04x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_characters_and_overrides_of_direction_are_shown_as_escapes() {
        assert_eq!(visible("a\u{1b}[31mb\n\t\0\u{9b}\u{202e}c"), "a\\u{1b}[31mb\\n\\t\\u{0}\\u{9b}\\u{202e}c");
        assert_eq!(visible("Grüße, 世界 🐘"), "Grüße, 世界 🐘");
    }

    #[test]
    fn what_shows_nothing_is_shown_as_an_escape() {
        for c in [
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{2060}',
            '\u{2066}',
            '\u{feff}',
            '\u{fff9}',
            '\u{fffb}',
            '\u{e0041}',
            '\u{ad}',
            '\u{34f}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180b}',
            '\u{180f}',
            '\u{2800}',
            '\u{3164}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{ffa0}',
            '\u{e0100}',
            '\u{e01ef}',
        ] {
            assert_eq!(visible(&c.to_string()), c.escape_default().to_string());
        }
    }

    proptest! {
        // By the tables of another crate.
        #[test]
        fn each_character_that_unicode_lets_be_ignored_is_shown_as_an_escape(c in r"\p{Default_Ignorable_Code_Point}") {
            let wanted: String = c.chars().map(|c| c.escape_default().to_string()).collect();
            prop_assert_eq!(visible(&c), wanted);
        }
    }
}
