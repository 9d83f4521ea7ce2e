//! The payload of a job as JSON text that Postgres can hold.
//!
//! Promise: a value of type [`Args`] is valid `jsonb` of at most 1 MiB, so that
//! it can never fail the statement that carries it.

use std::error::Error as StdError;

use bytes::BytesMut;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::Error;

/// The largest payload, in bytes of JSON text: 1 MiB.
pub const MAX_ARGS_BYTES: usize = 1024 * 1024;

/// The deepest nesting of arrays and objects.
const MAX_DEPTH: usize = 128;

/// A checked payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args(Box<str>);

impl Args {
    /// The payload of a job.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it cannot be written as JSON, is over 1 MiB, is nested more
    /// than 128 deep, or holds a NUL, which Postgres cannot store.
    pub fn of<T: Serialize + ?Sized>(payload: &T) -> Result<Self, Error> {
        let text = serde_json::to_string(payload)
            .map_err(|error| Error::invalid("args", format!("cannot be written as JSON: {error}")))?;
        Self::checked(text)
    }

    /// A payload that is JSON text already.
    ///
    /// # Errors
    /// As [`Args::of`], and where the text is not JSON.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_ARGS_BYTES {
            return Err(too_large(text.len()));
        }
        // Through `Value`, because a raw copy would let lone surrogates and
        // numbers pass that Postgres refuses.
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| Error::invalid("args", format!("is not JSON: {error}")))?;
        Self::of(&value)
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn checked(text: String) -> Result<Self, Error> {
        if text.len() > MAX_ARGS_BYTES {
            return Err(too_large(text.len()));
        }
        let scan = Scan::of(&text);
        let as_stored = text.len().saturating_add(scan.zeros);
        if as_stored > MAX_ARGS_BYTES {
            return Err(Error::invalid(
                "args",
                format!("is {as_stored} bytes with its exponents written out, more than {MAX_ARGS_BYTES}"),
            ));
        }
        if scan.has_nul {
            return Err(Error::invalid("args", "holds a NUL character (\\u0000), which Postgres cannot store"));
        }
        if scan.depth > MAX_DEPTH {
            return Err(Error::invalid("args", format!("is nested {} deep, more than {MAX_DEPTH}", scan.depth)));
        }
        Ok(Self(text.into_boxed_str()))
    }
}

impl Default for Args {
    fn default() -> Self {
        Self("{}".into())
    }
}

fn too_large(len: usize) -> Error {
    Error::invalid("args", format!("is {len} bytes, more than {MAX_ARGS_BYTES}"))
}

/// What one pass over valid JSON text tells.
struct Scan {
    has_nul: bool,
    depth: usize,
    /// How many digits the exponents of its numbers stand for: Postgres writes them out, 309 bytes
    /// for `1e308`.
    zeros: usize,
}

impl Scan {
    fn of(text: &str) -> Self {
        let (mut has_nul, mut depth, mut deepest, mut zeros, mut in_string) = (false, 0_usize, 0, 0_usize, false);
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b'"' => in_string = !in_string,
                // The escaped character is stepped over, so that `\\u0000` (a
                // backslash and four zeros) is not taken for a NUL.
                b'\\' if in_string => {
                    has_nul |= bytes[at + 1..].starts_with(b"u0000");
                    at += 1;
                }
                b'{' | b'[' if !in_string => {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                b'}' | b']' if !in_string => depth -= 1,
                // Not the `e` of `true`, which follows a letter.
                b'e' | b'E' if !in_string && at > 0 && bytes[at - 1].is_ascii_digit() => {
                    let digits = bytes[at + 1..].iter().skip_while(|b| matches!(b, b'+' | b'-'));
                    let exponent = digits
                        .take_while(|b| b.is_ascii_digit())
                        .fold(0_usize, |sum, b| sum.saturating_mul(10).saturating_add(usize::from(b - b'0')));
                    zeros = zeros.saturating_add(exponent);
                }
                _ => {}
            }
            at += 1;
        }
        Self { has_nul, depth: deepest, zeros }
    }
}

impl ToSql for Args {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        // The binary form of jsonb: a version, then the text.
        out.extend_from_slice(&[1]);
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSONB
    }

    to_sql_checked!();
}

/// Stored JSON, passed on as text without being parsed.
pub(crate) struct StoredJson(pub String);

impl StoredJson {
    /// As a value that serialises to the stored text. Checked without recursion, so that
    /// nesting of any depth passes.
    pub fn into_raw(self) -> Result<Box<RawValue>, serde_json::Error> {
        RawValue::from_string(self.0)
    }
}

impl<'a> FromSql<'a> for StoredJson {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        match raw {
            [1, text @ ..] => Ok(Self(std::str::from_utf8(text)?.to_owned())),
            _ => Err("unknown jsonb version".into()),
        }
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSONB
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
        assert!(Args::parse("1e400").is_err());
        assert!(Args::parse(&"[".repeat(10_000)).is_err());
        assert!(Args::parse(&("[".repeat(10_000) + &"]".repeat(10_000))).is_err());
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
                let value: serde_json::Value = serde_json::from_str(args.as_str()).expect("JSON");
                prop_assert_eq!(Args::of(&value).expect("good args again"), Args::parse(args.as_str()).expect("the same"));
            }
        }
    }
}
