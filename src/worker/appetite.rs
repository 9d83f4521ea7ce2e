//! When to claim from a queue next.
//!
//! ```text
//!            told                     batch full
//!   ┌──────────────────────▶ at once ◀───────────────┐
//!   │                          │ batch short         │
//!  idle ◀── empty, and told ── in a moment ──────────┘
//!   │                          ▲    │ empty, and not told
//!   └── poll, or a due time ───┘    └──▶ ask to stand idle, look again soon
//! ```
//!
//! A short batch does not prove a queue empty: a row that changed between the claim's snapshot and
//! its lock is passed over although it could be claimed. Hence one more look. Nor does an empty one,
//! while jobs are added without a notification because nobody stood idle when they were.

use std::time::{Duration, Instant};

use super::standing::Standing;

/// The pause after a batch that left slots free: jobs that come in a stream are claimed together.
const MOMENT: Duration = Duration::from_millis(1);
/// The first wait for a look while not told of new jobs, doubled up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_millis(20);
/// After so many claims in a row that gave jobs, a worker is not idle.
const BUSY_AFTER: u32 = 8;
/// How long a worker that another stands for leaves a notification to it, at least.
const LEAVE_TO_OTHER: Duration = Duration::from_millis(1);
/// By how much longer at most: those who are left over do not look all at once.
const LEAVE_JITTER: Duration = Duration::from_millis(2);
/// How often at most it then looks, where the other does the work.
const LOOK_AFTER_OTHER: Duration = Duration::from_millis(25);

/// The appetite of one queue.
pub(super) struct Appetite {
    /// When to claim; never, while idle.
    next: Option<Instant>,
    /// Claims in a row that gave jobs.
    fed: u32,
    /// Claims in a row that gave none.
    empty: u32,
    /// When it last looked on the word of a notification that another was to act on.
    followed_at: Option<Instant>,
}

/// What a claim gave.
#[derive(Clone, Copy)]
pub(super) struct Meal {
    pub asked: usize,
    pub got: usize,
    /// How the worker stood when the claim began.
    pub stood: Standing,
}

/// What the fetcher should do about the idle lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    Keep,
    Stand,
    Leave,
}

impl Appetite {
    pub fn new(now: Instant) -> Self {
        Self { next: Some(now), fed: 0, empty: 0, followed_at: None }
    }

    /// When to claim next; None while idle.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// A notification told of a job.
    pub fn hear(&mut self, standing: Standing, now: Instant) {
        let at = if standing == Standing::Covered {
            let soon = now + LEAVE_TO_OTHER + LEAVE_JITTER.mul_f64(fastrand::f64());
            let at = self.followed_at.map_or(soon, |last| soon.max(last + LOOK_AFTER_OTHER));
            self.followed_at = Some(at);
            at
        } else {
            now
        };
        self.look_at(at);
    }

    /// Looks at `time` at the latest.
    pub fn look_at(&mut self, time: Instant) {
        self.next = Some(self.next.map_or(time, |next| next.min(time)));
    }

    /// Decides what follows from a claim.
    pub fn after(&mut self, meal: Meal, now: Instant) -> Advice {
        if meal.got > 0 {
            self.fed += 1;
            self.empty = 0;
            self.next = Some(if meal.got >= meal.asked { now } else { now + MOMENT });
            return if self.fed >= BUSY_AFTER { Advice::Leave } else { Advice::Keep };
        }
        self.fed = 0;
        self.empty += 1;
        match meal.stood {
            Standing::Held | Standing::Covered | Standing::Checking => self.rest(),
            Standing::Deaf if self.empty > 1 => self.rest(),
            Standing::Busy | Standing::Refused if self.empty > 1 => {
                let wait = FIRST_WAIT * 2u32.saturating_pow(self.empty.saturating_sub(2).min(8));
                self.next = Some(now + wait.min(LONGEST_WAIT));
                return Advice::Stand;
            }
            Standing::Asked | Standing::Leaving => self.next = Some(now + LONGEST_WAIT),
            Standing::Deaf | Standing::Busy | Standing::Refused => self.next = Some(now + MOMENT),
        }
        Advice::Keep
    }

    fn rest(&mut self) {
        self.next = None;
        self.empty = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meal(asked: usize, got: usize, stood: Standing) -> Meal {
        Meal { asked, got, stood }
    }

    #[test]
    fn a_full_batch_is_followed_at_once_and_a_short_one_in_a_moment() {
        let now = Instant::now();
        let mut appetite = Appetite::new(now);
        assert_eq!(appetite.after(meal(5, 5, Standing::Busy), now), Advice::Keep);
        assert_eq!(appetite.next(), Some(now));
        appetite.after(meal(5, 4, Standing::Busy), now);
        assert_eq!(appetite.next(), Some(now + MOMENT));
    }

    #[test]
    fn it_rests_only_where_it_is_told_of_new_jobs() {
        let now = Instant::now();
        let mut appetite = Appetite::new(now);
        appetite.after(meal(5, 0, Standing::Busy), now);
        assert_eq!(appetite.after(meal(5, 0, Standing::Busy), now), Advice::Stand);
        assert_eq!(appetite.next(), Some(now + FIRST_WAIT));
        assert_eq!(appetite.after(meal(5, 0, Standing::Refused), now), Advice::Stand);
        assert_eq!(appetite.next(), Some(now + 2 * FIRST_WAIT));
        appetite.look_at(now);
        appetite.after(meal(5, 0, Standing::Held), now);
        assert_eq!(appetite.next(), None);
        appetite.hear(Standing::Held, now);
        assert!(appetite.is_due(now));
    }

    #[test]
    fn without_notifications_two_empty_claims_are_enough() {
        let now = Instant::now();
        let mut appetite = Appetite::new(now);
        appetite.after(meal(5, 0, Standing::Deaf), now);
        assert!(appetite.next().is_some());
        appetite.after(meal(5, 0, Standing::Deaf), now);
        assert_eq!(appetite.next(), None);
    }

    #[test]
    fn a_stream_of_jobs_ends_the_standing_idle() {
        let now = Instant::now();
        let mut appetite = Appetite::new(now);
        let advice: Vec<Advice> = (0..BUSY_AFTER).map(|_| appetite.after(meal(5, 1, Standing::Held), now)).collect();
        assert_eq!(advice.iter().filter(|advice| **advice == Advice::Leave).count(), 1);
        assert_eq!(advice.last(), Some(&Advice::Leave));
    }

    #[test]
    fn who_is_covered_leaves_the_job_to_the_other_for_a_moment() {
        let now = Instant::now();
        let mut appetite = Appetite::new(now);
        appetite.after(meal(5, 0, Standing::Covered), now);
        appetite.hear(Standing::Covered, now);
        let first = appetite.next().unwrap();
        assert!(first >= now + LEAVE_TO_OTHER && first <= now + LEAVE_TO_OTHER + LEAVE_JITTER);
        appetite.after(meal(5, 0, Standing::Covered), first);
        appetite.hear(Standing::Covered, first);
        assert!(appetite.next().unwrap() >= first + LOOK_AFTER_OTHER);
    }
}
