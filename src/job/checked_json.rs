//! JSON text that Postgres can store.
//!
//! Promise: a [`CheckedJson`] is valid `jsonb` within its limit, so that it never fails its statement.

use std::error::Error as StdError;

use bytes::BytesMut;
use serde::Serialize;
use serde::de::IgnoredAny;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::error::Error;

/// The maximum numbers of digits that Postgres accepts before and after the decimal point, with the exponent expanded.
const MAX_INTEGER_DIGITS: usize = 131_072;
const MAX_FRACTION_DIGITS: usize = 16_383;

/// The maximum nesting of arrays and objects.
const MAX_DEPTH: usize = 128;

/// Checked JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckedJson(Box<str>);

/// What the text is for, and its limit.
#[derive(Clone, Copy)]
pub(crate) struct JsonUse {
    /// The name in errors.
    pub field: &'static str,
    /// The largest text, in bytes.
    pub max_bytes: usize,
}

impl CheckedJson {
    /// The value as JSON.
    pub fn of<T: Serialize + ?Sized>(value: &T, of: JsonUse) -> Result<Self, Error> {
        let text = serde_json::to_string(value).map_err(|error| {
            Error::invalid(of.field, format!("cannot be written as JSON: {error}")).caused_by(error)
        })?;
        Self::checked(text, of)
    }

    /// JSON text.
    pub fn parse(text: &str, of: JsonUse) -> Result<Self, Error> {
        if text.len() > of.max_bytes {
            return Err(too_large(text.len(), of));
        }
        // Validated, but kept as written: a number may have more digits than fit any Rust type.
        serde_json::from_str::<IgnoredAny>(text)
            .map_err(|error| Error::invalid(of.field, format!("is not JSON: {error}")).caused_by(error))?;
        Self::checked(text.trim_ascii().to_owned(), of)
    }

    /// Text that is known to be JSON.
    pub const fn known(text: Box<str>) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn checked(text: String, of: JsonUse) -> Result<Self, Error> {
        if text.len() > of.max_bytes {
            return Err(too_large(text.len(), of));
        }
        let scan = Scan::of(&text);
        let as_stored = text.len().saturating_add(scan.zeros);
        let refused = |problem: String| Err(Error::invalid(of.field, problem));
        if as_stored > of.max_bytes {
            return refused(format!("is {as_stored} bytes with its exponents written out, more than {}", of.max_bytes));
        }
        if scan.has_lone_surrogate {
            return refused("holds half of a surrogate pair, which is no character".to_owned());
        }
        if scan.is_out_of_range {
            let (before, after) = (MAX_INTEGER_DIGITS, MAX_FRACTION_DIGITS);
            return refused(format!("holds a number of more than {before} digits before its point, or {after} after"));
        }
        if scan.has_nul {
            return refused("holds a NUL character (\\u0000), which Postgres cannot store".to_owned());
        }
        if scan.depth > MAX_DEPTH {
            return refused(format!("is nested {} deep, more than {MAX_DEPTH}", scan.depth));
        }
        Ok(Self(text.into_boxed_str()))
    }
}

fn too_large(len: usize, of: JsonUse) -> Error {
    Error::invalid(of.field, format!("is {len} bytes, more than {}", of.max_bytes))
}

/// The result of one pass over valid JSON text.
#[derive(Default)]
struct Scan {
    has_nul: bool,
    has_lone_surrogate: bool,
    /// A number has more digits than Postgres accepts.
    is_out_of_range: bool,
    depth: usize,
    /// The number of digits that the exponents add: Postgres expands them, to 309 bytes for `1e308`.
    zeros: usize,
}

impl Scan {
    fn of(text: &str) -> Self {
        let (mut scan, mut depth) = (Self::default(), 0_usize);
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            rest = match first {
                b'"' => scan.string(after),
                b'-' | b'0'..=b'9' => scan.number(rest),
                b'{' | b'[' => {
                    depth += 1;
                    scan.depth = scan.depth.max(depth);
                    after
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    after
                }
                _ => after,
            };
        }
        scan
    }

    /// Reads a string after its first quote. Returns the rest.
    fn string<'t>(&mut self, mut rest: &'t [u8]) -> &'t [u8] {
        // Whether the previous code unit is the first half of a surrogate pair.
        let mut opened = false;
        while let Some((first, after)) = rest.split_first() {
            let unit = match (first, after) {
                (b'\\', [b'u', digits @ ..]) => {
                    rest = digits.get(4..).unwrap_or_default();
                    let digits = digits.get(..4).and_then(|digits| std::str::from_utf8(digits).ok());
                    digits.and_then(|digits| u16::from_str_radix(digits, 16).ok())
                }
                // Skips the escaped character, so that `\\u0000` (a backslash, then text) does not count as a NUL.
                (b'\\', _) => {
                    rest = after.get(1..).unwrap_or_default();
                    None
                }
                (b'"', _) => {
                    self.has_lone_surrogate |= opened;
                    return after;
                }
                _ => {
                    rest = after;
                    None
                }
            };
            self.has_nul |= unit == Some(0);
            let (opens, closes) = match unit {
                Some(unit) => ((0xd800..0xdc00).contains(&unit), (0xdc00..0xe000).contains(&unit)),
                None => (false, false),
            };
            self.has_lone_surrogate |= opened != closes;
            opened = opens;
        }
        rest
    }

    /// Reads a number. Returns the rest.
    fn number<'t>(&mut self, text: &'t [u8]) -> &'t [u8] {
        let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let rest = text.strip_prefix(b"-").unwrap_or(text);
        let integer = digits(rest);
        let mut rest = &rest[integer..];
        let mut fraction = 0;
        if let Some(after) = rest.strip_prefix(b".") {
            fraction = digits(after);
            rest = &after[fraction..];
        }
        let (mut raised, mut lowered) = (0, 0);
        if let Some(after) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
            let (is_negative, after) = match after {
                [b'-', after @ ..] => (true, after),
                [b'+', after @ ..] | after => (false, after),
            };
            let length = digits(after);
            let exponent = after[..length]
                .iter()
                .fold(0_usize, |sum, byte| sum.saturating_mul(10).saturating_add(usize::from(byte - b'0')));
            (raised, lowered) = if is_negative { (0, exponent) } else { (exponent, 0) };
            rest = &after[length..];
        }
        self.zeros = self.zeros.saturating_add(raised).saturating_add(lowered);
        self.is_out_of_range |= integer.saturating_add(raised) > MAX_INTEGER_DIGITS
            || fraction.saturating_add(lowered) > MAX_FRACTION_DIGITS;
        rest
    }
}

impl ToSql for CheckedJson {
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
