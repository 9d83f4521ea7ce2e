//! The payload of a job.

use std::error::Error as StdError;

use bytes::BytesMut;
use serde::Serialize;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::checked_json::{CheckedJson, JsonUse};
use crate::error::Error;

/// The largest payload, in bytes of JSON text: 1 MiB.
pub const MAX_ARGS_BYTES: usize = 1024 * 1024;

const ARGS: JsonUse = JsonUse { field: "args", max_bytes: MAX_ARGS_BYTES };

/// A checked payload.
///
/// ```
/// use postrider::Args;
///
/// assert_eq!(Args::of(&[1, 2])?.as_str(), "[1,2]");
/// assert_eq!(Args::default().as_str(), "{}");
/// # Ok::<(), postrider::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args(CheckedJson);

impl Args {
    /// The payload of a job.
    ///
    /// ```
    /// use postrider::Args;
    ///
    /// assert_eq!(Args::of("ada")?.as_str(), "\"ada\"");
    /// assert!(Args::of("a\0b").is_err());
    /// # Ok::<(), postrider::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] if it cannot be written as JSON, has more than 1 MiB, is nested deeper than 128, or
    /// contains a NUL, which Postgres cannot store.
    pub fn of<T: Serialize + ?Sized>(payload: &T) -> Result<Self, Error> {
        CheckedJson::of(payload, ARGS).map(Self)
    }

    /// A payload from JSON text.
    ///
    /// ```
    /// use postrider::Args;
    ///
    /// // Kept as it is written.
    /// assert_eq!(Args::parse(r#"{"price": 1.10}"#)?.as_str(), r#"{"price": 1.10}"#);
    /// assert!(Args::parse("{").is_err());
    /// # Ok::<(), postrider::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Args::of`], and if the text is not JSON.
    pub fn parse(text: &str) -> Result<Self, Error> {
        CheckedJson::parse(text, ARGS).map(Self)
    }

    /// The JSON text.
    ///
    /// ```
    /// assert_eq!(postrider::Args::parse(" [] ")?.as_str(), "[]");
    /// # Ok::<(), postrider::Error>(())
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl ToSql for Args {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.0.to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        CheckedJson::accepts(ty)
    }

    to_sql_checked!();
}

impl Default for Args {
    fn default() -> Self {
        Self(CheckedJson::known("{}".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_nul_is_refused_and_an_escaped_backslash_before_u0000_is_not() {
        assert!(Args::of("a\0b").is_err());
        assert!(Args::parse(r#"{"k\u0000": 1}"#).is_err());
        assert!(Args::of(r"\u0000").is_ok());
        assert!(Args::parse(r#"["\\u0000"]"#).is_ok());
    }

    #[test]
    fn lone_surrogates_huge_numbers_and_deep_nesting_are_refused() {
        assert!(Args::parse(r#""\ud800""#).is_err());
        assert!(Args::parse(r#""\udc00\ud800""#).is_err());
        assert!(Args::parse(r#""\ud83d\ude00 \\ud800""#).is_ok());
        for refused in ["1e131072", "-1e999999999999", "1e-16384", "[0.5e-16383]"] {
            assert!(Args::parse(refused).is_err(), "{refused}");
        }
        assert!(Args::parse(&"9".repeat(131_073)).is_err());
        assert!(Args::parse(&"[".repeat(10_000)).is_err());
        assert!(Args::parse(&("[".repeat(10_000) + &"]".repeat(10_000))).is_err());
    }

    #[test]
    fn numbers_are_kept_as_they_are_written() {
        for text in ["18446744073709551616", "12345678901234.567891", "1e-400", "1E+400", "[-0.10, 1e131071]"] {
            assert_eq!(Args::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn exponents_count_as_postgres_writes_them_out() {
        assert!(Args::of(&vec![1e300; 3_000]).is_ok());
        assert!(Args::of(&vec![1e300; 4_000]).is_err());
        assert!(Args::of(&vec![true; 4_000]).is_ok());
    }

    #[test]
    fn the_limit_is_one_mebibyte_of_text() {
        assert!(Args::of(&"x".repeat(MAX_ARGS_BYTES - 2)).is_ok());
        assert!(Args::of(&"x".repeat(MAX_ARGS_BYTES - 1)).is_err());
    }

    proptest! {
        #[test]
        fn strings_pass_unless_they_hold_a_nul(text in any::<String>()) {
            prop_assert_eq!(Args::of(&text).is_err(), text.contains('\0'));
        }

        #[test]
        fn no_text_makes_it_panic(text in r#"[\[\]{}",:0-9eE+.\\u d8tf-]{0,60}|\PC{0,40}"#) {
            if let Ok(args) = Args::parse(&text) {
                prop_assert_eq!(Args::parse(args.as_str()).expect("the same"), args.clone());
                // The parser of `Value` refuses only numbers that it cannot represent.
                if let Err(error) = serde_json::from_str::<serde_json::Value>(args.as_str()) {
                    prop_assert!(error.to_string().contains("out of range"), "{}", error);
                }
            }
        }
    }
}
