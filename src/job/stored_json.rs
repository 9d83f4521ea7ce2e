//! Stored JSON, passed on as text.

use std::error::Error as StdError;

use serde_json::value::RawValue;
use tokio_postgres::types::{FromSql, Type};

/// Stored JSON, passed on as text without being parsed.
pub(crate) struct StoredJson(pub String);

impl StoredJson {
    /// A value that serialises to the stored text. Checked without recursion, so that any nesting passes.
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
