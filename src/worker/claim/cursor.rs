//! The position at which the index scan of a claim resumes: one cursor per queue and priority.
//!
//! Without cursors, each claim would scan past the jobs at the front that are running, or finished and not vacuumed.
//! During a long transaction, vacuum removes none of them. So a claim starts at the end of the last one.
//!
//! Jobs can appear behind a cursor. A statement that returns a job to its queue notifies, which resets the cursor. A
//! transaction that was open for longer than [`LAG`] commits jobs with an earlier due time. The catch-up scan finds
//! them.
//!
//! Promise: a wrong cursor delays jobs and loses none. Memory only: no SQL.

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use crate::store::claim::{ClaimedJob, Position, Positions};

/// How far a cursor stays behind the clock. Jobs of transactions that commit within this time are not skipped.
const LAG: TimeDelta = TimeDelta::milliseconds(300);

/// The cursors of a worker's queues.
pub(in crate::worker) struct ClaimCursors(Mutex<Vec<Cursor>>);

#[derive(Clone, Copy)]
struct Cursor {
    positions: Positions,
    /// Counts resets, so that a claim in flight does not undo one.
    resets: u64,
}

impl Cursor {
    fn reset(&mut self) {
        self.resets += 1;
        self.positions = Positions::START;
    }
}

/// The cursor that a claim started from.
#[derive(Clone, Copy)]
pub(in crate::worker) struct ScanStart {
    pub positions: Positions,
    resets: u64,
}

impl ClaimCursors {
    pub fn new(queues: usize) -> Self {
        Self(Mutex::new(vec![Cursor { positions: Positions::START, resets: 0 }; queues]))
    }

    /// The cursor to claim from. `whole`: from the start of the queue.
    pub fn start(&self, queue: usize, whole: bool) -> ScanStart {
        let Cursor { positions, resets } = self.0.lock()[queue];
        ScanStart { positions: if whole { Positions::START } else { positions }, resets }
    }

    /// All cursors, for the catch-up scan.
    pub fn all(&self) -> Vec<Positions> {
        self.0.lock().iter().map(|cursor| cursor.positions).collect()
    }

    /// Advances the cursor of a queue after a claim of at most `asked` jobs, which returned `jobs` (in start order).
    /// `now` is the database's time of the claim.
    pub fn advance(&self, queue: usize, start: ScanStart, asked: usize, jobs: &[ClaimedJob], now: DateTime<Utc>) {
        let lag = Position::before_all_of(now - LAG);
        let last = jobs.last().map_or(0, |job| job.priority);
        let mut positions = start.positions;
        for (priority, position) in (1..).zip(&mut positions.0) {
            let front = if jobs.len() < asked || priority < last {
                // The scan is complete: each due job was claimed or cannot be.
                lag
            } else if priority == last {
                jobs.last().map_or(*position, |job| job.position().min(lag))
            } else {
                continue;
            };
            *position = front.max(*position);
        }
        let mut cursors = self.0.lock();
        if cursors[queue].resets == start.resets {
            cursors[queue].positions = positions;
        }
    }

    /// Resets the cursor: jobs may lie anywhere behind it.
    pub fn reset(&self, queue: usize) {
        self.0.lock()[queue].reset();
    }

    /// As [`Self::reset`], for all queues.
    pub fn reset_all(&self) {
        self.0.lock().iter_mut().for_each(Cursor::reset);
    }

    /// Moves the cursor back to a skipped job.
    pub fn found(&self, queue: usize, priority: usize, position: Position) {
        let mut cursors = self.0.lock();
        let cursor = &mut cursors[queue];
        cursor.resets += 1;
        cursor.positions.0[priority] = cursor.positions.0[priority].min(position.just_before());
    }
}
