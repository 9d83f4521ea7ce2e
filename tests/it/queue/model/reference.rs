//! The model: what should be true of each job, in memory.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Step;
use super::statements::{Fence, Outcome, Queue, Stored};

/// One job.
#[derive(Clone, Debug)]
struct Job {
    /// waiting, running, completed, cancelled or discarded.
    state: &'static str,
    due: bool,
    attempt: i32,
    max_attempts: i32,
    claim: i32,
    crash_count: i16,
    solo_crash_count: i16,
    worker: Option<Uuid>,
    cancel_requested: bool,
}

pub struct Model {
    jobs: BTreeMap<i64, Job>,
    /// All attempts that were ever claimed.
    attempts: Vec<Fence>,
    workers: Vec<Uuid>,
}

/// Whether the database did what the model says it should.
pub enum Verdict {
    Agrees,
    Differs(String),
}

impl Model {
    pub fn new(workers: Vec<Uuid>) -> Self {
        Self { jobs: BTreeMap::new(), attempts: Vec::new(), workers }
    }

    /// Does the step on both.
    pub async fn play(&mut self, queue: &mut Queue, step: Step) -> Verdict {
        match step {
            Step::Enqueue { due, max_attempts } => {
                let (id, claim) = queue.enqueue(due, max_attempts).await;
                self.jobs.insert(id, Job { claim, ..Job::new(due, max_attempts) });
                Verdict::Agrees
            }
            Step::Claim { worker, limit } => self.claimed(&queue.claim(worker, limit).await, limit),
            Step::End { attempt, outcome } => match pick(&self.attempts, attempt).copied() {
                Some(fence) => agree("the fence held", queue.end(fence, outcome).await, self.end(fence, outcome)),
                None => Verdict::Agrees,
            },
            Step::Cancel { job } => match self.pick_job(job) {
                Some(id) => agree("it could be cancelled", queue.cancel(id).await, self.cancel(id)),
                None => Verdict::Agrees,
            },
            Step::Retry { job } => match self.pick_job(job) {
                Some(id) => agree("it could be retried", queue.retry(id).await, self.retry(id)),
                None => Verdict::Agrees,
            },
            Step::Die { worker } => {
                let heir = queue.bury(worker).await;
                let dead = std::mem::replace(&mut self.workers[worker], heir);
                self.bury(dead);
                Verdict::Agrees
            }
        }
    }

    /// What was claimed must have been due, in the order of ids, and all that the limit allows.
    fn claimed(&mut self, fences: &[Fence], limit: i64) -> Verdict {
        let due = self.jobs.values().filter(|job| job.state == "waiting" && job.due).count();
        let wanted = due.min(usize::try_from(limit).expect("a small number"));
        if fences.len() != wanted {
            return Verdict::Differs(format!("{} claimed, {wanted} wanted", fences.len()));
        }
        for fence in fences {
            let Some(job) = self.jobs.get_mut(&fence.id).filter(|job| job.state == "waiting" && job.due) else {
                return Verdict::Differs(format!("{fence:?} was not to be claimed"));
            };
            (job.state, job.worker) = ("running", Some(fence.worker));
            job.attempt += 1;
            job.claim += 1;
            if job.claim != fence.claim {
                return Verdict::Differs(format!("{fence:?}, not claim {}", job.claim));
            }
            self.attempts.push(*fence);
        }
        Verdict::Agrees
    }

    fn end(&mut self, fence: Fence, outcome: Outcome) -> bool {
        let held =
            |job: &&mut Job| job.state == "running" && job.claim == fence.claim && job.worker == Some(fence.worker);
        let Some(job) = self.jobs.get_mut(&fence.id).filter(held) else { return false };
        match outcome {
            Outcome::Complete => job.finish("completed"),
            Outcome::Discard => job.finish("discarded"),
            Outcome::Fail { due } => {
                (job.crash_count, job.solo_crash_count) = (0, 0);
                job.wait(due || job.cancel_requested);
            }
            Outcome::Snooze { due } => {
                (job.crash_count, job.solo_crash_count) = (0, 0);
                job.attempt -= 1;
                job.wait(due || job.cancel_requested);
            }
            Outcome::GiveBack => {
                job.attempt -= 1;
                job.wait(true);
            }
        }
        true
    }

    fn cancel(&mut self, id: i64) -> bool {
        let job = self.jobs.get_mut(&id).expect("it was picked");
        match job.state {
            "waiting" => job.finish("cancelled"),
            "running" => job.cancel_requested = true,
            _ => return false,
        }
        true
    }

    fn retry(&mut self, id: i64) -> bool {
        let job = self.jobs.get_mut(&id).expect("it was picked");
        match job.state {
            "waiting" => {
                job.due = true;
                job.cancel_requested = false;
            }
            "running" => return false,
            _ => *job = Job { claim: job.claim, ..Job::new(true, job.max_attempts) },
        }
        true
    }

    /// All attempts of the worker are lost.
    fn bury(&mut self, dead: Uuid) {
        let lost = |job: &&mut Job| job.state == "running" && job.worker == Some(dead);
        let was_alone = self.jobs.values_mut().filter(lost).count() == 1;
        for job in self.jobs.values_mut().filter(lost) {
            let due = job.crash_count == 0 || job.cancel_requested;
            job.crash_count += 1;
            let is_spent = job.attempt >= job.max_attempts || (was_alone && job.solo_crash_count == 2);
            if is_spent {
                job.finish("discarded");
            } else {
                job.solo_crash_count += i16::from(was_alone);
                job.wait(due);
            }
        }
    }

    /// Compares with all that the database has.
    pub fn compare(&self, stored: &BTreeMap<i64, Stored>) -> Result<(), String> {
        let wanted: BTreeMap<i64, Stored> = self.jobs.iter().map(|(id, job)| (*id, job.stored())).collect();
        if wanted == *stored {
            return Ok(());
        }
        let differ: Vec<String> = wanted
            .iter()
            .filter(|(id, job)| stored.get(id) != Some(job))
            .map(|(id, job)| format!("job {id}: {:?}, not {job:?}", stored.get(id)))
            .collect();
        Err(format!("{} stored, {} wanted; {}", stored.len(), wanted.len(), differ.join("; ")))
    }

    fn pick_job(&self, number: usize) -> Option<i64> {
        let ids: Vec<i64> = self.jobs.keys().copied().collect();
        pick(&ids, number).copied()
    }
}

impl Job {
    fn new(due: bool, max_attempts: i32) -> Self {
        Self {
            state: "waiting",
            due,
            attempt: 0,
            max_attempts,
            claim: 0,
            crash_count: 0,
            solo_crash_count: 0,
            worker: None,
            cancel_requested: false,
        }
    }

    fn wait(&mut self, due: bool) {
        (self.state, self.due) = ("waiting", due);
    }

    fn finish(&mut self, state: &'static str) {
        (self.state, self.due, self.solo_crash_count) = (state, true, 0);
    }

    fn stored(&self) -> Stored {
        Stored {
            state: self.state,
            due: self.due,
            attempt: self.attempt,
            claim: self.claim,
            crash_count: self.crash_count,
            solo_crash_count: self.solo_crash_count,
        }
    }
}

fn pick<T>(from: &[T], number: usize) -> Option<&T> {
    (!from.is_empty()).then(|| &from[number % from.len()])
}

fn agree(what: &str, database: bool, model: bool) -> Verdict {
    if database == model { Verdict::Agrees } else { Verdict::Differs(format!("{what}: {database}, not {model}")) }
}
