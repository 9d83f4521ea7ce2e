//! The handler of a kind: how its args are decoded, and how it runs.
//!
//! - an async function for each job
//! - a function that blocks its thread (`blocking`)
//! - an async function for several jobs at once (`batches`)
//!
//! Promise: whatever its form, each job is an attempt of its own, with its own slot, timeout, cancel and outcome.
//!
//! It records nothing. It returns what the handler returned, or an error if the args do not decode.

mod batches;
mod blocking;
mod output;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::job::{CheckedJson, Job};
use crate::store::claim::ClaimedJob;
use crate::store::finish::Fence;
use crate::worker::config::Config;
use crate::worker::in_flight::NewInFlightJob;
use crate::worker::{Context, JobError};
use batches::Batches;
pub(in crate::worker) use batches::{MAX_BATCH, MAX_BATCH_WAIT};
pub(in crate::worker) use blocking::BlockingThreads;
pub use output::DEFAULT_MAX_OUTPUT_BYTES;
pub(in crate::worker) use output::json as output_json;

/// A running handler.
pub(in crate::worker) type HandlerFuture = Pin<Box<dyn Future<Output = Result<Option<CheckedJson>, JobError>> + Send>>;

type Start<S> = dyn Fn(String, Context<S>) -> HandlerFuture + Send + Sync;

/// A kind's handler and the kind's own defaults.
pub(in crate::worker) struct Handler<S> {
    pub kind: &'static str,
    pub timeout: Option<Duration>,
    pub keep_completed: Option<bool>,
    pub retry_after: fn(u32) -> Option<Duration>,
    start: Box<Start<S>>,
}

impl<S: Send + Sync + 'static> Handler<S> {
    pub fn of<J, F, Fut, T>(handler: F) -> Self
    where
        J: Job,
        F: Fn(J, Context<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, JobError>> + Send + 'static,
        T: Serialize + 'static,
    {
        Self::starting(move |payload: J, context| {
            let max_output = context.max_output_bytes;
            let running = handler(payload, context);
            Box::pin(async move { output::of(&running.await?, max_output) })
        })
    }

    /// A function that blocks its thread.
    pub fn blocking<J, F, T>(handler: F, threads: Arc<BlockingThreads>) -> Self
    where
        J: Job,
        F: Fn(J, Context<S>) -> Result<T, JobError> + Send + Sync + 'static,
        T: Serialize + 'static,
    {
        let handler = Arc::new(handler);
        Self::starting(move |payload: J, context| {
            let (handler, threads) = (Arc::clone(&handler), Arc::clone(&threads));
            let max_output = context.max_output_bytes;
            Box::pin(async move { threads.run(move || output::of(&handler(payload, context)?, max_output)).await? })
        })
    }

    /// A function that handles several jobs at once.
    pub fn many<J, F, Fut, T>(max: usize, wait: Duration, handler: F) -> Self
    where
        J: Job,
        F: Fn(Vec<(J, Context<S>)>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<Result<T, JobError>>> + Send + 'static,
        T: Serialize + 'static,
    {
        let batches = Batches::new(J::KIND, max, wait, move |jobs| {
            let max_output = jobs
                .first()
                .map_or(DEFAULT_MAX_OUTPUT_BYTES, |(_, context): &(J, Context<S>)| context.max_output_bytes);
            let running = handler(jobs);
            Box::pin(async move { running.await.into_iter().map(|result| output::of(&result?, max_output)).collect() })
        });
        Self::starting(move |payload: J, context| Box::pin(batches.join((payload, context))))
    }

    fn starting<J: Job>(start: impl Fn(J, Context<S>) -> HandlerFuture + Send + Sync + 'static) -> Self {
        let start = move |args: String, context: Context<S>| -> HandlerFuture {
            match serde_json::from_str::<J>(&args) {
                Ok(payload) => start(payload, context),
                Err(error) => {
                    let text = format!("args do not decode as {}: {}", J::KIND, decode_problem(&error));
                    Box::pin(std::future::ready(Err(JobError::retry(text))))
                }
            }
        };
        Self {
            kind: J::KIND,
            timeout: J::TIMEOUT,
            keep_completed: J::KEEP_COMPLETED,
            retry_after: J::retry_after,
            start: Box::new(start),
        }
    }

    /// A job of this kind that a worker has claimed, in its queue of this number.
    pub fn of_claimed(&self, claimed: &ClaimedJob, claimed_by: Uuid, queue: usize, config: &Config) -> NewInFlightJob {
        NewInFlightJob {
            key: claimed.key(),
            fence: Fence { id: claimed.id, claim: claimed.claim, worker: claimed_by },
            kind: self.kind,
            queue,
            attempt: claimed.attempt,
            max_attempts: claimed.max_attempts,
            timeout: self.timeout.or(config.timeout),
            keeps_completed: self.keep_completed.unwrap_or(config.queues[queue].keep_completed),
        }
    }

    /// Decodes the args and starts the handler.
    pub fn start(&self, args: String, context: Context<S>) -> HandlerFuture {
        (self.start)(args, context)
    }
}

/// What is wrong with args, without their content: errors are logged, args are not.
fn decode_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // These messages name only fields of the payload's type.
    if text.starts_with("missing field") || text.starts_with("duplicate field") {
        return text;
    }
    format!(
        "a field that it does not know, or a value that it cannot hold, at line {} column {}",
        error.line(),
        error.column()
    )
}
