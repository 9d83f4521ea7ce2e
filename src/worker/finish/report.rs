//! The log lines, counters and events of outcomes.
//!
//! Promise: no args in a log line. It reports what was recorded or refused, and changes no job. It also sets the
//! fetcher's timer for a job that is due again.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::job::{JobId, State};
use crate::observe::Event;
use crate::store::finish::Failure;
use crate::worker::handles::WorkerHandles;
use crate::worker::in_flight::InFlightJob;
use crate::worker::metrics::Metrics;
use crate::worker::outcome::{FailedBy, Outcome};

/// Reports a recorded outcome. `next_run_at`: when its job is due again.
pub(in crate::worker) fn report(
    handles: &WorkerHandles,
    job: &InFlightJob,
    outcome: &Outcome,
    next_run_at: Option<DateTime<Utc>>,
) {
    let metrics = &handles.metrics;
    handles.events.send(|| event(job, outcome, next_run_at));
    match outcome {
        Outcome::Completed { .. } => {
            metrics.completed.increment();
            tracing::debug!(job_id = job.id, kind = job.kind, attempt = job.attempt, "job completed");
        }
        Outcome::Failed { by, failure, .. } => {
            report_failure(handles, job, *by, failure, next_run_at);
            wake_at(handles, next_run_at);
        }
        Outcome::Discarded { by, failure } => {
            report_failure(handles, job, *by, failure, None);
            report_discarded(metrics, job.id, job.kind, job.attempt, job.max_attempts, &failure.error);
        }
        Outcome::Cancelled { reason } => {
            metrics.cancelled.increment();
            tracing::info!(
                job_id = job.id,
                kind = job.kind,
                attempt = job.attempt,
                reason = reason.as_ref().map(|reason| reason.error.as_str()),
                "job cancelled"
            );
        }
        Outcome::Snoozed { .. } => {
            metrics.snoozed.increment();
            wake_at(handles, next_run_at);
        }
        Outcome::Released { .. } => {
            metrics.released.increment();
            tracing::info!(job_id = job.id, kind = job.kind, attempt = job.attempt, "job released");
        }
    }
}

fn event(job: &InFlightJob, outcome: &Outcome, next_run_at: Option<DateTime<Utc>>) -> Event {
    let (job_id, kind, attempt) = (job.id, job.kind, job.attempt.unsigned_abs());
    let finished = |state| Event::JobFinished { job_id, kind: kind.to_owned(), attempt, state };
    match outcome {
        Outcome::Completed { .. } => finished(State::Completed),
        Outcome::Discarded { .. } => finished(State::Discarded),
        Outcome::Cancelled { .. } => finished(State::Cancelled),
        Outcome::Failed { .. } => Event::JobRetried { job_id, kind, attempt, next_run_at },
        Outcome::Snoozed { .. } => Event::JobSnoozed { job_id, kind, next_run_at },
        Outcome::Released { .. } => Event::JobReleased { job_id, kind },
    }
}

/// Reports an attempt that does not own its job any more: its outcome is not recorded. `is_gone`: no attempt owns it.
pub(in crate::worker) fn report_stale(handles: &WorkerHandles, job: &InFlightJob, is_gone: bool) {
    handles.metrics.stale.increment();
    let (job_id, kind, attempt) = (job.id, job.kind, job.attempt);
    handles.events.send(|| Event::AttemptStale { job_id, kind, attempt: attempt.unsigned_abs() });
    if is_gone {
        tracing::warn!(
            job_id,
            kind,
            attempt,
            "stale attempt: the job is gone, finished by another attempt or lost by the database; its outcome is refused"
        );
    } else {
        tracing::warn!(job_id, kind, attempt, "stale attempt: another attempt owns the job; its outcome is refused");
    }
}

/// Reports that a job is discarded, by its attempt or by a rescue.
pub(in crate::worker) fn report_discarded(
    metrics: &Metrics,
    id: JobId,
    kind: &str,
    attempt: i32,
    max_attempts: i32,
    error: &str,
) {
    metrics.discarded.increment();
    tracing::error!(job_id = id, kind, attempt, max_attempts, error, "job discarded");
}

fn report_failure(
    handles: &WorkerHandles,
    job: &InFlightJob,
    by: FailedBy,
    failure: &Failure,
    next_run_at: Option<DateTime<Utc>>,
) {
    handles.metrics.failed.increment();
    let next_run_at = next_run_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true));
    let (id, kind, attempt, max_attempts) = (job.id, job.kind, job.attempt, job.max_attempts);
    if by == FailedBy::Panic {
        handles.metrics.panicked.increment();
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

/// Wakes this worker's fetcher when the job is due again, without a poll.
fn wake_at(handles: &WorkerHandles, next_run_at: Option<DateTime<Utc>>) {
    if let Some(at) = next_run_at {
        handles.wake.due_at(at.timestamp_millis() + 1);
    }
}
