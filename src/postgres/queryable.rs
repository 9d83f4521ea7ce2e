//! The types of connections that our statements run on.

use bytes::Bytes;
use deadpool_postgres::{Object, Transaction as PooledTransaction};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, CopyInSink, Error, GenericClient, Row, Transaction};

use super::Schema;

/// Seals [`Queryable`], so that it can get more methods without breaking anyone's implementation.
pub(super) mod sealed {
    pub trait Sealed {}
}

use sealed::Sealed;

/// A client, a pooled client, or the caller's transaction. Its statements use the default schema; [`InSchema`] makes
/// them use another.
///
/// Implemented for the types of `tokio-postgres` and `deadpool-postgres`, and for [`InSchema`]. Sealed: it cannot be
/// implemented elsewhere. A wrapper of a connection passes the connection on:
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// struct Audited { client: tokio_postgres::Client }
///
/// let audited = Audited { client };
/// postrider::admin::pause(&audited.client, "mail").await?;
/// # Ok(()) }
/// ```
///
/// ```compile_fail,E0277
/// struct Audited(tokio_postgres::Client);
///
/// impl postrider::postgres::Queryable for Audited {
///     type Raw = tokio_postgres::Client;
///
///     fn raw(&self) -> &Self::Raw {
///         &self.0
///     }
/// }
/// ```
pub trait Queryable: Sealed + Sync {
    /// The client that runs the statements.
    type Raw: GenericClient + Sync;

    /// The connection itself.
    fn raw(&self) -> &Self::Raw;

    /// The schema that statements use.
    fn schema(&self) -> Schema {
        Schema::default()
    }
}

/// A connection whose statements use a schema other than the default: see [`Schema::on`].
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// use postrider::Schema;
///
/// let billing = Schema::new("billing")?;
/// let jobs = postrider::admin::stats(&billing.on(&client)).await?;
/// # let _ = jobs;
/// # Ok(()) }
/// ```
pub struct InSchema<C> {
    pub(super) connection: C,
    pub(super) schema: Schema,
}

impl Schema {
    /// The connection, for statements in this schema. All functions that take a connection take it: those that need
    /// a [`Queryable`] take a reference to it.
    ///
    /// ```no_run
    /// # use postrider::{Schema, admin};
    /// # async fn example(client: tokio_postgres::Client, billing: Schema) -> Result<(), postrider::Error> {
    /// admin::pause(&billing.on(&client), "mail").await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn on<C>(&self, connection: C) -> InSchema<C> {
        InSchema { connection, schema: self.clone() }
    }
}

impl<C: Queryable> Sealed for InSchema<&C> {}

impl<C: Queryable> Queryable for InSchema<&C> {
    type Raw = C::Raw;

    fn raw(&self) -> &C::Raw {
        self.connection.raw()
    }

    fn schema(&self) -> Schema {
        self.schema.clone()
    }
}

impl<C: InTransaction> InTransaction for InSchema<&C> {}

/// The parameters of a statement, each with its type.
pub(crate) type Params<'p> = &'p [(&'p (dyn ToSql + Sync), Type)];

/// Runs the statements of `sql/` on a connection, in its schema.
pub(crate) struct Statements<'c, R> {
    client: &'c R,
    schema: Schema,
}

impl<'c, R: GenericClient + Sync> Statements<'c, R> {
    pub fn on(client: &'c impl Queryable<Raw = R>) -> Self {
        Self { client: client.raw(), schema: client.schema() }
    }

    pub async fn query_typed(&self, statement: &'static str, params: Params<'_>) -> Result<Vec<Row>, Error> {
        self.client.query_typed(&self.schema.statement(statement), params).await
    }

    pub async fn query_typed_one(&self, statement: &'static str, params: Params<'_>) -> Result<Row, Error> {
        self.client.query_typed_one(&self.schema.statement(statement), params).await
    }

    pub async fn query_typed_opt(&self, statement: &'static str, params: Params<'_>) -> Result<Option<Row>, Error> {
        self.client.query_typed_opt(&self.schema.statement(statement), params).await
    }

    pub async fn batch_execute(&self, statement: &'static str) -> Result<(), Error> {
        self.client.batch_execute(&self.schema.statement(statement)).await
    }

    pub async fn copy_in(&self, statement: &'static str) -> Result<CopyInSink<Bytes>, Error> {
        self.client.client().copy_in(&*self.schema.statement(statement)).await
    }
}

impl Sealed for Client {}

impl Queryable for Client {
    type Raw = Self;

    fn raw(&self) -> &Self {
        self
    }
}

impl Sealed for Transaction<'_> {}

impl<'t> Queryable for Transaction<'t> {
    type Raw = Transaction<'t>;

    fn raw(&self) -> &Self {
        self
    }
}

impl Sealed for Object {}

impl Queryable for Object {
    type Raw = Client;

    fn raw(&self) -> &Client {
        self
    }
}

impl Sealed for PooledTransaction<'_> {}

impl<'t> Queryable for PooledTransaction<'t> {
    type Raw = Transaction<'t>;

    fn raw(&self) -> &Transaction<'t> {
        self
    }
}

/// A transaction, for statements that must commit together. Sealed, as [`Queryable`] is.
pub trait InTransaction: Queryable {}

impl InTransaction for Transaction<'_> {}

impl InTransaction for PooledTransaction<'_> {}
