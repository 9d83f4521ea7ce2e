//! One run of the jobs that are due.
//!
//! Promises: a job runs as often as its faults, retries and snoozes say, and each attempt is told once. A run that does
//! not end is an error. What it claims, it records, or has rescued if it fails. A run that is dropped leaves its worker
//! registered, and the job that it was running.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join;
use uuid::Uuid;

use super::{Attempt, Due, EngineOutcome, Fault, InlineWorker, Outcome, Startable};
use crate::error::Error;
use crate::job::JobId;
use crate::store::claim::{Claim, ClaimRequest, ClaimedJob, Positions, args_on};
use crate::store::finish;
use crate::store::session::Session;
use crate::store::testing as store;
use crate::store::worker::{self as worker_store, Registration};
use crate::worker::execute::attempt::uncommitted;
use crate::worker::finish::record;
use crate::worker::finish::report::{report, report_stale};
use crate::worker::in_flight::{InFlightJob, StopReason};
use crate::worker::outcome::EndedAttempt;

pub(super) struct Run<'w, S> {
    worker: &'w InlineWorker<S>,
    session: Session,
    due: Due<'w>,
    identity: Identity,
    /// The jobs that the fault has befallen.
    befallen: HashSet<JobId>,
    /// Attempts that have lost their job before they began.
    lost: HashMap<JobId, Startable<S>>,
    ended: Vec<Attempt>,
}

/// The worker's row.
struct Identity {
    id: Uuid,
    heartbeat_at: DateTime<Utc>,
}

impl<'w, S: Send + Sync + 'static> Run<'w, S> {
    pub async fn begin(worker: &'w InlineWorker<S>, session: Session, due: Due<'w>) -> Result<Self, Error> {
        let identity = register(worker, &session).await?;
        let (befallen, lost) = (HashSet::new(), HashMap::new());
        Ok(Self { worker, session, due, identity, befallen, lost, ended: Vec::new() })
    }

    /// Runs what is due. Returns the attempts in the order in which they ended.
    pub async fn finish(mut self) -> Result<Vec<Attempt>, Error> {
        if let Err(error) = self.run().await {
            // Some job may be running. In a transaction that has failed, this fails, too.
            let _ = self.rescue().await;
            return Err(error);
        }
        worker_store::deregister_on(&self.session, self.identity.id).await?;
        Ok(self.ended)
    }

    async fn run(&mut self) -> Result<(), Error> {
        let (mut left, mut looked_at) = (self.due.time, None);
        loop {
            let (at, claimed) = self.claim().await?;
            let since = looked_at.replace(at).map_or(0, |before| (at - before).num_microseconds().unwrap_or(0));
            left = left.saturating_sub(Duration::from_micros(u64::try_from(since).unwrap_or(0)));
            if let Some(startable) = claimed {
                self.run_one(startable).await?;
                if self.ended.len() >= self.due.limit {
                    let reason = "attempts have run: does a job enqueue or snooze itself for ever? Or raise the limit";
                    return Err(Error::invalid("limit", format!("is reached: {} {reason}", self.ended.len())));
                }
                continue;
            }
            // Those whose jobs do not run again.
            for (_, lost) in std::mem::take(&mut self.lost) {
                self.run_and_record(&lost).await?;
            }
            if left.is_zero() {
                return Ok(());
            }
            let (queues, kinds) = (self.queues(), &self.worker.handles.kinds);
            let advanced = store::advance_time(&self.session, &queues, kinds, left).await?;
            left = left.saturating_sub(advanced.passed);
            if !advanced.is_due {
                return Ok(());
            }
        }
    }

    fn queues(&self) -> Vec<&'w str> {
        self.worker.handles.config.queues.iter().map(|queue| &*queue.name).collect()
    }

    /// Claims the next job of some queue. Returns the database's time, too.
    async fn claim(&self) -> Result<(DateTime<Utc>, Option<Startable<S>>), Error> {
        let kinds = &self.worker.handles.kinds;
        let mut at = DateTime::UNIX_EPOCH;
        for (number, queue) in self.queues().into_iter().enumerate() {
            let request = ClaimRequest { queue, limit: 1, after: Positions::START };
            let claimed = Claim::new(self.identity.id, kinds, &[request]).run(&self.session).await?;
            at = claimed.at;
            if let Some(job) = claimed.jobs.into_iter().next() {
                return Ok((at, Some(self.startable(number, job).await?)));
            }
        }
        Ok((at, None))
    }

    async fn startable(&self, queue: usize, claimed: ClaimedJob) -> Result<Startable<S>, Error> {
        let (config, kinds) = (&self.worker.handles.config, &self.worker.handles.kinds);
        let handler = kinds.get(claimed.kind).and_then(|kind| self.worker.registry.get(kind));
        let handler = handler.ok_or_else(|| Error::invalid("kind", "of a claimed job has no handler"))?;
        let new = handler.of_claimed(&claimed, self.identity.id, queue, config);
        let args = match claimed.args {
            Some(args) => Ok(args),
            None => match args_on(&self.session, new.fence).await {
                Ok(args) => Ok(args.ok_or(Error::Stale(claimed.id))?),
                // In a test's transaction, which has failed with it, nothing can be recorded.
                Err(error) if error.is_refusal() && !error.is_about_the_database() && self.due.tx.is_none() => {
                    Err(error.to_string())
                }
                Err(error) => return Err(error),
            },
        };
        let job = Arc::new(InFlightJob::new(&new));
        if claimed.cancel_requested {
            job.stop(StopReason::CancelRequested);
        }
        let queue = Arc::clone(&config.queues[queue].name);
        Ok(Startable { job, handler: Arc::clone(handler), queue, args })
    }

    async fn run_one(&mut self, startable: Startable<S>) -> Result<(), Error> {
        let id = startable.job.id;
        let fault = self.due.fault.filter(|_| self.befallen.insert(id));
        match (fault, self.lost.remove(&id)) {
            (Some(Fault::CrashAfterEffect), _) => self.crash_after(&startable).await,
            (Some(Fault::LoseLease | Fault::DuplicateDelivery), _) => {
                self.die().await?;
                self.lost.insert(id, startable);
                Ok(())
            }
            (None, Some(lost)) if self.due.fault == Some(Fault::DuplicateDelivery) => {
                let (of_lost, outcome) = join(self.attempt(&lost), self.attempt(&startable)).await;
                self.record(&startable, outcome?).await?;
                self.record(&lost, of_lost?).await
            }
            (None, lost) => {
                self.run_and_record(&startable).await?;
                match lost {
                    Some(lost) => self.run_and_record(&lost).await,
                    None => Ok(()),
                }
            }
        }
    }

    async fn run_and_record(&mut self, startable: &Startable<S>) -> Result<(), Error> {
        let outcome = self.attempt(startable).await?;
        self.record(startable, outcome).await
    }

    /// The worker dies after the handler has ended, before its outcome is recorded. A completion that the handler has
    /// committed itself stands.
    async fn crash_after(&mut self, startable: &Startable<S>) -> Result<(), Error> {
        let outcome = self.attempt(startable).await?;
        if startable.job.completes_in_transaction() && self.is_completed(&startable.job).await? {
            return self.record(startable, outcome).await;
        }
        self.die().await?;
        self.tell(&startable.job, Outcome::Crashed);
        Ok(())
    }

    /// The worker is declared dead, its jobs are rescued, and it starts again.
    async fn die(&mut self) -> Result<(), Error> {
        self.rescue().await?;
        self.identity = register(self.worker, &self.session).await?;
        Ok(())
    }

    async fn rescue(&self) -> Result<(), Error> {
        let Identity { id, heartbeat_at } = self.identity;
        let retention = self.worker.handles.config.retention.discarded_seconds();
        worker_store::rescue_on(&self.session, id, heartbeat_at, retention).await
    }

    /// Runs an attempt. Returns once the transaction of the test is whole again, if it was lent to it.
    async fn attempt(&self, startable: &Startable<S>) -> Result<EngineOutcome, Error> {
        let outcome = self.worker.attempt(startable, self.due.tx).await;
        if let Some(tx) = self.due.tx {
            tx.is_whole().await?;
        }
        Ok(outcome)
    }

    async fn is_completed(&self, job: &InFlightJob) -> Result<bool, Error> {
        Ok(!finish::completed_in(&self.session, &[job.fence()]).await?.is_empty())
    }

    async fn record(&mut self, startable: &Startable<S>, outcome: EngineOutcome) -> Result<(), Error> {
        let (handles, job) = (&self.worker.handles, &startable.job);
        let completes = job.completes_in_transaction();
        if completes && self.is_completed(job).await? {
            report(handles, job, &EngineOutcome::COMPLETED, None);
            self.tell(job, EngineOutcome::COMPLETED);
            return Ok(());
        }
        let outcome = match outcome {
            EngineOutcome::Completed { .. } if completes => uncommitted(job, &handles.config.retry_policy),
            outcome => outcome,
        };
        let ended = EndedAttempt { job: Arc::clone(job), outcome, refusals: 0 };
        let recorded = record::write(handles, &self.session, std::slice::from_ref(&ended)).await?;
        if let Some(next_run_at) = recorded.get(&job.fence().key()) {
            report(handles, job, &ended.outcome, *next_run_at);
            self.tell(job, ended.outcome);
        } else {
            report_stale(handles, job, false);
            self.tell(job, Outcome::Stale);
        }
        Ok(())
    }

    fn tell(&mut self, job: &InFlightJob, outcome: impl Into<Outcome>) {
        let (job_id, kind, attempt) = (job.id, job.kind, job.attempt.unsigned_abs());
        self.ended.push(Attempt { job_id, kind, attempt, outcome: outcome.into() });
    }
}

async fn register<S>(worker: &InlineWorker<S>, session: &Session) -> Result<Identity, Error> {
    let config = &worker.handles.config;
    let id = Uuid::now_v7();
    let queues: Vec<&str> = config.queues.iter().map(|queue| &*queue.name).collect();
    let registration = Registration {
        id,
        lock_key: fastrand::i64(..),
        lease_ms: config.lease_ms(),
        pid: i32::try_from(std::process::id()).unwrap_or(0),
        host: "test",
        version: env!("CARGO_PKG_VERSION"),
        queues: &queues,
        concurrency: &vec![1; queues.len()],
        declares: &[],
        cancelled_seconds: config.retention.cancelled_seconds(),
        started_at: None,
    };
    let heartbeat_at = worker_store::register_on(session, &registration).await?;
    Ok(Identity { id, heartbeat_at })
}
