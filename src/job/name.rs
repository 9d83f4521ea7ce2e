//! Validates the names of queues and kinds, and unique keys.
//!
//! In SQL, `postrider.enqueue` checks names by the domains `queue_name` and `kind_name`, and the table checks unique
//! keys.

use crate::error::Error;

/// The longest name of a queue, in characters.
pub const MAX_QUEUE_LEN: usize = 64;
/// The longest name of a kind, in characters.
pub const MAX_KIND_LEN: usize = 128;
/// The longest unique key, in bytes of UTF-8.
pub const MAX_UNIQUE_KEY_BYTES: usize = 512;

pub(crate) fn check_queue(name: &str) -> Result<(), Error> {
    check_name("queue", name, MAX_QUEUE_LEN)
}

pub(crate) fn check_kind(name: &str) -> Result<(), Error> {
    check_name("kind", name, MAX_KIND_LEN)
}

pub(crate) fn check_unique_key(key: &str) -> Result<(), Error> {
    let field = "unique_key";
    if key.is_empty() {
        return Err(Error::invalid(field, "is empty"));
    }
    if key.len() > MAX_UNIQUE_KEY_BYTES {
        return Err(Error::invalid(field, format!("is {} bytes, more than {MAX_UNIQUE_KEY_BYTES}", key.len())));
    }
    if key.contains('\0') {
        return Err(Error::invalid(field, "holds a NUL character"));
    }
    Ok(())
}

fn check_name(field: &'static str, name: &str, max_len: usize) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    if name.is_empty() {
        return Err(Error::invalid(field, "is empty"));
    }
    if name.len() > max_len {
        return Err(Error::invalid(field, format!("is {} bytes, more than {max_len}", name.len())));
    }
    if let Some(bad) = name.chars().find(|c| !allowed(*c)) {
        return Err(Error::invalid(
            field,
            format!("{name:?} holds {bad:?}: only letters, digits and _ . / - are allowed"),
        ));
    }
    if name.starts_with(['.', '/', '-']) {
        return Err(Error::invalid(field, format!("{name:?} must start with a letter, a digit or _")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_checked_for_length_characters_and_start() {
        for good in ["default", "a", "_x", "mail/urgent-2.0", &"q".repeat(64)] {
            assert!(check_queue(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a:1", "a,b", "ü", "a\0", "-x", ".x", "/x", &"q".repeat(65)] {
            assert!(check_queue(bad).is_err(), "{bad}");
        }
        assert!(check_kind(&"k".repeat(128)).is_ok());
        assert!(check_kind(&"k".repeat(129)).is_err());
    }

    proptest! {
        /// The rule of the domains in the schema, character by character.
        #[test]
        fn a_name_is_accepted_exactly_where_the_schema_accepts_it(
            name in r"[A-Za-z0-9_./-]{0,140}|[a-z]{1,3}[\PC\n\u{0}]{0,3}",
        ) {
            let named = name.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c))
                && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            prop_assert_eq!(check_queue(&name).is_ok(), named && name.len() <= 64);
            prop_assert_eq!(check_kind(&name).is_ok(), named && name.len() <= 128);
        }

        #[test]
        fn a_key_is_accepted_up_to_512_bytes_without_nul(key in r"[\PC\u{0}]{0,10}|é{250,260}") {
            let good = !key.is_empty() && key.len() <= 512 && !key.contains('\0');
            prop_assert_eq!(check_unique_key(&key).is_ok(), good);
        }
    }
}
