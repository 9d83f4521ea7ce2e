//! A test's transaction, which is never committed, and the savepoints in it that take the place of its handlers'
//! transactions.
//!
//! Promises: the transaction is rolled back when the last handle to it is dropped. One savepoint is open at a time: two
//! on one connection would undo each other.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Client;

use super::{Limits, send, statements};
use crate::error::Error;
use crate::postgres::queryable::sealed::Sealed;
use crate::postgres::{Database, InTransaction, Queryable, Schema};

/// The limits of each statement of a test's transaction.
const LIMITS: Limits = Limits { statement: Duration::from_secs(30), lock: Duration::from_secs(10) };

/// The transaction of a test: see [`TestWorker::begin`](crate::testing::TestWorker::begin). Never committed: it is rolled
/// back when it is dropped.
///
/// It is a [`tokio_postgres::Client`] for the test's own statements. Each ends after 30 s, and after 10 s of waiting for a
/// lock. The server ends the transaction if nothing is asked of it for a minute.
#[derive(Clone)]
pub struct TestTransaction {
    client: Arc<Client>,
    schema: Schema,
    is_utf8: bool,
    free: Arc<Semaphore>,
}

/// A part of a test's transaction, rolled back unless it is released.
pub(super) struct Savepoint {
    tx: TestTransaction,
    is_over: AtomicBool,
    _permit: OwnedSemaphorePermit,
}

impl TestTransaction {
    /// Begins the transaction, on a connection of its own.
    pub(crate) async fn begin(database: &Database) -> Result<Self, Error> {
        let (client, connection) = database.connect("test").await?;
        let is_utf8 = connection.parameter("server_encoding") == Some("UTF8");
        // Ends when the last handle is dropped.
        tokio::spawn(connection);
        statements::begin(&client).await?;
        let (statement_ms, lock_ms) = LIMITS.millis();
        statements::limit_transaction(&client, statement_ms, lock_ms).await?;
        let free = Arc::new(Semaphore::new(1));
        Ok(Self { client: Arc::new(client), schema: database.schema().clone(), is_utf8, free })
    }

    /// Begins a part of it.
    pub(crate) async fn savepoint(&self) -> Result<super::Transaction, Error> {
        let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
            return Err(Error::invalid("tx", "is begun twice: in a test's transaction, one is open at a time"));
        };
        statements::savepoint(&self.client).await?;
        Ok(Savepoint { tx: self.clone(), is_over: AtomicBool::new(false), _permit: permit }.into())
    }

    pub(crate) fn shared_client(&self) -> Arc<Client> {
        Arc::clone(&self.client)
    }

    pub(crate) fn is_utf8(&self) -> bool {
        self.is_utf8
    }
}

impl Savepoint {
    pub async fn release(self) -> Result<(), Error> {
        statements::release_savepoint(&self).await?;
        self.is_over.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub async fn roll_back(self) -> Result<(), Error> {
        statements::roll_back_to_savepoint(&self).await?;
        self.is_over.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Savepoint {
    fn drop(&mut self) {
        if !self.is_over.load(Ordering::Relaxed) {
            send(statements::roll_back_to_savepoint(self));
        }
    }
}

impl Deref for Savepoint {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.tx
    }
}

impl Savepoint {
    pub fn schema(&self) -> Schema {
        self.tx.schema.clone()
    }
}

impl Deref for TestTransaction {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Sealed for TestTransaction {}

impl Queryable for TestTransaction {
    type Raw = Client;

    fn raw(&self) -> &Client {
        self
    }

    fn schema(&self) -> Schema {
        self.schema.clone()
    }
}

impl InTransaction for TestTransaction {}
