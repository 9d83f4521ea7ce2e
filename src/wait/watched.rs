//! The jobs that are waited for, and when to ask for them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::MAX_WAITS;
use crate::error::Error;
use crate::job::JobId;

/// The delays between questions for a job whose finish will notify.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15);
/// The first delay for a job that is not marked yet, because another transaction had locked it. Mostly its finish.
const FIRST_UNMARKED: Duration = Duration::from_millis(10);
/// The most jobs of one question.
const MAX_ASKED: usize = 1_000;
/// A question also asks for jobs that are due within this time, so that many waits need few questions.
const EARLY: Duration = Duration::from_millis(250);

#[derive(Clone, Default)]
pub(super) struct Watched(Arc<Shared>);

#[derive(Default)]
struct Shared {
    jobs: Mutex<Jobs>,
    /// The next question is earlier than was known.
    is_earlier: Notify,
}

#[derive(Default)]
struct Jobs {
    by_id: HashMap<JobId, Job>,
    /// The time of the next question of each.
    questions: BTreeSet<(Instant, JobId)>,
    waits: usize,
    /// How often all jobs were to be asked for.
    round: u64,
}

struct Job {
    waits: usize,
    progress: watch::Sender<Progress>,
    /// The delay before the latest question.
    delay: Duration,
    next_question: Instant,
}

/// What is known of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing yet.
    Unknown,
    /// The database has refused the first question.
    Refused,
    Unfinished,
    /// Finished, or there is no such job.
    Ended,
}

/// Jobs to ask for.
pub(super) struct Question {
    pub ids: Vec<JobId>,
    round: u64,
}

impl Watched {
    /// Watches a job until the result is dropped. It is asked for at once.
    pub fn watch(&self, id: JobId) -> Result<Watch, Error> {
        let mut jobs = self.0.jobs.lock();
        if jobs.waits >= MAX_WAITS {
            return Err(Error::invalid("wait", format!("would be one of more than {MAX_WAITS} waits")));
        }
        jobs.waits += 1;
        let now = Instant::now();
        let progress = if let Some(job) = jobs.by_id.get_mut(&id) {
            job.waits += 1;
            job.delay = Duration::ZERO;
            // What was known may be old.
            job.progress.send_if_modified(|progress| {
                let is_ended = *progress == Progress::Ended;
                if !is_ended {
                    *progress = Progress::Unknown;
                }
                !is_ended
            });
            let progress = job.progress.subscribe();
            jobs.ask_at(id, now);
            progress
        } else {
            let sender = watch::Sender::new(Progress::Unknown);
            let progress = sender.subscribe();
            jobs.by_id.insert(id, Job { waits: 1, progress: sender, delay: Duration::ZERO, next_question: now });
            jobs.questions.insert((now, id));
            progress
        };
        self.0.is_earlier.notify_one();
        Ok(Watch { id, progress, watched: self.clone() })
    }

    /// The job is unfinished: ask again, at longer and longer intervals.
    pub fn is_unfinished(&self, id: JobId, is_marked: bool, question: &Question) {
        let mut jobs = self.0.jobs.lock();
        // Whether notifications may have been lost since the question was asked.
        let is_old = jobs.round != question.round;
        let Some(job) = jobs.by_id.get_mut(&id) else { return };
        let first = if is_marked { FIRST } else { FIRST_UNMARKED };
        job.delay = match job.delay {
            _ if is_old => Duration::ZERO,
            Duration::ZERO => first,
            delay if is_marked && delay < FIRST => FIRST,
            delay => (delay * 2).min(LONGEST),
        };
        let next = Instant::now() + job.delay;
        // A notification may have come before the answer.
        job.progress.send_if_modified(|progress| {
            let is_news = matches!(progress, Progress::Unknown | Progress::Refused);
            if is_news {
                *progress = Progress::Unfinished;
            }
            is_news
        });
        if jobs.ask_at(id, next) {
            self.0.is_earlier.notify_one();
        }
    }

    /// The job is finished or unknown.
    pub fn end(&self, id: JobId) {
        if let Some(job) = self.0.jobs.lock().by_id.get(&id) {
            job.progress.send_replace(Progress::Ended);
        }
    }

    /// The database has refused a question. Those who know nothing of their job yet ask themselves, to see why.
    pub fn refused(&self, question: &Question) {
        let jobs = self.0.jobs.lock();
        for job in question.ids.iter().filter_map(|id| jobs.by_id.get(id)) {
            job.progress.send_if_modified(|progress| {
                let is_unknown = *progress == Progress::Unknown;
                if is_unknown {
                    *progress = Progress::Refused;
                }
                is_unknown
            });
        }
    }

    /// Asks for all jobs now: notifications may have been lost.
    pub fn ask_for_all(&self) {
        let now = Instant::now();
        let mut jobs = self.0.jobs.lock();
        let Jobs { by_id, questions, round, .. } = &mut *jobs;
        *round += 1;
        questions.clear();
        for (id, job) in by_id {
            (job.delay, job.next_question) = (Duration::ZERO, now);
            questions.insert((now, *id));
        }
        self.0.is_earlier.notify_one();
    }

    /// A question for one job, now.
    pub fn question(&self, id: JobId) -> Question {
        Question { ids: vec![id], round: self.0.jobs.lock().round }
    }

    /// Waits until jobs are to be asked for. Each is then asked for again only after an answer, or after `again_after`.
    pub async fn due(&self, again_after: Duration) -> Question {
        loop {
            let next = {
                let mut jobs = self.0.jobs.lock();
                let now = Instant::now();
                let next = jobs.questions.first().map(|(time, _)| *time);
                if next.is_some_and(|next| next <= now) {
                    let is_due = |(time, _): &&(Instant, JobId)| *time <= now + EARLY;
                    let due = jobs.questions.iter().take_while(is_due).take(MAX_ASKED);
                    let ids: Vec<JobId> = due.map(|(_, id)| *id).collect();
                    for id in &ids {
                        jobs.ask_at(*id, now + again_after);
                    }
                    return Question { ids, round: jobs.round };
                }
                next
            };
            let next_is_due = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.0.is_earlier.notified() => {}
                () = next_is_due => {}
            }
        }
    }
}

impl Jobs {
    /// Asks for the job at this time. Returns whether that is the earliest question.
    fn ask_at(&mut self, id: JobId, time: Instant) -> bool {
        let Some(job) = self.by_id.get_mut(&id) else { return false };
        self.questions.remove(&(job.next_question, id));
        job.next_question = time;
        self.questions.insert((time, id));
        self.questions.first() == Some(&(time, id))
    }
}

/// One wait for a job.
pub(super) struct Watch {
    id: JobId,
    progress: watch::Receiver<Progress>,
    watched: Watched,
}

impl Watch {
    /// Waits until something is known of the job, and returns it.
    pub async fn known(&self) -> Progress {
        self.progress_is(|progress| progress != Progress::Unknown).await
    }

    /// Waits until the job has ended.
    pub async fn ended(&self) {
        self.progress_is(|progress| progress == Progress::Ended).await;
    }

    async fn progress_is(&self, condition: impl Fn(Progress) -> bool) -> Progress {
        let mut progress = self.progress.clone();
        // The sender lives as long as this, so the wait cannot fail.
        progress.wait_for(|progress| condition(*progress)).await.map_or(Progress::Unknown, |progress| *progress)
    }

    /// It has not ended after all.
    pub fn again(&self) {
        let mut jobs = self.watched.0.jobs.lock();
        if let Some(job) = jobs.by_id.get_mut(&self.id) {
            job.progress.send_replace(Progress::Unfinished);
            job.delay = Duration::ZERO;
            jobs.ask_at(self.id, Instant::now());
            self.watched.0.is_earlier.notify_one();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut jobs = self.watched.0.jobs.lock();
        jobs.waits -= 1;
        if let Entry::Occupied(mut entry) = jobs.by_id.entry(self.id) {
            entry.get_mut().waits -= 1;
            if entry.get().waits == 0 {
                let job = entry.remove();
                jobs.questions.remove(&(job.next_question, self.id));
            }
        }
    }
}

#[cfg(test)]
mod tests;
