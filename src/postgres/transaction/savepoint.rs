//! A test's transaction, which is never committed, and the savepoints in it that take the place of its handlers'
//! transactions.
//!
//! Promises: the transaction is rolled back when the last handle to it is dropped. One savepoint is open at a time: two
//! on one connection would undo each other.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_postgres::Client;

use super::{Limits, send, statements};
use crate::error::Error;
use crate::postgres::queryable::sealed::Sealed;
use crate::postgres::{Database, InTransaction, Queryable, Schema};

/// The limits of each statement of a test's transaction.
const LIMITS: Limits = Limits { statement: Duration::from_secs(30), lock: Duration::from_secs(10) };

/// How long an attempt that has ended may keep its part open.
const WHOLE_WITHIN: Duration = Duration::from_secs(30);

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

    /// Begins a part of it, unless `is_over` by then.
    pub(crate) async fn savepoint(&self, is_over: impl Fn() -> Option<Error>) -> Result<super::Transaction, Error> {
        if let Some(error) = is_over() {
            return Err(error);
        }
        let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
            return Err(Error::invalid("tx", "is begun twice: in a test's transaction, one is open at a time"));
        };
        // It may have ended before the permit was free.
        if let Some(error) = is_over() {
            return Err(error);
        }
        statements::savepoint(&self.client).await?;
        Ok(Savepoint { tx: self.clone(), is_over: AtomicBool::new(false), _permit: permit }.into())
    }

    /// Waits until no part of it is open: a function on a thread may outlast its attempt.
    pub(crate) async fn is_whole(&self) -> Result<(), Error> {
        match timeout(WHOLE_WITHIN, self.free.acquire()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::invalid("tx", "is still open, although its attempt has ended")),
        }
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
        // Before the answer: once it is released, a rollback to it would fail, and with it the whole transaction.
        self.is_over.store(true, Ordering::Relaxed);
        let released = statements::release_savepoint(&self).await;
        // Then the drop rolls back to it.
        self.is_over.store(released.is_ok(), Ordering::Relaxed);
        released
    }

    pub async fn roll_back(self) -> Result<(), Error> {
        self.is_over.store(true, Ordering::Relaxed);
        statements::roll_back_to_savepoint(&self).await
    }

    pub fn schema(&self) -> Schema {
        self.tx.schema.clone()
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

impl fmt::Debug for TestTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestTransaction").finish_non_exhaustive()
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
