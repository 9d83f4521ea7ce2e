//! The jobs that are waited for, and when to ask for them again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
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

#[derive(Default)]
pub(super) struct Watched {
    jobs: Arc<Mutex<HashMap<JobId, Job>>>,
    /// A job is to be asked for earlier than was known.
    changed: Notify,
}

struct Job {
    waits: usize,
    /// Whether it has ended.
    ended: watch::Sender<bool>,
    delay: Duration,
    next_question: Option<Instant>,
}

impl Watched {
    /// Watches a job until the result is dropped.
    pub fn watch(&self, id: JobId) -> Result<Watch, Error> {
        let mut jobs = self.jobs.lock();
        if jobs.len() >= MAX_WAITS {
            return Err(Error::invalid("wait", format!("would be one of more than {MAX_WAITS} jobs waited for")));
        }
        let job = jobs.entry(id).or_insert_with(|| Job {
            waits: 0,
            ended: watch::Sender::new(false),
            delay: Duration::ZERO,
            next_question: None,
        });
        job.waits += 1;
        Ok(Watch { id, ended: job.ended.subscribe(), sender: job.ended.clone(), jobs: Arc::clone(&self.jobs) })
    }

    /// The job is unfinished: ask again, at longer and longer intervals.
    pub fn looked_at(&self, id: JobId, is_marked: bool) {
        let first = if is_marked { FIRST } else { FIRST_UNMARKED };
        if let Some(job) = self.jobs.lock().get_mut(&id) {
            let was_unmarked = job.delay < FIRST;
            job.delay = match job.delay {
                Duration::ZERO => first,
                _ if is_marked && was_unmarked => FIRST,
                delay => (delay * 2).min(LONGEST),
            };
            job.next_question = Some(Instant::now() + job.delay);
            self.changed.notify_one();
        }
    }

    /// The job is finished or unknown.
    pub fn end(&self, id: JobId) {
        if let Some(job) = self.jobs.lock().get(&id) {
            job.ended.send_replace(true);
        }
    }

    /// Asks for all jobs now: notifications may have been lost.
    pub fn ask_for_all(&self) {
        let now = Instant::now();
        for job in self.jobs.lock().values_mut() {
            // Not before the first look.
            if job.next_question.is_some() {
                (job.delay, job.next_question) = (Duration::ZERO, Some(now));
            }
        }
        self.changed.notify_one();
    }

    /// Waits until jobs are to be asked for. Each is then asked for again only after an answer, or after `again_after`.
    pub async fn due(&self, again_after: Duration) -> Vec<JobId> {
        loop {
            let next = {
                let mut jobs = self.jobs.lock();
                let now = Instant::now();
                let is_due = |job: &Job| job.next_question.is_some_and(|next| next <= now);
                let due: Vec<JobId> =
                    jobs.iter().filter(|(_, job)| is_due(job)).map(|(id, _)| *id).take(MAX_ASKED).collect();
                if !due.is_empty() {
                    for id in &due {
                        if let Some(job) = jobs.get_mut(id) {
                            job.next_question = Some(now + again_after);
                        }
                    }
                    return due;
                }
                jobs.values().filter_map(|job| job.next_question).min()
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = async { if let Some(next) = next { tokio::time::sleep_until(next).await } else { std::future::pending().await } } => {}
            }
        }
    }
}

/// One wait for a job.
pub(super) struct Watch {
    id: JobId,
    ended: watch::Receiver<bool>,
    sender: watch::Sender<bool>,
    jobs: Arc<Mutex<HashMap<JobId, Job>>>,
}

impl Watch {
    /// Waits until the job has ended.
    pub async fn ended(&self) {
        // The sender lives as long as this.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    /// It has not ended after all.
    pub fn again(&self) {
        self.sender.send_replace(false);
        if let Some(job) = self.jobs.lock().get_mut(&self.id) {
            (job.delay, job.next_question) = (Duration::ZERO, Some(Instant::now()));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Entry::Occupied(mut job) = self.jobs.lock().entry(self.id) {
            job.get_mut().waits -= 1;
            if job.get().waits == 0 {
                job.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const SOON: Duration = Duration::from_secs(3);

    #[test]
    fn a_job_is_forgotten_with_its_last_wait() -> Result<(), Error> {
        let watched = Watched::default();
        let (first, second) = (watched.watch(7)?, watched.watch(7)?);
        drop(first);
        watched.end(7);
        assert!(second.ended().now_or_never().is_some());
        drop(second);
        assert!(watched.jobs.lock().is_empty());
        // A notification of a job that nobody waits for any more.
        watched.end(7);
        assert!(watched.watch(7)?.ended().now_or_never().is_none());
        Ok(())
    }

    fn delay_of(watched: &Watched, id: JobId) -> Duration {
        watched.jobs.lock().get(&id).map_or(Duration::MAX, |job| job.delay)
    }

    #[tokio::test]
    async fn questions_come_after_1_2_4_8_and_15_s_and_at_once_after_a_reconnect() -> Result<(), Error> {
        let watched = Watched::default();
        let _watch = watched.watch(7)?;
        // Not before the first look, which the wait itself takes.
        watched.ask_for_all();
        assert!(watched.due(SOON).now_or_never().is_none());
        let mut seconds = Vec::new();
        for _ in 0..6 {
            watched.looked_at(7, true);
            assert!(watched.due(SOON).now_or_never().is_none());
            seconds.push(delay_of(&watched, 7).as_secs());
        }
        assert_eq!(seconds, [1, 2, 4, 8, 15, 15]);
        watched.ask_for_all();
        assert_eq!(watched.due(SOON).now_or_never(), Some(vec![7]));
        // It is asked for: not again at once.
        assert!(watched.due(SOON).now_or_never().is_none());
        watched.looked_at(7, true);
        assert_eq!(delay_of(&watched, 7), FIRST);
        Ok(())
    }

    #[tokio::test]
    async fn a_job_that_could_not_be_marked_is_asked_for_soon() -> Result<(), Error> {
        let watched = Watched::default();
        let _watch = watched.watch(7)?;
        let mut waited = Vec::new();
        for is_marked in [false, false, false, true, true] {
            watched.looked_at(7, is_marked);
            waited.push(delay_of(&watched, 7).as_millis());
        }
        assert_eq!(waited, [10, 20, 40, 1_000, 2_000]);
        Ok(())
    }
}
