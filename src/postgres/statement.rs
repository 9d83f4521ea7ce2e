//! A statement that any driver can run: its text, and parameters of a few simple types.
//!
//! Promise: no value is part of the text. A driver that lacks a type for JSON or times sends text, which the statement
//! casts.

use std::borrow::Cow;
use std::error::Error as StdError;

use bytes::BytesMut;
use chrono::{DateTime, SecondsFormat, Utc};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::Schema;

/// A statement for a driver that has no adapter: see
/// [`enqueue_statement`](crate::enqueue::enqueue_statement).
#[derive(Clone, Debug)]
pub struct Statement<'p> {
    text: &'static str,
    schema: Option<Schema>,
    params: Vec<Param<'p>>,
    is_prepared: bool,
    returns: Returns,
}

/// The row that a statement returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returns {
    /// The column `id`, a `bigint`. Arrays take longer to make and to read.
    Id,
    /// The columns `ids`, a `bigint[]`, and `outcomes`, a `text[]` or null.
    Arrays,
}

/// A parameter of a [`Statement`]. Bind it with the type of Postgres that its documentation names: a driver that does
/// not declare types would let Postgres infer others.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Param<'p> {
    /// `text`, or null.
    Text(Option<Cow<'p, str>>),
    /// The text of a JSON value: `jsonb`, or `text`.
    Json(Cow<'p, str>),
    /// `timestamptz`, or null. Or `text`, in RFC 3339.
    Time(Option<DateTime<Utc>>),
    /// `boolean`, or null.
    Boolean(Option<bool>),
    /// `integer`.
    Integer(i32),
    /// `bigint`.
    BigInteger(i64),
    /// `double precision`.
    Float(f64),
    /// `text[]`, or null.
    Texts(Option<Vec<Cow<'p, str>>>),
    /// `integer[]`.
    Integers(Vec<i32>),
    /// `double precision[]`, or null.
    Floats(Option<Vec<f64>>),
}

impl<'p> Statement<'p> {
    pub(crate) fn new(text: &'static str, params: Vec<Param<'p>>, returns: Returns) -> Self {
        Self { text, schema: None, params, is_prepared: true, returns }
    }

    /// Uses this schema, unless another was named before.
    pub(crate) fn in_schema(mut self, schema: &Schema) -> Self {
        self.schema.get_or_insert_with(|| schema.clone());
        self
    }

    /// Leaves no prepared statement in the session.
    pub(super) fn unprepared(mut self) -> Self {
        self.is_prepared = false;
        self
    }

    /// Whether the driver may keep the statement prepared in the session.
    #[cfg_attr(not(any(feature = "sqlx-0_8", feature = "sqlx-0_9")), expect(dead_code, reason = "others keep none"))]
    pub(super) fn is_prepared(&self) -> bool {
        self.is_prepared
    }

    pub(super) fn returns(&self) -> Returns {
        self.returns
    }

    /// The text, with `$1`, `$2` and so on for the parameters.
    #[must_use]
    pub fn sql(&self) -> Cow<'static, str> {
        match &self.schema {
            Some(schema) => schema.statement(self.text),
            None => Cow::Borrowed(self.text),
        }
    }

    /// The parameters, in order.
    #[must_use]
    pub fn params(&self) -> &[Param<'p>] {
        &self.params
    }

    /// As the text and the parameters.
    #[must_use]
    pub fn into_parts(self) -> (Cow<'static, str>, Vec<Param<'p>>) {
        (self.sql(), self.params)
    }
}

impl<'p> Param<'p> {
    pub(crate) fn text(text: &'p str) -> Self {
        Self::Text(Some(Cow::Borrowed(text)))
    }

    /// Its type, for the driver `tokio-postgres`.
    pub(super) fn postgres_type(&self) -> Type {
        match self {
            Self::Text(_) => Type::TEXT,
            Self::Json(_) => Type::JSONB,
            Self::Time(_) => Type::TIMESTAMPTZ,
            Self::Boolean(_) => Type::BOOL,
            Self::Integer(_) => Type::INT4,
            Self::BigInteger(_) => Type::INT8,
            Self::Float(_) => Type::FLOAT8,
            Self::Texts(_) => Type::TEXT_ARRAY,
            Self::Integers(_) => Type::INT4_ARRAY,
            Self::Floats(_) => Type::FLOAT8_ARRAY,
        }
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self {
            Self::Text(value) => value.to_sql(ty, out),
            Self::Json(text) => {
                // The binary form of jsonb: a version, then the text.
                out.extend_from_slice(&[1]);
                text.to_sql(&Type::TEXT, out)
            }
            Self::Time(value) => value.to_sql(ty, out),
            Self::Boolean(value) => value.to_sql(ty, out),
            Self::Integer(value) => value.to_sql(ty, out),
            Self::BigInteger(value) => value.to_sql(ty, out),
            Self::Float(value) => value.to_sql(ty, out),
            Self::Texts(values) => values.to_sql(ty, out),
            Self::Integers(values) => values.to_sql(ty, out),
            Self::Floats(values) => values.to_sql(ty, out),
        }
    }

    // Only used with its own type.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A time as text, to the microsecond, which is all that Postgres keeps.
pub(crate) fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// What a statement has returned.
#[derive(Debug)]
#[doc(hidden)]
pub struct Returned {
    pub(crate) ids: Vec<i64>,
    pub(crate) outcomes: Option<Vec<String>>,
}

impl Returned {
    pub(super) fn one(id: i64) -> Self {
        Self { ids: vec![id], outcomes: None }
    }
}
