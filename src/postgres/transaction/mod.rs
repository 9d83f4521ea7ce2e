//! Our own transactions on pooled connections.
//!
//! Promises: the server limits the time of each statement and each wait for a lock, even after our process has died.
//! This works through a transaction pooler, and leaves nothing in its sessions. Beginning a transaction costs no round
//! trip. If it is dropped in the middle of a statement (a client hung up, one of our limits was reached), the statement
//! is cancelled, and the connection returns to the pool once it is free, or is closed.

mod open;
#[cfg(feature = "testing")]
mod savepoint;
mod statements;

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::Client;

pub use open::Transaction;
#[cfg(feature = "testing")]
pub use savepoint::TestTransaction;

use super::client_without_wait::ClientWithoutWait;
use super::{Database, InTransaction, Queryable, Schema};
use crate::error::Error;
use crate::postgres::deadline::cancel;
use crate::postgres::dial::Target;
use crate::postgres::queryable::sealed::Sealed;

/// The time limit of rolling back a dropped transaction. After that, its statement is cancelled.
const ROLLED_BACK_WITHIN: Duration = Duration::from_millis(300);
/// The same after the cancel. After that, the connection is closed.
const CANCELLED_WITHIN: Duration = Duration::from_secs(2);

/// The limits of a transaction, enforced by the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The time limit of a statement.
    pub statement: Duration,
    /// The time limit of a wait for a lock.
    pub lock: Duration,
}

impl Limits {
    fn millis(self) -> (u32, u32) {
        let millis = |limit: Duration| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        (millis(self.statement), millis(self.lock))
    }

    /// Applies the limits to the rest of a session. Not through a transaction pooler: they would reach other sessions.
    pub async fn apply_to_session(self, client: &Client) -> Result<(), Error> {
        let (statement_ms, lock_ms) = self.millis();
        statements::limit_session(client, statement_ms, lock_ms).await
    }

    /// Runs one statement in a transaction of its own, which has the limits. All of it is sent together: no round trip
    /// is added.
    pub async fn run<T, E>(self, client: &Client, statement: impl Future<Output = Result<T, E>>) -> Result<T, Error>
    where
        Error: From<E>,
    {
        let (statement_ms, lock_ms) = self.millis();
        // Sent in this order.
        let begun = join(statements::begin(client), statements::limit_transaction(client, statement_ms, lock_ms));
        let ((begun, limited), (answer, committed)) = join(begun, join(statement, statements::commit(client))).await;
        // The first error is the cause of the others.
        begun?;
        limited?;
        let answer = answer?;
        committed?;
        Ok(answer)
    }
}

/// A transaction with [`Limits`], or without for a handler. Rolled back unless it is committed.
pub(crate) struct LimitedTransaction {
    /// Some until the drop.
    client: Option<ClientWithoutWait>,
    target: Arc<Target>,
    schema: Schema,
    is_over: AtomicBool,
}

impl Database {
    /// Begins a transaction. Waits for a connection like [`Database::client`].
    pub(crate) async fn begin(&self, limits: Limits) -> Result<LimitedTransaction, Error> {
        Ok(self.begin_on(self.client().await?.into(), limits))
    }

    /// Begins a transaction without waiting for the pool, as [`Database::client_without_wait`].
    pub(crate) async fn begin_without_wait(&self, purpose: &str, limits: Limits) -> Result<LimitedTransaction, Error> {
        Ok(self.begin_on(self.client_without_wait(purpose).await?, limits))
    }

    fn begin_on(&self, client: ClientWithoutWait, limits: Limits) -> LimitedTransaction {
        let (statement_ms, lock_ms) = limits.millis();
        send(statements::begin(&client));
        send(statements::limit_transaction(&*client, statement_ms, lock_ms));
        self.transaction_on(client)
    }

    /// Begins a transaction without limits, for a handler. Waits for a connection like [`Database::client`].
    pub(crate) async fn begin_unlimited(&self) -> Result<Transaction, Error> {
        let tx = self.transaction_on(self.client().await?.into());
        // Not only sent: if a pooler loses it, the next statement would commit by itself.
        statements::begin(&tx).await?;
        Ok(tx.into())
    }

    fn transaction_on(&self, client: ClientWithoutWait) -> LimitedTransaction {
        LimitedTransaction {
            client: Some(client),
            target: Arc::clone(&self.target),
            schema: self.schema.clone(),
            is_over: AtomicBool::new(false),
        }
    }
}

/// Sends a statement without waiting for its answer. Later statements on the connection run after it, and fail if it
/// has failed.
fn send(statement: impl Future<Output = Result<(), Error>>) {
    let _ = statement.now_or_never();
}

impl LimitedTransaction {
    pub async fn commit(self) -> Result<(), Error> {
        statements::commit_unless_failed(&self).await?;
        self.is_over.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub async fn roll_back(self) -> Result<(), Error> {
        statements::roll_back(&self).await?;
        self.is_over.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Runs the last statement and commits. Both are sent together, so the commit costs no extra round trip.
    pub async fn commit_with<T, E>(&self, last: impl Future<Output = Result<T, E>>) -> Result<T, Error>
    where
        Error: From<E>,
    {
        // Sent in this order.
        let (answer, committed) = join(last, statements::commit(self)).await;
        self.is_over.store(true, Ordering::Relaxed);
        committed?;
        Ok(answer?)
    }
}

impl Deref for LimitedTransaction {
    type Target = Client;

    fn deref(&self) -> &Client {
        #[allow(clippy::expect_used, reason = "only the drop takes it")]
        self.client.as_ref().expect("a connection until the drop")
    }
}

impl Sealed for LimitedTransaction {}

impl Queryable for LimitedTransaction {
    type Raw = Client;

    fn raw(&self) -> &Client {
        self
    }

    fn schema(&self) -> Schema {
        self.schema.clone()
    }
}

impl InTransaction for LimitedTransaction {}

impl Drop for LimitedTransaction {
    fn drop(&mut self) {
        let Some(client) = self.client.take().filter(|_| !self.is_over.load(Ordering::Relaxed)) else { return };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(settle(client, Arc::clone(&self.target)))),
            // The connection may be busy. Without a runtime it cannot be checked.
            Err(_) => client.close(),
        }
    }
}

/// Ends a dropped transaction, perhaps in the middle of a statement. Until then its connection counts towards the size
/// of the pool, which limits the number of such connections.
async fn settle(client: ClientWithoutWait, target: Arc<Target>) {
    if let Ok(rolled_back) = timeout(ROLLED_BACK_WITHIN, statements::roll_back(&client)).await {
        if rolled_back.is_err() {
            client.close();
        }
        return;
    }
    // Unless the server has handled the request, it may cancel a later statement.
    let is_cancelled = cancel(target, client.cancel_token()).await;
    if !is_cancelled || !matches!(timeout(CANCELLED_WITHIN, statements::roll_back(&client)).await, Ok(Ok(()))) {
        client.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { statement: Duration::from_mins(10), lock: Duration::from_mins(10) };

    fn database() -> Database {
        let url = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL: run the tests with scripts/test");
        Database::from_url(&url).unwrap().with_pool_size(1)
    }

    async fn number(client: &Client, query: &str) -> i64 {
        client.query_typed_one(query, &[]).await.unwrap().get(0)
    }

    #[tokio::test]
    async fn what_is_dropped_in_the_middle_of_a_statement_is_cancelled_and_its_connection_free_again() {
        let (database, others) = (self::database(), self::database());
        let looker = others.client().await.unwrap();
        let tx = database.begin(LIMITS).await.unwrap();
        let backend = number(&tx, "SELECT pg_backend_pid()::int8").await;
        let asleep = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = {backend} AND state = 'active' AND query LIKE '%pg_sleep%'"
        );
        let mut sleep = Box::pin(async move { tx.batch_execute("SELECT pg_sleep(598)").await });
        while number(&looker, &asleep).await == 0 {
            let _ = timeout(Duration::from_millis(10), &mut sleep).await;
        }
        drop(sleep);
        let free = timeout(Duration::from_secs(30), database.client()).await.expect("no wait for it").unwrap();
        assert_eq!(number(&free, "SELECT pg_backend_pid()::int8").await, backend, "the same, free again");
    }

    #[tokio::test]
    async fn the_server_ends_what_takes_too_long_and_nothing_is_kept_that_was_not_committed() {
        let database = database();
        let limits = Limits { statement: Duration::from_millis(50), ..LIMITS };
        let tx = database.begin(limits).await.unwrap();
        let error = Error::from(tx.batch_execute("SELECT pg_sleep(597)").await.unwrap_err());
        assert!(error.is_cut_short(), "{error}");
        drop(tx);

        let tx = database.begin(LIMITS).await.unwrap();
        tx.batch_execute("CREATE TABLE public.never_committed ()").await.unwrap();
        drop(tx);
        let is_there = "SELECT count(*) FROM pg_class WHERE relname = 'never_committed'";
        let tx = database.begin(LIMITS).await.unwrap();
        let found = tx.commit_with(async { Ok::<_, Error>(number(&tx, is_there).await) }).await.unwrap();
        assert_eq!(found, 0);
        drop(tx);
        // No setting is left in the session.
        let client = database.client().await.unwrap();
        let kept = "SELECT count(*) FROM pg_settings WHERE source = 'session' AND name LIKE '%timeout%'";
        assert_eq!(number(&client, kept).await, 0);
    }
}
