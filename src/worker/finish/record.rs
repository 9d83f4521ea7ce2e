//! Writes outcomes: chooses the statement for each and builds its parameters.
//!
//! Promise: one call runs one statement, and each outcome is sent with its fence. It does not retry: `finisher` does.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::store::finish::{self, AttemptKey, Finished, Retried};
use crate::store::session::Session;
use crate::worker::handles::WorkerHandles;
use crate::worker::outcome::{EndedAttempt, Outcome};

/// The most bytes in one statement: outputs that are sent, and args that the server moves to the history.
const MAX_BYTES_AT_ONCE: usize = 4 * 1024 * 1024;

/// The statement that records an outcome.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::worker) enum Statement {
    Complete,
    CompleteWithOutput,
    Delete,
    Finish,
    Retry,
    Snooze,
    Release,
}

/// The attempts whose fence held, with the due time of the jobs that will run again.
pub(in crate::worker) type Recorded = HashMap<AttemptKey, Option<DateTime<Utc>>>;

/// Writes outcomes that have the same statement.
pub(in crate::worker) async fn write(
    handles: &WorkerHandles,
    session: &Session,
    part: &[EndedAttempt],
) -> Result<Recorded, Error> {
    let retention = &handles.config.retention;
    let Some(first) = part.first() else { return Ok(Recorded::new()) };
    match statement_of(first) {
        Statement::Complete => {
            let fences = part.iter().map(|ended| ended.job.fence());
            Ok(without_due_time(finish::complete(session, fences, retention.completed_seconds()).await?))
        }
        Statement::CompleteWithOutput => {
            let jobs: Vec<_> = part
                .iter()
                .filter_map(|ended| match &ended.outcome {
                    Outcome::Completed { output: Some(output) } => Some((ended.job.fence(), output)),
                    _ => None,
                })
                .collect();
            Ok(without_due_time(finish::complete_with_output(session, &jobs, retention.completed_seconds()).await?))
        }
        Statement::Delete => {
            Ok(without_due_time(finish::delete(session, part.iter().map(|ended| ended.job.fence())).await?))
        }
        Statement::Finish => {
            let jobs: Vec<Finished<'_>> = part
                .iter()
                .filter_map(|ended| {
                    let (state, retention_seconds, failure) = match &ended.outcome {
                        Outcome::Discarded { failure, .. } => {
                            ("discarded", retention.discarded_seconds(), Some(failure))
                        }
                        Outcome::Cancelled { reason } => ("cancelled", retention.cancelled_seconds(), reason.as_ref()),
                        _ => return None,
                    };
                    Some(Finished { fence: ended.job.fence(), state, retention_seconds, failure })
                })
                .collect();
            Ok(without_due_time(finish::finish(session, &jobs).await?))
        }
        Statement::Retry => {
            let jobs: Vec<Retried<'_>> = part
                .iter()
                .filter_map(|ended| match &ended.outcome {
                    Outcome::Failed { failure, delay, .. } => {
                        Some(Retried { fence: ended.job.fence(), delay_ms: millis(*delay), failure })
                    }
                    _ => None,
                })
                .collect();
            Ok(with_due_time(finish::retry(session, &jobs).await?))
        }
        Statement::Snooze => {
            let jobs: Vec<_> = part
                .iter()
                .filter_map(|ended| match &ended.outcome {
                    Outcome::Snoozed { delay } => Some((ended.job.fence(), millis(*delay))),
                    _ => None,
                })
                .collect();
            Ok(with_due_time(finish::snooze(session, &jobs).await?))
        }
        Statement::Release => {
            let jobs: Vec<_> = part
                .iter()
                .filter_map(|ended| match &ended.outcome {
                    Outcome::Released { delay } => Some((ended.job.fence(), millis(*delay))),
                    _ => None,
                })
                .collect();
            Ok(without_due_time(finish::release(session, &jobs).await?))
        }
    }
}

fn without_due_time(attempts: Vec<AttemptKey>) -> Recorded {
    attempts.into_iter().map(|attempt| (attempt, None)).collect()
}

fn with_due_time(attempts: Vec<(AttemptKey, DateTime<Utc>)>) -> Recorded {
    attempts.into_iter().map(|(attempt, due)| (attempt, Some(due))).collect()
}

/// Splits outcomes of one statement, so that none of the parts has more than 4 MiB of outputs and args. One outcome
/// alone may have more.
pub(in crate::worker) fn in_parts(group: Vec<EndedAttempt>) -> Vec<Vec<EndedAttempt>> {
    let mut parts = Vec::new();
    let (mut part, mut bytes) = (Vec::new(), 0);
    for ended in group {
        let size = moved_bytes(&ended);
        if bytes + size > MAX_BYTES_AT_ONCE && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += size;
        part.push(ended);
    }
    parts.push(part);
    parts
}

/// What its statement writes to the history.
fn moved_bytes(ended: &EndedAttempt) -> usize {
    match statement_of(ended) {
        Statement::Complete | Statement::CompleteWithOutput | Statement::Finish => {
            ended.outcome.output_bytes() + ended.job.args_bytes()
        }
        Statement::Delete | Statement::Retry | Statement::Snooze | Statement::Release => 0,
    }
}

pub(in crate::worker) fn statement_of(ended: &EndedAttempt) -> Statement {
    match &ended.outcome {
        Outcome::Completed { .. } if !ended.job.keeps_completed => Statement::Delete,
        Outcome::Completed { output: Some(_) } => Statement::CompleteWithOutput,
        Outcome::Completed { output: None } => Statement::Complete,
        Outcome::Discarded { .. } | Outcome::Cancelled { .. } => Statement::Finish,
        Outcome::Failed { .. } => Statement::Retry,
        Outcome::Snoozed { .. } => Statement::Snooze,
        Outcome::Released { .. } => Statement::Release,
    }
}

fn millis(delay: Duration) -> i64 {
    // Delays are limited to years when they are made.
    i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)
}
