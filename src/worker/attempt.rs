//! Running one attempt: the handler, its timeout, its cancellation, its panic.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

use super::held::{Held, StopReason};
use super::job_error::JobError;
use super::outcome::{FailedBy, Outcome};
use super::panic_trace;
use super::registry::HandlerFuture;
use super::retry_policy::RetryPolicy;
use super::text::{MAX_ERROR_BYTES, error_text, storable};
use crate::store::finish::Failure;

/// How long a handler that was asked to stop may take to return by itself before it is dropped.
pub(super) const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// The longest snooze.
const MAX_SNOOZE: Duration = Duration::from_hours(87600);

/// How the handler ended.
enum Ending {
    Returned(Result<(), JobError>),
    Dropped,
    Panicked(Failure),
}

/// Runs the handler that `start` gives to its end and says what became of the attempt.
pub(super) async fn run(
    held: &Held,
    timeout: Option<Duration>,
    policy: &RetryPolicy,
    retry_after: fn(u32) -> Option<Duration>,
    start: impl FnOnce() -> HandlerFuture,
) -> Outcome {
    let attempt = async {
        let mut handler = start();
        tokio::select! {
            biased;
            result = &mut handler => return Ending::Returned(result),
            () = held.cancel.cancelled() => {}
            () = elapsed(timeout) => held.stop(StopReason::TimedOut),
        }
        tokio::time::timeout(CANCEL_GRACE, handler).await.map_or(Ending::Dropped, Ending::Returned)
    };
    // Around everything of the handler's: its start, its polls and its drop may all panic.
    let guarded = AssertUnwindSafe(async { decide(held, policy, retry_after, attempt.await) }).catch_unwind();
    match panic_trace::tracing(guarded).await {
        Ok(outcome) => outcome,
        Err(payload) => {
            let failure = Failure { error: panic_text(payload), trace: panic_trace::take() };
            decide(held, policy, retry_after, Ending::Panicked(failure))
        }
    }
}

/// What follows from how the handler ended and why it was asked to stop, if it was.
fn decide(held: &Held, policy: &RetryPolicy, retry_after: fn(u32) -> Option<Duration>, ending: Ending) -> Outcome {
    let reason = held.stop_reason();
    match (ending, reason) {
        (Ending::Returned(Ok(())), _) => Outcome::Completed,
        (Ending::Returned(Err(JobError::Cancel(error))), _) => {
            Outcome::Cancelled { reason: Some(Failure { error: error_text(&error), trace: None }) }
        }
        // Nobody wants the job any more, but what went wrong is still told.
        (Ending::Panicked(failure), Some(StopReason::CancelRequested)) => Outcome::Cancelled { reason: Some(failure) },
        (_, Some(StopReason::CancelRequested)) => Outcome::Cancelled { reason: None },
        (Ending::Returned(Err(JobError::Snooze(delay))), _) => Outcome::Snoozed { delay: delay.min(MAX_SNOOZE) },
        (Ending::Returned(Err(JobError::Discard(error))), _) => {
            Outcome::Discarded { by: FailedBy::Error, failure: Failure { error: error_text(&error), trace: None } }
        }
        (Ending::Panicked(failure), _) => fail(held, policy, retry_after, FailedBy::Panic, failure, None),
        (_, Some(StopReason::TimedOut)) => {
            let failure = Failure { error: "timed out".to_owned(), trace: None };
            fail(held, policy, retry_after, FailedBy::Timeout, failure, None)
        }
        (Ending::Returned(Err(JobError::Retry { error, after })), None) => {
            let failure = Failure { error: error_text(&error), trace: None };
            fail(held, policy, retry_after, FailedBy::Error, failure, after)
        }
        // Without a reason nothing is dropped.
        (_, Some(StopReason::ShuttingDown | StopReason::Lost)) | (Ending::Dropped, None) => Outcome::GIVEN_BACK,
    }
}

fn fail(
    held: &Held,
    policy: &RetryPolicy,
    retry_after: fn(u32) -> Option<Duration>,
    by: FailedBy,
    failure: Failure,
    after: Option<Duration>,
) -> Outcome {
    if held.attempt >= held.max_attempts {
        return Outcome::Discarded { by, failure };
    }
    let attempt = u32::try_from(held.attempt).unwrap_or(1);
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
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panicked without a message".to_owned());
    // A payload whose drop panics would take the worker's task with it.
    if std::panic::catch_unwind(AssertUnwindSafe(move || drop(payload))).is_err() {
        tracing::error!("the payload of a panic panicked when it was dropped");
    }
    storable(&format!("panicked: {text}"), MAX_ERROR_BYTES)
}

/// What becomes of an attempt that ended well, and whose job was to be completed in a transaction that
/// was not committed.
pub(super) fn uncommitted(held: &Held, policy: &RetryPolicy) -> Outcome {
    let error = "the transaction in which the handler completed the job was not committed".to_owned();
    fail(held, policy, |_| None, FailedBy::Error, Failure { error, trace: None }, None)
}

/// What becomes of an attempt whose handler does not end although it was asked to and its grace
/// is over: it blocks its thread.
pub(super) fn given_up(held: &Held, policy: &RetryPolicy) -> Outcome {
    match held.stop_reason() {
        Some(StopReason::CancelRequested) => Outcome::Cancelled { reason: None },
        Some(StopReason::TimedOut) => {
            let failure = Failure { error: "timed out, and its handler ignores cancellation".to_owned(), trace: None };
            fail(held, policy, |_| None, FailedBy::Timeout, failure, None)
        }
        Some(StopReason::ShuttingDown | StopReason::Lost) | None => Outcome::GIVEN_BACK,
    }
}
