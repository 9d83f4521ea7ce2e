//! Text of a failure, made fit to be stored.

use super::job_error::BoxError;

/// The longest error message, in bytes.
pub(super) const MAX_ERROR_BYTES: usize = 1024;
/// The longest trace, in bytes.
pub(super) const MAX_TRACE_BYTES: usize = 16 * 1024;

/// The error and what caused it, fit to be stored.
pub(super) fn error_text(error: &BoxError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    // A chain is bounded by what fits: also one that runs in a circle.
    while let Some(source) = cause {
        if text.len() > MAX_ERROR_BYTES {
            break;
        }
        let said = source.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = source.source();
        if said.is_empty() {
            break;
        }
    }
    storable(&text, MAX_ERROR_BYTES)
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
