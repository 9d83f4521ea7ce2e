//! Standing idle: whether those who add jobs to a queue send a notification.
//!
//! The fetcher says for which queues this worker is idle; the listener holds the idle lock for it,
//! on the connection that hears the notifications, so that who cannot hear does not stand idle. One
//! worker stands for all that are idle; all of them hear.
//!
//! Promise: a queue that was found empty by a claim begun while it stood (held or covered) needs no
//! further look until a notification or the next poll.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, Ordering};

use tokio::sync::Notify;

use crate::store::idle_lock::{Answer, IdleKey};

/// The key of a queue whose lock was never tried for.
const UNKNOWN_KEY: IdleKey = -1;

/// How a worker stands for one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Standing {
    /// Nobody listens: no lock is to be had.
    Deaf = 0,
    /// It does not stand idle.
    Busy = 1,
    /// It asked for the lock.
    Asked = 2,
    /// It holds the lock.
    Held = 3,
    /// Another worker does.
    Covered = 4,
    /// Jobs are being added without a notification: they are found only by looking.
    Refused = 5,
    /// It asked for the lock to be let go.
    Leaving = 6,
    /// Another worker held the lock, and it asked whether that is still so.
    Checking = 7,
}

impl Standing {
    const ALL: [Self; 8] =
        [Self::Deaf, Self::Busy, Self::Asked, Self::Held, Self::Covered, Self::Refused, Self::Leaving, Self::Checking];

    /// Whether whoever adds a job sends a notification.
    pub fn is_told(self) -> bool {
        matches!(self, Self::Held | Self::Covered)
    }
}

/// How a worker stands for each of its queues.
pub(super) struct Standings {
    queues: Vec<AtomicU8>,
    answers: Vec<AtomicU32>,
    keys: Vec<AtomicI32>,
    /// Who held the lock let it go since it was last asked for.
    vacated: Vec<AtomicBool>,
    asked: Notify,
}

impl Standings {
    pub fn new(queues: usize) -> Self {
        Self {
            queues: (0..queues).map(|_| AtomicU8::new(Standing::Deaf as u8)).collect(),
            answers: (0..queues).map(|_| AtomicU32::new(0)).collect(),
            keys: (0..queues).map(|_| AtomicI32::new(UNKNOWN_KEY)).collect(),
            vacated: (0..queues).map(|_| AtomicBool::new(false)).collect(),
            asked: Notify::new(),
        }
    }

    pub fn of(&self, queue: usize) -> Standing {
        Standing::ALL[usize::from(self.queues[queue].load(Ordering::Acquire))]
    }

    /// The fetcher asks for the lock of a queue, or to look again who holds it.
    pub fn stand(&self, queue: usize) {
        if matches!(self.of(queue), Standing::Busy | Standing::Refused | Standing::Covered) {
            self.change(queue, self.of(queue), Standing::Asked);
        }
    }

    /// The fetcher asks whether another worker still stands for a queue.
    pub fn check_cover(&self, queue: usize) {
        self.change(queue, Standing::Covered, Standing::Checking);
    }

    /// The fetcher wants to be told no more.
    pub fn leave(&self, queue: usize) {
        let _ = match self.of(queue) {
            Standing::Held => self.change(queue, Standing::Held, Standing::Leaving),
            Standing::Covered => self.change(queue, Standing::Covered, Standing::Busy),
            _ => false,
        };
    }

    /// The listener hears, or hears no more: nothing is held either way.
    pub fn listens(&self, does: bool) {
        for queue in &self.queues {
            queue.store(if does { Standing::Busy } else { Standing::Deaf } as u8, Ordering::Release);
        }
    }

    /// As [`Self::check_cover`], for all queues.
    pub fn check_covers(&self) {
        (0..self.queues.len()).for_each(|queue| self.check_cover(queue));
    }

    /// Another worker that held the lock with this key has let it go.
    pub fn vacated(&self, key: IdleKey) {
        for queue in 0..self.queues.len() {
            if ![key, UNKNOWN_KEY].contains(&self.keys[queue].load(Ordering::Acquire)) {
                continue;
            }
            // The news may overtake the answer that it was held.
            self.vacated[queue].store(true, Ordering::Release);
            if self.of(queue) == Standing::Covered {
                self.stand(queue);
            }
        }
    }

    /// The queues whose lock is asked for, about to be tried.
    pub fn to_try(&self) -> Vec<usize> {
        let mut queues = self.all(Standing::Asked);
        queues.extend(self.all(Standing::Checking));
        for queue in &queues {
            self.vacated[*queue].store(false, Ordering::Release);
        }
        queues
    }

    /// The listener's answer to [`Self::stand`].
    pub fn answer(&self, queue: usize, key: IdleKey, answer: Answer) {
        self.keys[queue].store(key, Ordering::Release);
        if answer == Answer::Covered && self.vacated[queue].load(Ordering::Acquire) {
            self.asked.notify_one();
            return;
        }
        let standing = match answer {
            Answer::Held => Standing::Held,
            Answer::Covered => Standing::Covered,
            Answer::Refused => Standing::Refused,
        };
        // Whoever stands for it has done so all the while: what was added before was told.
        let was_covered = self.change(queue, Standing::Checking, standing);
        let has_asked = self.change(queue, Standing::Asked, standing);
        if (was_covered && standing != Standing::Covered) || (has_asked && standing.is_told()) {
            self.answers[queue].fetch_add(1, Ordering::AcqRel);
        }
    }

    /// How often it has changed who stands for the queue: after each time, jobs that were added before
    /// are still to be looked for.
    pub fn answers(&self, queue: usize) -> u32 {
        self.answers[queue].load(Ordering::Acquire)
    }

    /// The listener has let the lock go.
    pub fn left(&self, queue: usize) {
        self.change(queue, Standing::Leaving, Standing::Busy);
    }

    /// The queues whose lock is to be let go.
    pub fn to_leave(&self) -> Vec<usize> {
        self.all(Standing::Leaving)
    }

    fn all(&self, standing: Standing) -> Vec<usize> {
        (0..self.queues.len()).filter(|queue| self.of(*queue) == standing).collect()
    }

    /// Resolves when the fetcher has asked for something.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// A change by the other side in between stands.
    fn change(&self, queue: usize, from: Standing, to: Standing) -> bool {
        let changed =
            self.queues[queue].compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if changed && matches!(to, Standing::Asked | Standing::Checking | Standing::Leaving) {
            self.asked.notify_one();
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: IdleKey = 5;

    fn covered() -> Standings {
        let standings = Standings::new(1);
        standings.listens(true);
        standings.stand(0);
        standings.answer(0, KEY, Answer::Covered);
        assert_eq!(standings.of(0), Standing::Covered);
        standings
    }

    #[test]
    fn who_finds_itself_still_covered_need_not_look_and_who_is_not_must() {
        for (answer, looks) in [(Answer::Covered, 0), (Answer::Held, 1), (Answer::Refused, 1)] {
            let standings = covered();
            let before = standings.answers(0);
            standings.check_cover(0);
            standings.answer(0, KEY, answer);
            assert_eq!(standings.answers(0) - before, looks, "{answer:?}");
        }
    }

    #[test]
    fn a_lock_that_is_let_go_is_asked_for_by_those_whose_queue_has_its_key() {
        let standings = covered();
        standings.vacated(KEY + 1);
        assert_eq!(standings.of(0), Standing::Covered);
        standings.vacated(KEY);
        assert_eq!(standings.of(0), Standing::Asked);
    }

    #[test]
    fn the_news_that_a_lock_was_let_go_may_overtake_the_answer_that_it_was_held() {
        let standings = covered();
        standings.check_cover(0);
        assert_eq!(standings.to_try(), [0]);
        standings.vacated(KEY);
        standings.answer(0, KEY, Answer::Covered);
        assert_eq!(standings.to_try(), [0], "it is tried again");
    }
}
