//! The database transaction of a request, and permits for requests that write.
//!
//! A request that writes may wait for another transaction, which holds a unique key or a row. Promises: the server
//! ends such a wait after 2 s and a statement after 10 s. Writing requests need a permit, so that some connections of
//! the pool are left for reading ones. Requests that may wait for a row share half of the permits, so that jobs
//! without a key are still enqueued.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::problem::Problem;
use crate::error::Error;
use crate::postgres::Database;
use crate::postgres::{LimitedTransaction, Limits};

/// The most writing requests in the database at once, of a pool of 10.
const WRITERS: usize = 6;
/// The most of these that may wait for a row that another transaction holds.
const WAITERS: usize = 3;
/// How long a request waits for its permit.
const PERMIT_WITHIN: Duration = Duration::from_secs(5);
const LIMITS: Limits = Limits { statement: Duration::from_secs(10), lock: Duration::from_secs(2) };

pub(super) struct WritePermits {
    writers: Semaphore,
    waiters: Semaphore,
}

impl Default for WritePermits {
    fn default() -> Self {
        Self { writers: Semaphore::new(WRITERS), waiters: Semaphore::new(WAITERS) }
    }
}

/// The permit of a writing request, until it is dropped.
pub(super) struct WritePermit<'t> {
    _writer: SemaphorePermit<'t>,
    _waiter: Option<SemaphorePermit<'t>>,
}

impl WritePermits {
    /// A permit for a request that only inserts, and waits for no row.
    pub async fn to_insert(&self) -> Result<WritePermit<'_>, Problem> {
        in_time(async { Ok(WritePermit { _writer: self.writers.acquire().await?, _waiter: None }) }).await
    }

    /// A permit for a request that may wait for a row or a key.
    pub async fn to_change(&self) -> Result<WritePermit<'_>, Problem> {
        // In this order, so that requests that wait here hold no permit of the others.
        in_time(async {
            let waiter = self.waiters.acquire().await?;
            Ok(WritePermit { _writer: self.writers.acquire().await?, _waiter: Some(waiter) })
        })
        .await
    }
}

async fn in_time<'t>(
    permit: impl Future<Output = Result<WritePermit<'t>, tokio::sync::AcquireError>>,
) -> Result<WritePermit<'t>, Problem> {
    match tokio::time::timeout(PERMIT_WITHIN, permit).await {
        Ok(Ok(permit)) => Ok(permit),
        // They are never closed.
        Ok(Err(_)) | Err(_) => Err(Problem::unavailable("too many other requests wait for the database")),
    }
}

/// Begins a transaction with limits for its statements and waits.
pub(super) async fn begin(database: &Database) -> Result<LimitedTransaction, Error> {
    database.begin(LIMITS).await
}
