//! The text of a failure, made fit for storage.
//!
//! Promises: it is cut between characters at its limit in bytes, contains no NUL, and ends even if the causes of an
//! error are circular. It is not searched for secrets: the handler's text is stored as it is.

use crate::error::full_text;
use crate::worker::job_error::BoxError;

/// The longest error message, in bytes.
pub(super) const MAX_ERROR_BYTES: usize = 1024;
/// The longest trace, in bytes.
pub(super) const MAX_TRACE_BYTES: usize = 16 * 1024;

/// The error and its causes, fit for storage.
pub(super) fn error_text(error: &BoxError) -> String {
    storable(&full_text(&**error, MAX_ERROR_BYTES), MAX_ERROR_BYTES)
}

/// The text for a database whose encoding lacks some of its characters: they are escaped.
pub(super) fn in_ascii(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, character| {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            escaped.extend(character.escape_default());
        }
        escaped
    })
}

/// At most `max_bytes` of the text, cut between characters, without NUL, which Postgres cannot store.
pub(super) fn storable(text: &str, max_bytes: usize) -> String {
    let mut kept = String::with_capacity(text.len().min(max_bytes));
    for character in text.chars() {
        let character = if character == '\0' { char::REPLACEMENT_CHARACTER } else { character };
        if kept.len() + character.len_utf8() > max_bytes {
            const MORE: char = '…';
            while kept.len() + MORE.len_utf8() > max_bytes && kept.pop().is_some() {}
            kept.push(MORE);
            break;
        }
        kept.push(character);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_stored_is_short_and_has_no_nul(text in any::<String>(), max in 3usize..50) {
            let stored = storable(&text, max);
            prop_assert!(stored.len() <= max);
            prop_assert!(!stored.contains('\0'));
            if text.len() <= max && !text.contains('\0') {
                prop_assert_eq!(stored, text);
            }
        }
    }
}
