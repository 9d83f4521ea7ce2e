//! Many jobs in one statement.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use super::MAX_BATCH;
use crate::error::Error;
use crate::job::{Enqueued, NewJob};
use crate::postgres::{AnyConnection, BlockingConnection};
use crate::store;

/// The jobs of an [`enqueue_many`](super::enqueue_many): `.await` it, or [`execute`](Self::execute) it on a connection
/// that blocks.
#[must_use = "nothing is added until it is awaited"]
pub struct EnqueueMany<'c, C> {
    pub(super) connection: C,
    pub(super) jobs: &'c [NewJob],
}

impl<C> EnqueueMany<'_, C> {
    /// Refuses an empty or too large batch.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.jobs.is_empty() {
            return Err(Error::invalid("jobs", "is empty"));
        }
        if self.jobs.len() > MAX_BATCH {
            let problem = format!("has {} entries, more than {MAX_BATCH}: use copy", self.jobs.len());
            return Err(Error::invalid("jobs", problem));
        }
        Ok(())
    }
}

impl<C: BlockingConnection> EnqueueMany<'_, C> {
    /// Enqueues the jobs on a connection that blocks, in place of `.await`.
    ///
    /// # Errors
    /// As `.await`.
    pub fn execute(self) -> Result<Vec<Enqueued>, Error> {
        self.check()?;
        store::enqueue::enqueued_many(self.connection.run(store::enqueue::enqueue_many(self.jobs))?)
    }
}

impl<'c, C: AnyConnection<'c> + 'c> IntoFuture for EnqueueMany<'c, C> {
    type Output = Result<Vec<Enqueued>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            self.check()?;
            store::enqueue::enqueued_many(self.connection.run(store::enqueue::enqueue_many(self.jobs)).await?)
        })
    }
}
