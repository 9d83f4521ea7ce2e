//! The testing kit, as a service uses it (CONFORMANCE 49).

mod assertions;
mod database;
mod faults;
mod perform;
mod run_due;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use postrider::testing::{Attempt, Outcome, TestWorker};
use postrider::{Context, Database, Job, JobError, Worker};
use serde::{Deserialize, Serialize};

/// What the handlers have done, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn say(&self, text: impl Into<String>) {
        self.0.lock().push(text.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

/// A job that does what it says.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Step {
    Say(String),
    /// Fails before the attempt of this number.
    FailBefore(u32),
    Panic,
    Discard,
    Cancel,
    Snooze,
    /// Does not end by itself.
    Hang,
    Return(String),
    /// Enqueues these, each due in so many seconds.
    Enqueue(Vec<(Step, u64)>),
}

impl Job for Step {
    const KIND: &'static str = "step";

    fn retry_after(attempt: u32) -> Option<Duration> {
        Some(Duration::from_mins(attempt.into()))
    }
}

async fn run_step(step: Step, cx: Context<Log>) -> Result<Option<String>, JobError> {
    cx.state().say(format!("{step:?}"));
    match step {
        Step::FailBefore(attempt) if cx.attempt() < attempt => return Err(JobError::retry("not yet")),
        Step::Say(_) | Step::FailBefore(_) => {}
        Step::Panic => panic!("no luck"),
        Step::Discard => return Err(JobError::discard("hopeless")),
        Step::Cancel => return Err(JobError::cancel("not wanted")),
        Step::Snooze => return Err(JobError::snooze(Duration::from_mins(5))),
        Step::Hang => {
            cx.cancelled().await;
            return Err(JobError::retry("asked to stop"));
        }
        Step::Return(value) => return Ok(Some(value)),
        Step::Enqueue(steps) => {
            let tx = cx.begin().await?;
            for (step, seconds) in steps {
                postrider::enqueue(&tx, &step).run_in(Duration::from_secs(seconds)).await?;
            }
            tx.commit().await?;
        }
    }
    Ok(None)
}

/// A worker of this service.
fn worker(database: Database, log: &Log) -> Worker<Log> {
    Worker::new(database, log.clone()).queue("default", 10).queue("other", 1).handle(run_step)
}

fn test_worker(database: Database) -> (TestWorker<Log>, Log) {
    let log = Log::default();
    (TestWorker::new(worker(database, &log)).unwrap(), log)
}

fn say(text: &str) -> Step {
    Step::Say(text.to_owned())
}

/// What was said, without the other steps.
fn said(log: &Log) -> String {
    log.take()
        .iter()
        .filter_map(|step| step.strip_prefix("Say(\"")?.strip_suffix("\")").map(str::to_owned))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The attempts in short: the number of each, and how it ended.
fn brief(attempts: &[Attempt]) -> String {
    let ending = |attempt: &Attempt| match &attempt.outcome {
        Outcome::Completed { .. } => "completed",
        Outcome::Retried { .. } => "retried",
        Outcome::Discarded { .. } => "discarded",
        Outcome::Cancelled { .. } => "cancelled",
        Outcome::Snoozed { .. } => "snoozed",
        Outcome::Crashed => "crashed",
        Outcome::Stale => "stale",
        _ => "other",
    };
    attempts.iter().map(|attempt| format!("{} {}", attempt.attempt, ending(attempt))).collect::<Vec<_>>().join(", ")
}
