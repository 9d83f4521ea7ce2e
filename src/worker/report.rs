//! Telling what became of attempts: the log lines that operators look for, and the counters.

use chrono::{DateTime, SecondsFormat, Utc};

use super::held::Held;
use super::metrics::Metrics;
use super::outcome::{FailedBy, Outcome};
use super::shared::Shared;
use crate::job::JobId;
use crate::store::finish::Failure;

/// Reports an outcome that is recorded, with the time at which its job is due again.
pub(super) fn report(shared: &Shared, held: &Held, outcome: &Outcome, next_run_at: Option<DateTime<Utc>>) {
    let metrics = &shared.metrics;
    match outcome {
        Outcome::Completed => {
            metrics.completed.increment();
            tracing::debug!(job_id = held.id, kind = held.kind, attempt = held.attempt, "job completed");
        }
        Outcome::Failed { by, failure, .. } => {
            report_failure(shared, held, *by, failure, next_run_at);
            wake_at(shared, next_run_at);
        }
        Outcome::Discarded { by, failure } => {
            report_failure(shared, held, *by, failure, None);
            report_discarded(metrics, held.id, held.kind, held.attempt, held.max_attempts, &failure.error);
        }
        Outcome::Cancelled { reason } => {
            metrics.cancelled.increment();
            tracing::info!(
                job_id = held.id,
                kind = held.kind,
                attempt = held.attempt,
                reason = reason.as_ref().map(|reason| reason.error.as_str()),
                "job cancelled"
            );
        }
        Outcome::Snoozed { .. } => {
            metrics.snoozed.increment();
            wake_at(shared, next_run_at);
        }
        Outcome::GivenBack { .. } => {
            metrics.given_back.increment();
            tracing::info!(job_id = held.id, kind = held.kind, attempt = held.attempt, "job given back");
        }
    }
}

/// Reports that a job is given up for good, by its attempt or because that was lost.
pub(super) fn report_discarded(metrics: &Metrics, id: JobId, kind: &str, attempt: i32, max_attempts: i32, error: &str) {
    metrics.discarded.increment();
    tracing::error!(job_id = id, kind, attempt, max_attempts, error, "job discarded");
}

fn report_failure(shared: &Shared, held: &Held, by: FailedBy, failure: &Failure, next_run_at: Option<DateTime<Utc>>) {
    shared.metrics.failed.increment();
    let next_run_at = next_run_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true));
    let (id, kind, attempt, max_attempts) = (held.id, held.kind, held.attempt, held.max_attempts);
    if by == FailedBy::Panic {
        shared.metrics.panicked.increment();
        tracing::error!(
            job_id = id,
            kind,
            attempt,
            max_attempts,
            error = failure.error,
            next_run_at,
            trace = failure.trace,
            "job panicked"
        );
    } else {
        tracing::warn!(job_id = id, kind, attempt, max_attempts, error = failure.error, next_run_at, "job failed");
    }
}

/// The fetcher of this worker claims the job again at its time, without a poll.
fn wake_at(shared: &Shared, next_run_at: Option<DateTime<Utc>>) {
    if let Some(at) = next_run_at {
        shared.wake.due_at(at.timestamp_millis() + 1);
    }
}
