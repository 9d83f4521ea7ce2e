//! `sea-orm` 2.

use std::borrow::Cow;

use sea_orm::sea_query::ArrayType;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, QueryResult, RuntimeErr, Value,
};

use crate::driver_error::DriverError;
use crate::error::Error;
use crate::postgres::any_connection::sealed::AnySealed;
use crate::postgres::{AnyConnection, AnyTransaction, Param, Returned, Returns, Statement, time_text};

async fn run(connection: &impl ConnectionTrait, statement: Statement<'_>) -> Result<Returned, Error> {
    let returns = statement.returns();
    let (sql, params) = statement.into_parts();
    let statement = sea_orm::Statement::from_sql_and_values(DbBackend::Postgres, sql, params.into_iter().map(value));
    let row = connection.query_one_raw(statement).await.map_err(driver_error)?;
    // Our statements return one row.
    let row = row.ok_or_else(|| driver_error(DbErr::RecordNotFound("the statement returned no row".to_owned())))?;
    read(&row, returns).map_err(|error| driver_error(error).into())
}

fn value(param: Param<'_>) -> Value {
    let text = |value: Option<Cow<'_, str>>| Value::String(value.map(Cow::into_owned));
    let array = |of, values: Option<Vec<Value>>| Value::Array(of, values.map(Box::new));
    match param {
        Param::Text(value) => text(value),
        Param::Json(json) => text(Some(json)),
        Param::Time(value) => Value::String(value.map(time_text)),
        Param::Boolean(value) => Value::Bool(value),
        Param::Integer(value) => Value::Int(Some(value)),
        Param::BigInteger(value) => Value::BigInt(Some(value)),
        Param::Float(value) => Value::Double(Some(value)),
        Param::Texts(values) => {
            array(ArrayType::String, values.map(|values| values.into_iter().map(|value| text(Some(value))).collect()))
        }
        Param::Integers(values) => {
            array(ArrayType::Int, Some(values.into_iter().map(|value| Value::Int(Some(value))).collect()))
        }
        Param::Floats(values) => array(
            ArrayType::Double,
            values.map(|values| values.into_iter().map(|value| Value::Double(Some(value))).collect()),
        ),
    }
}

fn read(row: &QueryResult, returns: Returns) -> Result<Returned, DbErr> {
    Ok(match returns {
        Returns::Id => Returned::one(row.try_get_by_index(0)?),
        Returns::Arrays => Returned { ids: row.try_get_by_index(0)?, outcomes: row.try_get_by_index(1)? },
    })
}

fn driver_error(error: DbErr) -> DriverError {
    use sea_orm::sqlx::Error::{Io, PoolClosed, PoolTimedOut, Tls};

    let sqlx = match &error {
        DbErr::Conn(RuntimeErr::SqlxError(sqlx))
        | DbErr::Exec(RuntimeErr::SqlxError(sqlx))
        | DbErr::Query(RuntimeErr::SqlxError(sqlx)) => Some(sqlx.clone()),
        _ => None,
    };
    let is_closed = matches!(error, DbErr::ConnectionAcquire(_))
        || sqlx.as_ref().is_some_and(|error| matches!(**error, Io(_) | Tls(_) | PoolTimedOut | PoolClosed));
    let error = DriverError::new(error).closed(is_closed);
    match sqlx.as_ref().and_then(|error| error.as_database_error()) {
        Some(db) => error.refused(db.code().as_deref(), db.table(), db.constraint()),
        None => error,
    }
}

impl AnySealed for &DatabaseConnection {}

impl<'c> AnyConnection<'c> for &'c DatabaseConnection {
    async fn run(self, statement: Statement<'_>) -> Result<Returned, Error> {
        run(self, statement).await
    }
}

impl AnySealed for &DatabaseTransaction {}

impl<'c> AnyConnection<'c> for &'c DatabaseTransaction {
    async fn run(self, statement: Statement<'_>) -> Result<Returned, Error> {
        run(self, statement).await
    }
}

impl<'c> AnyTransaction<'c> for &'c DatabaseTransaction {}
