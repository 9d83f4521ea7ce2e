//! `sqlx` 0.8 and 0.9. Their types have the same names, so one macro writes both adapters.
//!
//! Each connection prepares a statement once and keeps it, as all statements of sqlx.

/// The adapter of one version. `$text` makes of our text what its `query` takes.
macro_rules! adapter {
    ($adapter:ident, $sqlx:ident, $text:ident) => {
        mod $adapter {
            use std::borrow::Cow;

            use $sqlx::pool::PoolConnection;
            use $sqlx::postgres::{PgArguments, PgRow, Postgres};
            use $sqlx::query::Query;
            use $sqlx::{Executor, PgConnection, PgPool, Row, Transaction};

            use crate::driver_error::DriverError;
            use crate::error::Error;
            use crate::postgres::any_connection::sealed::AnySealed;
            use crate::postgres::{AnyConnection, AnyTransaction, Param, Returned, Returns, Statement, time_text};

            async fn run<'c>(
                executor: impl Executor<'c, Database = Postgres>,
                statement: Statement<'_>,
            ) -> Result<Returned, Error> {
                let (is_prepared, returns) = (statement.is_prepared(), statement.returns());
                let (sql, params) = statement.into_parts();
                let query = params.into_iter().fold($sqlx::query(super::$text(&sql)), bind).persistent(is_prepared);
                let row = query.fetch_one(executor).await.map_err(driver_error)?;
                read(&row, returns).map_err(|error| driver_error(error).into())
            }

            fn bind<'q>(query: Query<'q, Postgres, PgArguments>, param: Param<'_>) -> Query<'q, Postgres, PgArguments> {
                match param {
                    Param::Text(value) => query.bind(value.map(Cow::into_owned)),
                    Param::Json(text) => query.bind(text.into_owned()),
                    Param::Time(value) => query.bind(value.map(time_text)),
                    Param::Boolean(value) => query.bind(value),
                    Param::Integer(value) => query.bind(value),
                    Param::BigInteger(value) => query.bind(value),
                    Param::Float(value) => query.bind(value),
                    Param::Texts(values) => {
                        query.bind(values.map(|values| values.into_iter().map(Cow::into_owned).collect::<Vec<_>>()))
                    }
                    Param::Integers(values) => query.bind(values),
                    Param::Floats(values) => query.bind(values),
                }
            }

            fn read(row: &PgRow, returns: Returns) -> Result<Returned, $sqlx::Error> {
                Ok(match returns {
                    Returns::Id => Returned::one(row.try_get(0)?),
                    Returns::Arrays => Returned { ids: row.try_get(0)?, outcomes: row.try_get(1)? },
                })
            }

            fn driver_error(error: $sqlx::Error) -> DriverError {
                use $sqlx::Error::{Io, PoolClosed, PoolTimedOut, Tls};

                let is_closed = matches!(error, Io(_) | Tls(_) | PoolTimedOut | PoolClosed);
                let refusal = error.as_database_error().map(|db| {
                    let owned = |text: Option<&str>| text.map(str::to_owned);
                    (db.code().map(Cow::into_owned), owned(db.table()), owned(db.constraint()))
                });
                let error = DriverError::new(error).closed(is_closed);
                match refusal {
                    Some((code, table, constraint)) => {
                        error.refused(code.as_deref(), table.as_deref(), constraint.as_deref())
                    }
                    None => error,
                }
            }

            impl AnySealed for &mut PgConnection {}

            impl<'c> AnyConnection<'c> for &'c mut PgConnection {
                async fn run(self, statement: Statement<'_>) -> Result<Returned, Error> {
                    run(self, statement).await
                }
            }

            impl AnySealed for &mut PoolConnection<Postgres> {}

            impl<'c> AnyConnection<'c> for &'c mut PoolConnection<Postgres> {
                async fn run(self, statement: Statement<'_>) -> Result<Returned, Error> {
                    run(&mut **self, statement).await
                }
            }

            impl AnySealed for &mut Transaction<'_, Postgres> {}

            impl<'c> AnyConnection<'c> for &'c mut Transaction<'_, Postgres> {
                async fn run(self, statement: Statement<'_>) -> Result<Returned, Error> {
                    run(&mut **self, statement).await
                }
            }

            impl<'c> AnyTransaction<'c> for &'c mut Transaction<'_, Postgres> {}

            impl AnySealed for &PgPool {}

            impl<'c> AnyConnection<'c> for &'c PgPool {
                async fn run(self, statement: Statement<'_>) -> Result<Returned, Error> {
                    run(self, statement).await
                }
            }
        }
    };
}

#[cfg(feature = "sqlx-0_8")]
adapter!(v0_8, sqlx_0_8, str_of);
#[cfg(feature = "sqlx-0_9")]
adapter!(v0_9, sqlx_0_9, safe);

#[cfg(feature = "sqlx-0_8")]
fn str_of(sql: &str) -> &str {
    sql
}

/// Sound: our statements have no text from outside but the name of a checked `Schema`.
#[cfg(feature = "sqlx-0_9")]
fn safe(sql: &str) -> sqlx_0_9::AssertSqlSafe<String> {
    sqlx_0_9::AssertSqlSafe(sql.to_owned())
}
