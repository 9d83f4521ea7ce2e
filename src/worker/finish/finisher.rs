//! Records outcomes in batches: while one batch is written, the next one collects outcomes. A single outcome is written
//! at once.
//!
//! Promises:
//! - An outcome is written only if its fence holds, and it is kept until it is written or refused as stale.
//! - What the database refuses for its own reasons (down, full, missing rights, missing partition) is tried again as
//!   long as the worker lives. No job fails because of it.
//! - A batch that takes too long is written in parts.
//! - A single outcome that the database refuses is deferred, and the others go through. So are all of a batch that the
//!   database keeps refusing: then each is tried alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::job::JobId;
use crate::postgres::{Reconnect, within};
use crate::store::claim::vanished_jobs;
use crate::store::finish::{self, Failure};
use crate::store::history;
use crate::store::session::{Session, SessionSlot};
use crate::worker::adaptive_batch::AdaptiveBatch;
use crate::worker::error_text::in_ascii;
use crate::worker::execute::attempt::{output_refused, uncommitted};
use crate::worker::finish::deferred::DeferredOutcomes;
use crate::worker::finish::record::{self, Recorded, statement_of};
use crate::worker::finish::report::{report, report_stale};
use crate::worker::handles::WorkerHandles;
use crate::worker::in_flight::InFlightJob;
use crate::worker::maintain::partitions::missing_privilege_hint;
use crate::worker::outcome::{EndedAttempt, Outcome};

/// The most outcomes in one statement.
const MAX_BATCH: usize = 1_000;
/// The most waiting outcomes. With more, attempts keep their slots.
pub(in crate::worker) const MAX_WAITING: usize = 2_000;
/// How often to try deferred outcomes once no others come.
const LAST_CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// The server ends a statement after 10 s.
const WRITE_TIMEOUT: Duration = Duration::from_secs(12);
/// How often a batch is tried as a whole while the database refuses it for a reason that may be its own.
const TRIES_AS_A_WHOLE: u32 = 4;
/// After as many refused statements in a row, the rest of a batch is deferred untried.
const MAX_REFUSED_IN_A_ROW: u32 = 16;

pub(in crate::worker) struct Finisher {
    handles: Arc<WorkerHandles>,
    waiting: mpsc::Receiver<EndedAttempt>,
    batch: AdaptiveBatch,
    session: SessionSlot,
    reconnect: Reconnect,
    closing: CancellationToken,
    cutoff: CancellationToken,
    /// Outcomes that must not hold up the others.
    deferred: DeferredOutcomes,
    unrecorded: u64,
}

impl Finisher {
    /// After `closing` it takes no more outcomes. After `cutoff` it stops waiting for a database that does not come
    /// back.
    pub fn new(
        handles: Arc<WorkerHandles>,
        waiting: mpsc::Receiver<EndedAttempt>,
        closing: CancellationToken,
        cutoff: CancellationToken,
    ) -> Self {
        Self {
            handles,
            waiting,
            batch: AdaptiveBatch::new(MAX_BATCH),
            session: SessionSlot::default(),
            reconnect: Reconnect::default(),
            closing,
            cutoff,
            deferred: DeferredOutcomes::default(),
            unrecorded: 0,
        }
    }

    /// Records outcomes until it is closed and all are recorded. Returns how many could not be.
    pub async fn run(mut self) -> u64 {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        let closing = self.closing.clone();
        loop {
            let next_deferred = self.deferred.next();
            let taken = tokio::select! {
                biased;
                () = sleep_until(next_deferred.unwrap_or_else(Instant::now)), if next_deferred.is_some() => {
                    self.record_deferred().await;
                    continue;
                }
                taken = self.waiting.recv_many(&mut batch, self.batch.limit()), if !self.deferred.is_full() => taken,
                () = closing.cancelled(), if !self.waiting.is_closed() => {
                    self.waiting.close();
                    continue;
                }
            };
            if taken == 0 {
                break;
            }
            self.record(batch.drain(..)).await;
        }
        while !self.deferred.is_empty() && !self.cutoff.is_cancelled() {
            self.record_deferred().await;
            sleep(LAST_CHECK_INTERVAL).await;
        }
        self.unrecorded + self.deferred.len() as u64
    }

    async fn record(&mut self, ended: impl Iterator<Item = EndedAttempt>) {
        let mut groups: HashMap<u8, Vec<EndedAttempt>> = HashMap::new();
        let mut group = |ended: EndedAttempt| groups.entry(statement_of(&ended) as u8).or_default().push(ended);
        let mut in_doubt = Vec::new();
        for ended in ended {
            if ended.job.completes_in_transaction() { in_doubt.push(ended) } else { group(ended) }
        }
        if !in_doubt.is_empty() {
            self.fail_uncommitted(in_doubt).await.into_iter().for_each(group);
        }
        for (_, group) in groups {
            self.record_group(group).await;
        }
    }

    /// Of attempts that completed their job in a transaction of their own, fails those whose transaction was not
    /// committed.
    async fn fail_uncommitted(&mut self, ended: Vec<EndedAttempt>) -> Vec<EndedAttempt> {
        let fences: Vec<_> = ended.iter().map(|ended| ended.job.fence()).collect();
        let completed = loop {
            match self.on_session(async |session| finish::completed_in(session, &fences).await).await {
                Ok(completed) => break completed,
                Err(error) if !self.wait_before_retry(&error, ended.len()).await => return Vec::new(),
                Err(_) => {}
            }
        };
        let (done, rest): (Vec<_>, Vec<_>) =
            ended.into_iter().partition(|ended| completed.contains(&ended.job.fence().key()));
        for EndedAttempt { job, outcome, .. } in done {
            if !matches!(outcome, Outcome::Completed { .. }) {
                tracing::warn!(job_id = job.id, kind = job.kind, "the handler failed after it had completed its job");
            }
            report(&self.handles, &job, &Outcome::COMPLETED, None);
            self.handles.in_flight.release(&job);
        }
        let policy = &self.handles.config.retry_policy;
        let failed = |ended: EndedAttempt| match ended.outcome {
            Outcome::Completed { .. } => EndedAttempt { outcome: uncommitted(&ended.job, policy), ..ended },
            _ => ended,
        };
        rest.into_iter().map(failed).collect()
    }

    /// Records deferred outcomes that are due and whose rows are not locked.
    async fn record_deferred(&mut self) {
        let due = self.deferred.take_due();
        if due.is_empty() {
            return;
        }
        let (locked, free) = self.split_locked(due).await;
        self.deferred.locked(locked);
        let (refused, unlocked): (Vec<_>, Vec<_>) = free.into_iter().partition(|ended| ended.refusals > 0);
        if !unlocked.is_empty() {
            self.record(unlocked.into_iter()).await;
        }
        // One by one: in a batch, each could be refused because of another.
        for ended in refused {
            self.record(std::iter::once(ended)).await;
        }
    }

    /// Splits outcomes by whether their job's row is locked. If that cannot be found out, all count as locked.
    async fn split_locked(&mut self, ended: Vec<EndedAttempt>) -> (Vec<EndedAttempt>, Vec<EndedAttempt>) {
        let ids: Vec<JobId> = ended.iter().map(|ended| ended.job.id).collect();
        match self.on_session(async |session| finish::locked_jobs(session, &ids).await).await {
            Ok(locked) => ended.into_iter().partition(|ended| locked.contains(&ended.job.id)),
            Err(_) => (ended, Vec::new()),
        }
    }

    /// Records outcomes of one statement, in parts if the database refuses the whole.
    async fn record_group(&mut self, group: Vec<EndedAttempt>) {
        // A deferred outcome has been tried often enough.
        let mut tries_left = if group.iter().any(|ended| ended.refusals > 0) { 1 } else { TRIES_AS_A_WHOLE };
        let mut refused_in_a_row = 0;
        let mut parts = record::in_parts(group);
        while let Some(mut part) = parts.pop() {
            if refused_in_a_row >= MAX_REFUSED_IN_A_ROW {
                for ended in part {
                    self.deferred.refused(ended);
                }
                continue;
            }
            // Always in the order of the ids, so that two statements cannot deadlock.
            part.sort_unstable_by_key(|ended| ended.job.id);
            let Err(error) = self.record_with_retries(&part, &mut tries_left).await else {
                refused_in_a_row = 0;
                continue;
            };
            refused_in_a_row += u32::from(!error.is_about_a_row() && !error.is_locked_out());
            if error.is_locked_out() {
                let (locked, free) = self.split_locked(part).await;
                for ended in &locked {
                    tracing::warn!(
                        job_id = ended.job.id,
                        kind = ended.job.kind,
                        "the job's row is locked; its outcome waits"
                    );
                }
                // If none of the rows is locked, another table is.
                if locked.is_empty() && !self.wait_before_retry(&error, free.len()).await {
                    continue;
                }
                self.deferred.locked(locked);
                parts.extend((!free.is_empty()).then_some(free));
            } else if part.len() > 1 {
                let rest = part.split_off(part.len() / 2);
                parts.extend([part, rest]);
            } else if let Some(ended) = part.pop() {
                self.record_refused(ended, error).await;
            }
        }
    }

    /// Writes until the outcomes are written, or refused: because of a row, or `tries_left` times.
    async fn record_with_retries(&mut self, part: &[EndedAttempt], tries_left: &mut u32) -> Result<(), Error> {
        let (mut repeated, mut made_partitions) = (false, false);
        loop {
            let error = match self.write(part).await {
                Ok(recorded) => {
                    self.reconnect.reset();
                    self.batch.grow();
                    self.report_and_release(part, &recorded, repeated).await;
                    return Ok(());
                }
                Err(error) => error,
            };
            if error.lacks_partition() {
                self.make_partitions().await;
                if !std::mem::replace(&mut made_partitions, true) {
                    continue;
                }
            }
            if error.is_cut_short() && part.len() > 1 && !repeated {
                self.batch.shrink(part.len());
                return Err(error);
            }
            if error.is_about_a_row() || (error.is_locked_out() && !repeated) {
                return Err(error);
            }
            if error.is_refusal() {
                *tries_left = tries_left.saturating_sub(1);
                if *tries_left == 0 {
                    return Err(error);
                }
            }
            // A lost answer may hide a success: an outcome that is then missing was recorded, not refused.
            repeated |= error.leaves_doubt();
            if !self.wait_before_retry(&error, part.len()).await {
                return Ok(());
            }
        }
    }

    /// Waits before the next try. Returns false if the shutdown is over.
    async fn wait_before_retry(&mut self, error: &Error, outcomes: usize) -> bool {
        self.session.close();
        tracing::warn!(%error, outcomes, "outcomes not recorded; trying again");
        tokio::select! {
            () = self.cutoff.cancelled() => {
                tracing::error!(%error, outcomes, "outcomes could not be recorded before the shutdown ended");
                self.unrecorded += outcomes as u64;
                false
            }
            () = sleep(self.reconnect.next_delay()) => true,
        }
    }

    /// Last resort for an outcome that the database refuses. If the database's encoding lacks a character, an error is
    /// written in ASCII, and an attempt with an output fails: no output is stored in part. Else the outcome is deferred.
    async fn record_refused(&mut self, ended: EndedAttempt, error: Error) {
        let mut refused = error;
        let mut ended = ended;
        if refused.is_about_a_value() && ended.outcome.has_text() {
            ended.outcome = match ended.outcome {
                Outcome::Completed { .. } => {
                    output_refused(&ended.job, &self.handles.config.retry_policy, &in_ascii(&refused.to_string()))
                }
                other => with_text(other, in_ascii),
            };
            match self.record_with_retries(std::slice::from_ref(&ended), &mut 1).await {
                Ok(()) => return,
                Err(error) => refused = error,
            }
        }
        if ended.refusals == 0 {
            tracing::error!(
                job_id = ended.job.id,
                kind = ended.job.kind,
                error = %refused,
                "the database refuses the outcome of a job; trying again until it is accepted"
            );
        }
        self.deferred.refused(ended);
    }

    async fn write(&mut self, part: &[EndedAttempt]) -> Result<Recorded, Error> {
        let handles = Arc::clone(&self.handles);
        self.on_session(async |session| record::write(&handles, session, part).await).await
    }

    /// Runs a statement on the session, and keeps the session unless it fails.
    async fn on_session<T>(&mut self, statement: impl AsyncFnOnce(&Session) -> Result<T, Error>) -> Result<T, Error> {
        let handles = &self.handles;
        let open = async || within(WRITE_TIMEOUT, finish::open_session(&handles.database, handles.is_direct())).await;
        self.session.with(open, async |session| within(WRITE_TIMEOUT, statement(session)).await).await
    }

    /// Makes the history partitions that outcomes need now.
    async fn make_partitions(&self) {
        let retention = &self.handles.config.retention;
        for seconds in [retention.completed_seconds(), retention.cancelled_seconds(), retention.discarded_seconds()] {
            let made = within(WRITE_TIMEOUT, history::make_partition_for(&self.handles.database, seconds)).await;
            if let Err(error) = made {
                let advice = missing_privilege_hint(&error, self.handles.database.schema());
                tracing::warn!(%error, advice, "history partition not made");
            }
        }
    }

    /// Reports each outcome and releases its job from memory.
    async fn report_and_release(&mut self, part: &[EndedAttempt], recorded: &Recorded, repeated: bool) {
        let mut stale = Vec::new();
        for EndedAttempt { job, outcome, .. } in part {
            match recorded.get(&job.fence().key()) {
                Some(next_run_at) => report(&self.handles, job, outcome, *next_run_at),
                None if repeated => report(&self.handles, job, outcome, None),
                // Its transaction was not committed yet when it was looked up.
                None if job.completes_in_transaction() => report(&self.handles, job, &Outcome::COMPLETED, None),
                None if matches!(outcome, Outcome::Released { .. }) => {
                    tracing::info!(job_id = job.id, kind = job.kind, "a job to be released belongs to another worker");
                }
                None => stale.push(Arc::clone(job)),
            }
            self.handles.in_flight.release(job);
        }
        if !stale.is_empty() {
            self.report_stale(&stale).await;
        }
    }

    /// Reports outcomes that were refused because their attempts do not own their jobs any more.
    async fn report_stale(&mut self, stale: &[Arc<InFlightJob>]) {
        let keys: Vec<_> = stale.iter().map(|job| job.key).collect();
        // Only the log line depends on it.
        let gone = self.on_session(async |session| vanished_jobs(session, &keys).await).await.unwrap_or_default();
        for job in stale {
            report_stale(&self.handles, job, gone.contains(&job.key));
        }
    }
}

/// The outcome with its failure's text changed by `write`.
fn with_text(outcome: Outcome, write: fn(&str) -> String) -> Outcome {
    let plain = |failure: Failure| Failure { error: write(&failure.error), trace: failure.trace.as_deref().map(write) };
    match outcome {
        Outcome::Failed { by, failure, delay } => Outcome::Failed { by, failure: plain(failure), delay },
        Outcome::Discarded { by, failure } => Outcome::Discarded { by, failure: plain(failure) },
        Outcome::Cancelled { reason } => Outcome::Cancelled { reason: reason.map(plain) },
        other => other,
    }
}
