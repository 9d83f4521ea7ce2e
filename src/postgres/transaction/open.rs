//! A transaction for a handler, or for whoever else wants one that owns its connection.
//!
//! Promise: it is rolled back unless it is committed, and no setting of its session is changed.

use std::fmt;
use std::ops::Deref;

use tokio_postgres::Client;

use super::LimitedTransaction;
#[cfg(feature = "testing")]
use super::savepoint::Savepoint;
use crate::error::Error;
use crate::postgres::queryable::sealed::Sealed;
use crate::postgres::{InTransaction, Queryable, Schema};

/// An open transaction, READ COMMITTED, on a connection of the pool that it owns: see
/// [`Context::begin`](crate::Context::begin). Rolled back when it is dropped, unless it is [committed](Self::commit).
///
/// It is a [`tokio_postgres::Client`] for its statements. It has no time limits but those of its role and database.
pub struct Transaction(Kind);

enum Kind {
    Own(LimitedTransaction),
    /// A part of a test's transaction.
    #[cfg(feature = "testing")]
    Savepoint(Savepoint),
}

impl Transaction {
    /// Commits.
    ///
    /// # Errors
    /// [`Error::Database`]. If one of its statements has failed, nothing is committed. If the connection was lost, it is not
    /// known whether it was.
    pub async fn commit(self) -> Result<(), Error> {
        match self.0 {
            Kind::Own(tx) => tx.commit().await,
            #[cfg(feature = "testing")]
            Kind::Savepoint(savepoint) => savepoint.release().await,
        }
    }

    /// Rolls back. To drop the transaction does so, too, without waiting for it.
    ///
    /// # Errors
    /// [`Error::Database`]. It is rolled back all the same.
    pub async fn roll_back(self) -> Result<(), Error> {
        match self.0 {
            Kind::Own(tx) => tx.roll_back().await,
            #[cfg(feature = "testing")]
            Kind::Savepoint(savepoint) => savepoint.roll_back().await,
        }
    }
}

impl From<LimitedTransaction> for Transaction {
    fn from(tx: LimitedTransaction) -> Self {
        Self(Kind::Own(tx))
    }
}

#[cfg(feature = "testing")]
impl From<Savepoint> for Transaction {
    fn from(savepoint: Savepoint) -> Self {
        Self(Kind::Savepoint(savepoint))
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

impl Deref for Transaction {
    type Target = Client;

    fn deref(&self) -> &Client {
        match &self.0 {
            Kind::Own(tx) => tx,
            #[cfg(feature = "testing")]
            Kind::Savepoint(savepoint) => savepoint,
        }
    }
}

impl Sealed for Transaction {}

impl Queryable for Transaction {
    type Raw = Client;

    fn raw(&self) -> &Client {
        self
    }

    fn schema(&self) -> Schema {
        match &self.0 {
            Kind::Own(tx) => tx.schema(),
            #[cfg(feature = "testing")]
            Kind::Savepoint(savepoint) => savepoint.schema(),
        }
    }
}

impl InTransaction for Transaction {}
