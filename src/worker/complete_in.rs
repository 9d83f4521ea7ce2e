//! The completion of a job in its handler's own transaction, of any driver.
//!
//! Promise: a completion is written only if the attempt's fence holds, and commits only with the transaction.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use serde::Serialize;

use crate::error::Error;
use crate::job::CheckedJson;
use crate::postgres::{AnyTransaction, BlockingConnection, Database, Returned, Statement};
use crate::store::finish;
use crate::store::history::make_partition_for;
use crate::worker::handler::output_json;
use crate::worker::in_flight::{InFlightJob, StopReason};

/// The completion of a job: `.await` it, or [`execute`](Self::execute) it on a connection that blocks. See
/// [`Context::complete_in`](super::Context::complete_in).
#[must_use = "nothing is completed until it is awaited"]
pub struct CompleteIn<'c, T> {
    attempt: Attempt<'c>,
    tx: T,
    output: Result<Option<CheckedJson>, Error>,
}

/// The attempt whose job is to be completed.
pub(super) struct Attempt<'c> {
    pub job: &'c InFlightJob,
    pub database: &'c Database,
    pub completed_seconds: i64,
    pub max_output_bytes: usize,
}

impl<'c, T> CompleteIn<'c, T> {
    pub(super) fn new(attempt: Attempt<'c>, tx: T) -> Self {
        Self { attempt, tx, output: Ok(None) }
    }

    /// Keeps `output` with the job, like the value that a handler returns. One that is too large or cannot be stored is
    /// [`Error::Invalid`] of the completion.
    ///
    /// ```
    /// # use postrider::{Context, JobError};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Render { page: i32 }
    /// async fn render(page: Render, cx: Context<()>) -> Result<(), JobError> {
    ///     let mut client = cx.database().client().await?;
    ///     let tx = client.transaction().await?;
    ///     tx.execute("UPDATE page SET rendered = true WHERE id = $1", &[&page.page]).await?;
    ///     cx.complete_in(&tx).output(&"rendered").await?;
    ///     tx.commit().await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn output(mut self, output: &impl Serialize) -> Self {
        self.output = output_json(output, self.attempt.max_output_bytes).map(Some);
        self
    }
}

impl<T: BlockingConnection> CompleteIn<'_, T> {
    /// Completes the job on a connection that blocks, in place of `.await`, in the transaction that is open on it.
    ///
    /// # Errors
    /// As `.await`.
    pub fn execute(mut self) -> Result<(), Error> {
        let output = self.output?;
        check_open(self.tx.is_open())?;
        // Makes no partition: the next attempt may find it missing still, and tries again.
        let returned = self.tx.run(self.attempt.begin(output.as_ref()));
        self.attempt.end(returned)
    }
}

impl<'c, T: AnyTransaction<'c> + 'c> IntoFuture for CompleteIn<'c, T> {
    type Output = Result<(), Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            let output = self.output?;
            check_open(self.tx.is_open())?;
            let returned = self.tx.run(self.attempt.begin(output.as_ref())).await;
            let ended = self.attempt.end(returned);
            if ended.as_ref().is_err_and(Error::lacks_partition) {
                self.attempt.make_partition().await;
            }
            ended
        })
    }
}

impl Attempt<'_> {
    /// The statement. From here on it is not known whether the job is completed: the future may be dropped, or the
    /// answer lost.
    fn begin<'o>(&self, output: Option<&'o CheckedJson>) -> Statement<'o> {
        self.job.complete_in_transaction();
        finish::complete_in(self.job.fence(), self.completed_seconds, output).in_schema(self.database.schema())
    }

    fn end(&self, returned: Result<Returned, Error>) -> Result<(), Error> {
        let returned = returned.inspect_err(|error| {
            if error.is_about_the_database() {
                self.on_refusal(error);
            }
        })?;
        if finish::is_completed(&returned) {
            return Ok(());
        }
        self.job.stop(StopReason::Lost);
        Err(Error::Stale(self.job.id))
    }

    /// The attempt does not count if it fails now: another one would meet the same database.
    fn on_refusal(&self, error: &Error) {
        tracing::warn!(
            job_id = self.job.id,
            kind = self.job.kind,
            %error,
            "the database refuses the completion of a job in its handler's transaction; the job runs again"
        );
        self.job.refuse_completion();
    }

    /// For the next attempt: this transaction has failed.
    async fn make_partition(&self) {
        if let Err(error) = make_partition_for(self.database, self.completed_seconds).await {
            tracing::warn!(%error, "history partition not made");
        }
    }
}

fn check_open(is_open: bool) -> Result<(), Error> {
    if is_open { Ok(()) } else { Err(Error::invalid("tx", "is not in a transaction: begin one before the effects")) }
}
