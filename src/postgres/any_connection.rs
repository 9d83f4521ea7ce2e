//! The connections of all drivers, for the calls that belong into the caller's own transaction: enqueueing a job, and
//! completing one.
//!
//! Promise: a statement runs once, on the connection that was given, and nothing else is sent. No transaction is begun
//! and no setting is changed.

use std::future::Future;

use tokio_postgres::types::ToSql;

use super::statement::{Returned, Returns, Statement};
use super::{InSchema, InTransaction, Queryable};
use crate::error::Error;

/// Seals the traits of this module, so that they can get more methods without breaking anyone's implementation.
pub(super) mod sealed {
    pub trait AnySealed {}

    /// Apart, because it is implemented for every connection of diesel, whatever its type.
    pub trait BlockingSealed {}
}

use sealed::{AnySealed, BlockingSealed};

/// A connection of any supported driver, to enqueue on.
///
/// | driver | connections | feature |
/// | --- | --- | --- |
/// | `tokio-postgres`, `deadpool-postgres` | `&Client`, `&Transaction`, `&Object`: each [`Queryable`] | |
/// | `sqlx` 0.8, 0.9 | `&mut PgConnection` (of a transaction, `&mut *tx`), `&mut PoolConnection`, `&mut Transaction`, `&PgPool` | `sqlx-0_8`, `sqlx-0_9` |
/// | `diesel-async` 0.9 | `&mut AsyncPgConnection` (of a pool: `&mut *pooled`) | `diesel-async` |
/// | `sea-orm` 2 | `&DatabaseConnection`, `&DatabaseTransaction` | `sea-orm-2` |
///
/// A call takes its connection: to use it again afterwards, pass `&mut *tx`.
///
/// [`Schema::on`](super::Schema::on) makes one that uses another schema. `diesel` 2 is a [`BlockingConnection`]. For
/// any other driver there is [`enqueue_statement`](crate::enqueue::enqueue_statement). Sealed: it cannot be
/// implemented elsewhere.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no connection that postrider can use",
    label = "pass a reference to a connection or transaction of a supported driver",
    note = "is the driver's feature enabled? `sqlx-0_8`, `sqlx-0_9`, `diesel-async`, `sea-orm-2`; for `diesel-2`, call `.execute()` instead of `.await`",
    note = "sqlx: `&mut *tx`, `&mut *connection` or `&pool`; tokio-postgres: `&client` or `&tx`"
)]
pub trait AnyConnection<'c>: AnySealed + Send + Sized {
    #[doc(hidden)]
    fn run(self, statement: Statement<'_>) -> impl Future<Output = Result<Returned, Error>> + Send;
}

/// A transaction of any supported driver, to complete a job in: [`InTransaction`], `&mut Transaction` of `sqlx`, `&mut
/// AsyncPgConnection` within `transaction`, `&DatabaseTransaction` of `sea-orm`. Not `&mut PgConnection` of `sqlx`, which
/// may be in none: pass `&mut tx`, not `&mut *tx`. In `transaction` of `diesel` 2, a [`BlockingConnection`] takes its place.
/// Sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no transaction that postrider can use",
    label = "pass a reference to a transaction of a supported driver",
    note = "is the driver's feature enabled? `sqlx-0_8`, `sqlx-0_9`, `diesel-async`, `sea-orm-2`; for `diesel-2`, call `.execute()` instead of `.await`",
    note = "sqlx: `&mut tx`; tokio-postgres: `&tx`"
)]
pub trait AnyTransaction<'c>: AnyConnection<'c> {
    /// Whether a transaction is open, where the type does not say so.
    #[doc(hidden)]
    fn is_open(&mut self) -> bool {
        true
    }
}

/// A connection of a driver that blocks, with `.execute()` in place of `.await`: with the feature `diesel-2`, a
/// `&mut PgConnection` or any other connection of `diesel` 2 to Postgres, also one of its pool `r2d2`. Sealed.
///
/// The closure of `transaction` returns an error into which those of `diesel` convert: [`JobError`](crate::JobError) in a
/// handler, or `Box<dyn Error>`. A completion outside of a transaction is refused. Whole programs:
/// `examples/transactional_diesel.rs`.
///
/// ```ignore
/// connection.transaction::<_, JobError, _>(|tx| {
///     diesel::insert_into(receipts::table).values(receipts::order_id.eq(job.order)).execute(tx)?;
///     postrider::enqueue(&mut *tx, &SendReceipt { order: job.order }).execute()?;
///     cx.complete_in(tx).execute()?;
///     Ok(())
/// })
/// ```
pub trait BlockingConnection: BlockingSealed + Sized {
    #[doc(hidden)]
    fn run(self, statement: Statement<'_>) -> Result<Returned, Error>;

    /// Whether a transaction is open.
    #[doc(hidden)]
    fn is_open(&mut self) -> bool;
}

/// A transaction of `sqlx` through a transaction pooler that knows no prepared statements, such as `PgBouncer` before
/// 1.21 or without `max_prepared_statements`. No statement stays prepared, as with `.persistent(false)` for your own
/// queries. Each takes two round trips, between which the pooler may change the server's connection: hence only in a
/// transaction.
///
/// Other drivers do not need it: `sea-orm` prepares every statement, `diesel-async` closes each at once (so it needs a
/// transaction, too), the others prepare none.
///
/// ```ignore
/// use postrider::postgres::Unprepared;
///
/// let mut tx = pool.begin().await?;
/// postrider::enqueue(Unprepared(&mut tx), &mail).await?;
/// tx.commit().await?;
/// ```
#[derive(Debug)]
pub struct Unprepared<T>(pub T);

impl<T: AnySealed> AnySealed for Unprepared<T> {}

impl<'c, T: AnyTransaction<'c>> AnyConnection<'c> for Unprepared<T> {
    async fn run(self, statement: Statement<'_>) -> Result<Returned, Error> {
        self.0.run(statement.unprepared()).await
    }
}

impl<'c, T: AnyTransaction<'c>> AnyTransaction<'c> for Unprepared<T> {
    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }
}

impl<C: Queryable> AnySealed for &C {}

impl<'c, C: Queryable> AnyConnection<'c> for &'c C {
    async fn run(self, statement: Statement<'_>) -> Result<Returned, Error> {
        let returns = statement.returns();
        let (sql, params) = statement.in_schema(&self.schema()).into_parts();
        let typed: Vec<_> = params.iter().map(|param| (param as &(dyn ToSql + Sync), param.postgres_type())).collect();
        let row = tokio_postgres::GenericClient::query_typed_one(self.raw(), &sql, &typed).await?;
        Ok(match returns {
            Returns::Id => Returned::one(row.try_get(0)?),
            Returns::Arrays => Returned { ids: row.try_get(0)?, outcomes: row.try_get(1)? },
        })
    }
}

impl<'c, T: InTransaction> AnyTransaction<'c> for &'c T {}

impl<C: AnySealed> AnySealed for InSchema<C> {}

impl<'c, C: AnyConnection<'c>> AnyConnection<'c> for InSchema<C> {
    async fn run(self, statement: Statement<'_>) -> Result<Returned, Error> {
        self.connection.run(statement.in_schema(&self.schema)).await
    }
}

impl<'c, T: AnyTransaction<'c>> AnyTransaction<'c> for InSchema<T> {
    fn is_open(&mut self) -> bool {
        self.connection.is_open()
    }
}

impl<C: BlockingSealed> BlockingSealed for InSchema<C> {}

impl<C: BlockingConnection> BlockingConnection for InSchema<C> {
    fn run(self, statement: Statement<'_>) -> Result<Returned, Error> {
        self.connection.run(statement.in_schema(&self.schema))
    }

    fn is_open(&mut self) -> bool {
        self.connection.is_open()
    }
}
