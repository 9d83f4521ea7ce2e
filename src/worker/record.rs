//! Writing outcomes: which statement records which, and from what it is made.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::outcome::{Ended, Outcome};
use super::shared::Shared;
use crate::Error;
use crate::job::JobId;
use crate::store::finish::{self, Finished, Retried};
use crate::store::session::Session;

/// The statement that records an outcome.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Statement {
    Finish,
    Retry,
    Snooze,
    GiveBack,
}

/// The ids whose fence held, with the due time of those that will run again.
pub(super) type Recorded = HashMap<JobId, Option<DateTime<Utc>>>;

/// Writes outcomes of one statement.
pub(super) async fn write(shared: &Shared, session: &Session, part: &[Ended]) -> Result<Recorded, Error> {
    let retention = &shared.settings.retention;
    let Some(first) = part.first() else { return Ok(Recorded::new()) };
    match statement_of(&first.outcome) {
        Statement::Finish => {
            let jobs: Vec<Finished<'_>> = part
                .iter()
                .map(|ended| {
                    let (state, retention_seconds, failure) = match &ended.outcome {
                        Outcome::Discarded { failure, .. } => {
                            ("discarded", retention.discarded_seconds(), Some(failure))
                        }
                        Outcome::Cancelled { reason } => ("cancelled", retention.cancelled_seconds(), reason.as_ref()),
                        _ => ("completed", retention.completed_seconds(), None),
                    };
                    Finished { fence: ended.held.fence(), state, retention_seconds, failure }
                })
                .collect();
            Ok(finish::finish(session, &jobs).await?.into_iter().map(|id| (id, None)).collect())
        }
        Statement::Retry => {
            let jobs: Vec<Retried<'_>> = part
                .iter()
                .filter_map(|ended| match &ended.outcome {
                    Outcome::Failed { failure, delay, .. } => {
                        Some(Retried { fence: ended.held.fence(), delay_ms: millis(*delay), failure })
                    }
                    _ => None,
                })
                .collect();
            Ok(finish::retry(session, &jobs).await?.into_iter().map(|(id, at)| (id, Some(at))).collect())
        }
        Statement::Snooze => {
            let jobs: Vec<_> = part
                .iter()
                .filter_map(|ended| match &ended.outcome {
                    Outcome::Snoozed { delay } => Some((ended.held.fence(), millis(*delay))),
                    _ => None,
                })
                .collect();
            Ok(finish::snooze(session, &jobs).await?.into_iter().map(|(id, at)| (id, Some(at))).collect())
        }
        Statement::GiveBack => {
            let jobs: Vec<_> = part
                .iter()
                .filter_map(|ended| match &ended.outcome {
                    Outcome::GivenBack { delay } => Some((ended.held.fence(), millis(*delay))),
                    _ => None,
                })
                .collect();
            Ok(finish::give_back(session, &jobs).await?.into_iter().map(|id| (id, None)).collect())
        }
    }
}

pub(super) fn statement_of(outcome: &Outcome) -> Statement {
    match outcome {
        Outcome::Completed | Outcome::Discarded { .. } | Outcome::Cancelled { .. } => Statement::Finish,
        Outcome::Failed { .. } => Statement::Retry,
        Outcome::Snoozed { .. } => Statement::Snooze,
        Outcome::GivenBack { .. } => Statement::GiveBack,
    }
}

fn millis(delay: Duration) -> i64 {
    // Delays are limited to years where they are made.
    i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)
}
