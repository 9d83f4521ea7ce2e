//! The connections that a statement of ours may run on.

use deadpool_postgres::{Object, Transaction as PooledTransaction};
use tokio_postgres::{Client, GenericClient, Transaction};

/// A client, a pooled client, or the caller's own transaction.
///
/// Implemented for the types of `tokio-postgres` and `deadpool-postgres`; not meant to be
/// implemented elsewhere.
pub trait Queryable: Sync {
    /// What runs the statements.
    type Raw: GenericClient + Sync;

    /// The connection itself.
    fn raw(&self) -> &Self::Raw;
}

impl Queryable for Client {
    type Raw = Self;

    fn raw(&self) -> &Self {
        self
    }
}

impl<'t> Queryable for Transaction<'t> {
    type Raw = Transaction<'t>;

    fn raw(&self) -> &Self {
        self
    }
}

impl Queryable for Object {
    type Raw = Client;

    fn raw(&self) -> &Client {
        self
    }
}

impl<'t> Queryable for PooledTransaction<'t> {
    type Raw = Transaction<'t>;

    fn raw(&self) -> &Transaction<'t> {
        self
    }
}

/// A transaction, for what must be committed whole.
pub trait InTransaction: Queryable {}

impl InTransaction for Transaction<'_> {}

impl InTransaction for PooledTransaction<'_> {}
