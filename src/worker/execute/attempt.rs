//! Running one attempt: the handler, its timeout, its cancellation, its panic.
//!
//! Promise: exactly one outcome, whatever the handler does. The outcome of a handler that blocks its thread is that of
//! `unresponsive`. No SQL.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;

use crate::job::CheckedJson;
use crate::postgres::finished;
use crate::store::finish::Failure;
use crate::worker::error_text::{MAX_ERROR_BYTES, error_text, storable};
use crate::worker::execute::panic_trace;
use crate::worker::execute::retry_policy::RetryPolicy;
use crate::worker::handler::HandlerFuture;
use crate::worker::in_flight::{InFlightJob, StopReason};
use crate::worker::job_error::JobError;
use crate::worker::outcome::{FailedBy, Outcome};

/// How long a handler that was asked to stop may take to return before it is dropped.
pub(in crate::worker) const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// The delay of a job whose completion the database has refused.
const COMPLETION_REFUSED_FOR: Duration = Duration::from_secs(5);

/// The longest snooze.
const MAX_SNOOZE: Duration = Duration::from_hours(87600);

/// How the handler ended.
enum Ending {
    Returned(Result<Option<CheckedJson>, JobError>),
    Dropped,
    Panicked(Failure),
}

/// The outcome of an attempt whose handler must not start. None: it may.
///
/// Only a request cancels a job. A shutdown or a timeout that came first says nothing about the job: another worker
/// runs it.
pub(in crate::worker) fn not_begun(stopped_for: Option<StopReason>, lease_is_fresh: bool) -> Option<Outcome> {
    match stopped_for {
        Some(StopReason::CancelRequested) => Some(Outcome::Cancelled { reason: None }),
        Some(StopReason::ShuttingDown | StopReason::TimedOut | StopReason::Lost) => Some(Outcome::RELEASED),
        // The worker was frozen while the job was buffered: it may belong to a peer.
        None if !lease_is_fresh => Some(Outcome::RELEASED),
        None => None,
    }
}

/// Runs the handler that `start` returns. Returns the outcome of the attempt.
pub(in crate::worker) async fn run(
    job: &InFlightJob,
    timeout: Option<Duration>,
    policy: &RetryPolicy,
    retry_after: fn(u32) -> Option<Duration>,
    start: impl FnOnce() -> HandlerFuture,
) -> Outcome {
    let attempt = async {
        // Where the handler is dropped, its database connections may be busy.
        let mut handler = pin!(finished(start()));
        tokio::select! {
            biased;
            result = &mut handler => return Ending::Returned(result),
            () = job.cancel.cancelled() => {}
            () = elapsed(timeout) => job.stop(StopReason::TimedOut),
        }
        tokio::time::timeout(CANCEL_GRACE, handler).await.map_or(Ending::Dropped, Ending::Returned)
    };
    // Around all of the handler: its start, its polls and its drop may panic.
    let guarded = AssertUnwindSafe(async { decide(job, policy, retry_after, attempt.await) }).catch_unwind();
    let ended = panic_trace::in_attempt(guarded).await;
    // A part of the handler that its middleware has given up may run on: a function on a thread, a job of a batch.
    job.cancel.cancel();
    // Here, because the values may panic when they are dropped, and may hold what others wait for.
    if std::panic::catch_unwind(AssertUnwindSafe(|| job.extensions.clear())).is_err() {
        tracing::error!(job_id = job.id, "a value in the context of an attempt panicked when it was dropped");
    }
    match ended {
        Ok(outcome) => outcome,
        Err(payload) => {
            let failure = Failure { error: panic_text(payload), trace: panic_trace::take() };
            decide(job, policy, retry_after, Ending::Panicked(failure))
        }
    }
}

/// The outcome that follows from how the handler ended and why it was asked to stop, if it was.
fn decide(
    job: &InFlightJob,
    policy: &RetryPolicy,
    retry_after: fn(u32) -> Option<Duration>,
    ending: Ending,
) -> Outcome {
    let reason = job.stop_reason();
    match (ending, reason) {
        (Ending::Returned(Ok(output)), _) => Outcome::Completed { output },
        (Ending::Returned(Err(JobError::Cancel(error))), _) => {
            Outcome::Cancelled { reason: Some(Failure { error: error_text(&error), trace: None }) }
        }
        // The job was cancelled, but what went wrong is still recorded.
        (Ending::Panicked(failure), Some(StopReason::CancelRequested)) => Outcome::Cancelled { reason: Some(failure) },
        (_, Some(StopReason::CancelRequested)) => Outcome::Cancelled { reason: None },
        (Ending::Returned(Err(JobError::Snooze(delay))), _) => Outcome::Snoozed { delay: delay.min(MAX_SNOOZE) },
        (Ending::Returned(Err(JobError::Discard(error))), _) => {
            Outcome::Discarded { by: FailedBy::Error, failure: Failure { error: error_text(&error), trace: None } }
        }
        (Ending::Panicked(failure), _) => fail(job, policy, retry_after, FailedBy::Panic, failure, None),
        (_, Some(StopReason::TimedOut)) => {
            let failure = Failure { error: "timed out".to_owned(), trace: None };
            fail(job, policy, retry_after, FailedBy::Timeout, failure, None)
        }
        // The completion in the handler's transaction was refused, for a reason that is not the job's.
        (Ending::Returned(Err(JobError::Retry { .. })), None) if job.is_completion_refused() => {
            Outcome::Released { delay: COMPLETION_REFUSED_FOR }
        }
        (Ending::Returned(Err(JobError::Retry { error, after })), None) => {
            let failure = Failure { error: error_text(&error), trace: None };
            fail(job, policy, retry_after, FailedBy::Error, failure, after)
        }
        // A handler is not dropped without a reason.
        (_, Some(StopReason::ShuttingDown | StopReason::Lost)) | (Ending::Dropped, None) => Outcome::RELEASED,
    }
}

fn fail(
    job: &InFlightJob,
    policy: &RetryPolicy,
    retry_after: fn(u32) -> Option<Duration>,
    by: FailedBy,
    failure: Failure,
    after: Option<Duration>,
) -> Outcome {
    if job.attempt >= job.max_attempts {
        return Outcome::Discarded { by, failure };
    }
    let attempt = u32::try_from(job.attempt).unwrap_or(1);
    let kind = move |attempt| after.or_else(|| retry_after(attempt));
    Outcome::Failed { by, failure, delay: policy.delay(kind, attempt) }
}

async fn elapsed(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

fn panic_text(payload: Box<dyn Any + Send>) -> String {
    storable(&format!("panicked: {}", panic_trace::payload_text(payload)), MAX_ERROR_BYTES)
}

/// The outcome of an attempt that returned `Ok`, and whose transaction with the completion was not committed.
pub(in crate::worker) fn uncommitted(job: &InFlightJob, policy: &RetryPolicy) -> Outcome {
    let error = "the transaction in which the handler completed the job was not committed".to_owned();
    fail(job, policy, |_| None, FailedBy::Error, Failure { error, trace: None }, None)
}

/// The outcome of an attempt whose output the database cannot store.
pub(in crate::worker) fn output_refused(job: &InFlightJob, policy: &RetryPolicy, problem: &str) -> Outcome {
    let error = format!("the database cannot store the output: {problem}");
    fail(job, policy, |_| None, FailedBy::Error, Failure { error, trace: None }, None)
}

/// The outcome of an attempt whose args the database cannot read.
pub(in crate::worker) fn args_unreadable(job: &InFlightJob, policy: &RetryPolicy, problem: &str) -> Outcome {
    let error = format!("the database cannot read the args: {problem}");
    fail(job, policy, |_| None, FailedBy::Error, Failure { error, trace: None }, None)
}

/// The outcome of an attempt whose handler does not end after it was asked to and its grace is over: it blocks its
/// thread.
pub(in crate::worker) fn unresponsive(job: &InFlightJob, policy: &RetryPolicy) -> Outcome {
    match job.stop_reason() {
        Some(StopReason::CancelRequested) => Outcome::Cancelled { reason: None },
        Some(StopReason::TimedOut) => {
            let failure = Failure { error: "timed out, and its handler ignores cancellation".to_owned(), trace: None };
            fail(job, policy, |_| None, FailedBy::Timeout, failure, None)
        }
        Some(StopReason::ShuttingDown | StopReason::Lost) | None => Outcome::RELEASED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_cancels_an_attempt_that_has_not_begun() {
        let other_reasons = [StopReason::TimedOut, StopReason::ShuttingDown, StopReason::Lost];
        for lease_is_fresh in [false, true] {
            let requested = not_begun(Some(StopReason::CancelRequested), lease_is_fresh);
            assert!(matches!(requested, Some(Outcome::Cancelled { reason: None })), "{requested:?}");
            for reason in other_reasons {
                let outcome = not_begun(Some(reason), lease_is_fresh);
                assert!(
                    matches!(outcome, Some(Outcome::Released { delay: Duration::ZERO })),
                    "{reason:?}: {outcome:?}"
                );
            }
        }
        assert!(matches!(not_begun(None, false), Some(Outcome::Released { delay: Duration::ZERO })));
        assert!(not_begun(None, true).is_none());
    }
}
