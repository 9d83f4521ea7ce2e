//! From where claims look: the lower bound of each queue and priority.
//!
//! Jobs at the front of a queue that run, or are finished and not vacuumed yet, would be walked by
//! each claim; while somebody's transaction is open for long, vacuum removes none of them. So a
//! claim starts at the place that the last one came to.
//!
//! Jobs can land behind it: whatever returns a job announces that, and the bound is reset;
//! transactions that were open for longer than [`TRAIL`] commit jobs of a time gone by, which the
//! `rescan` finds. A bound is only ever a place to look from, so a wrong one delays jobs and loses none.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::store::claim::{ClaimedJob, Place, Places};

/// How far the bound stays behind the clock: transactions that commit within this time are not
/// overlooked.
const TRAIL: TimeDelta = TimeDelta::milliseconds(300);

/// The bounds of all queues of a worker.
pub(super) struct Bounds(Mutex<Vec<Bound>>);

#[derive(Clone, Copy)]
struct Bound {
    places: Places,
    /// Rises when the bound is moved back, so that a claim under way does not undo that.
    turn: u64,
}

impl Bound {
    fn reset(&mut self) {
        self.turn += 1;
        self.places = Places::START;
    }
}

/// The bound that a claim started from.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub places: Places,
    turn: u64,
}

impl Bounds {
    pub fn new(queues: usize) -> Self {
        Self(Mutex::new(vec![Bound { places: Places::START, turn: 0 }; queues]))
    }

    /// Where to claim from; `whole`: from the very start.
    pub fn start(&self, queue: usize, whole: bool) -> Start {
        let Bound { places, turn } = self.lock()[queue];
        Start { places: if whole { Places::START } else { places }, turn }
    }

    /// All bounds, for whoever looks behind them.
    pub fn all(&self) -> Vec<Places> {
        self.lock().iter().map(|bound| bound.places).collect()
    }

    /// Moves the bound of a queue after a claim of at most `asked` jobs, which gave `jobs` (in the
    /// order of starting) as of the database's time `now`.
    pub fn advance(&self, queue: usize, start: Start, asked: usize, jobs: &[ClaimedJob], now: DateTime<Utc>) {
        let trail = Place::before_all_of(now - TRAIL);
        let last = jobs.last().map_or(0, |job| job.priority);
        let mut places = start.places;
        for (priority, place) in (1..).zip(&mut places.0) {
            let front = if jobs.len() < asked || priority < last {
                // The scan came to its end: all that was due then is claimed, or cannot be.
                trail
            } else if priority == last {
                jobs.last().map_or(*place, |job| job.place().min(trail))
            } else {
                continue;
            };
            *place = front.max(*place);
        }
        let mut bounds = self.lock();
        if bounds[queue].turn == start.turn {
            bounds[queue].places = places;
        }
    }

    /// Jobs may lie anywhere behind the bound.
    pub fn reset(&self, queue: usize) {
        self.lock()[queue].reset();
    }

    /// As [`Self::reset`], for all queues.
    pub fn reset_all(&self) {
        self.lock().iter_mut().for_each(Bound::reset);
    }

    /// A job waits at this place.
    pub fn found(&self, queue: usize, priority: usize, place: Place) {
        let mut bounds = self.lock();
        let bound = &mut bounds[queue];
        bound.turn += 1;
        bound.places.0[priority] = bound.places.0[priority].min(place.just_before());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Bound>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
