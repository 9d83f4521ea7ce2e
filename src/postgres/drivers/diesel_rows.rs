//! What the two adapters of diesel share: the query with its parameters, the row, and the error.

use std::borrow::Cow;

use diesel::pg::Pg;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text};

use crate::driver_error::DriverError;
use crate::postgres::{Param, Returned, Statement, time_text};

/// The row of [`Returns::Id`](crate::postgres::Returns::Id).
#[derive(diesel::QueryableByName)]
pub(super) struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// The row of [`Returns::Arrays`](crate::postgres::Returns::Arrays).
#[derive(diesel::QueryableByName)]
pub(super) struct ArraysRow {
    #[diesel(sql_type = Array<BigInt>)]
    ids: Vec<i64>,
    #[diesel(sql_type = Nullable<Array<Text>>)]
    outcomes: Option<Vec<String>>,
}

impl From<IdRow> for Returned {
    fn from(row: IdRow) -> Self {
        Self::one(row.id)
    }
}

impl From<ArraysRow> for Returned {
    fn from(row: ArraysRow) -> Self {
        Self { ids: row.ids, outcomes: row.outcomes }
    }
}

pub(super) fn query<'q>(statement: Statement<'_>) -> BoxedSqlQuery<'q, Pg, SqlQuery> {
    let (sql, params) = statement.into_parts();
    params.into_iter().fold(diesel::sql_query(sql).into_boxed(), |query, param| match param {
        Param::Text(value) => query.bind::<Nullable<Text>, _>(value.map(Cow::into_owned)),
        Param::Json(text) => query.bind::<Text, _>(text.into_owned()),
        Param::Time(value) => query.bind::<Nullable<Text>, _>(value.map(time_text)),
        Param::Boolean(value) => query.bind::<Nullable<Bool>, _>(value),
        Param::Integer(value) => query.bind::<Integer, _>(value),
        Param::BigInteger(value) => query.bind::<BigInt, _>(value),
        Param::Float(value) => query.bind::<Double, _>(value),
        Param::Texts(values) => query.bind::<Nullable<Array<Text>>, _>(
            values.map(|values| values.into_iter().map(Cow::into_owned).collect::<Vec<_>>()),
        ),
        Param::Integers(values) => query.bind::<Array<Integer>, _>(values),
        Param::Floats(values) => query.bind::<Nullable<Array<Double>>, _>(values),
    })
}

pub(super) fn driver_error(error: DieselError) -> DriverError {
    let (kind, table, constraint) = match &error {
        DieselError::DatabaseError(kind, details) => {
            (Some(*kind), details.table_name().map(str::to_owned), details.constraint_name().map(str::to_owned))
        }
        _ => (None, None, None),
    };
    let is_closed = matches!(kind, Some(DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand));
    let sqlstate = kind.and_then(sqlstate);
    DriverError::new(error).closed(is_closed).refused(sqlstate, table.as_deref(), constraint.as_deref())
}

/// Diesel tells no SQLSTATE, but a kind for some.
fn sqlstate(kind: DatabaseErrorKind) -> Option<&'static str> {
    Some(match kind {
        DatabaseErrorKind::UniqueViolation => "23505",
        DatabaseErrorKind::ForeignKeyViolation => "23503",
        DatabaseErrorKind::NotNullViolation => "23502",
        DatabaseErrorKind::CheckViolation => "23514",
        DatabaseErrorKind::RestrictViolation => "23001",
        DatabaseErrorKind::ExclusionViolation => "23P01",
        DatabaseErrorKind::SerializationFailure => "40001",
        DatabaseErrorKind::ReadOnlyTransaction => "25006",
        _ => return None,
    })
}
