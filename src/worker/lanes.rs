//! How many jobs of each queue may run, and those that wait for their turn in this process.
//!
//! A job is either running, in one of its queue's slots, or ready: claimed ahead so that a slot
//! need not wait for a round trip to the database. Promises: a job is ready only while all slots are
//! taken; the most urgent starts first; whoever frees a slot takes the next ready job along.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::settings::QueueSettings;
use crate::store::claim::StartOrder;

/// The lanes of all queues. Only the fetcher puts jobs in.
pub(super) struct Lanes<J> {
    queues: Vec<Mutex<Lane<J>>>,
    wanting: Notify,
    emptied: Notify,
}

struct Lane<J> {
    slots: usize,
    running: usize,
    ready: BinaryHeap<Reverse<Ready<J>>>,
    /// Slots freed since the worker started.
    ended: u64,
    /// The fetcher wants to hear when no more than so many are ready.
    refill_at: Option<usize>,
}

/// A claimed job that waits for a slot.
struct Ready<J> {
    order: StartOrder,
    since: Instant,
    job: J,
}

/// What the fetcher must know to decide how many to claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Occupancy {
    pub free: usize,
    pub ready: usize,
    /// Slots freed since the worker started.
    pub ended: u64,
    /// Since when the one that has waited longest is ready.
    pub waiting_since: Option<Instant>,
}

impl<J> Lanes<J> {
    pub fn new(queues: &[QueueSettings]) -> Self {
        let lane = |queue: &QueueSettings| {
            Mutex::new(Lane {
                slots: queue.concurrency,
                running: 0,
                ready: BinaryHeap::new(),
                ended: 0,
                refill_at: None,
            })
        };
        Self { queues: queues.iter().map(lane).collect(), wanting: Notify::new(), emptied: Notify::new() }
    }

    /// How many queues there are.
    pub fn count(&self) -> usize {
        self.queues.len()
    }

    pub fn occupancy(&self, queue: usize) -> Occupancy {
        let lane = self.lane(queue);
        Occupancy {
            free: lane.slots - lane.running,
            ready: lane.ready.len(),
            ended: lane.ended,
            waiting_since: lane.ready.iter().map(|Reverse(ready)| ready.since).min(),
        }
    }

    /// Takes a slot for a job and hands it back to be started; where none is free, keeps it ready.
    pub fn put(&self, queue: usize, order: StartOrder, job: J) -> Option<J> {
        let mut lane = self.lane(queue);
        if lane.running < lane.slots {
            lane.running += 1;
            return Some(job);
        }
        lane.ready.push(Reverse(Ready { order, since: Instant::now(), job }));
        None
    }

    /// The next job for a slot whose job has ended. Without one the slot is free.
    pub fn next(&self, queue: usize) -> Option<J> {
        let mut lane = self.lane(queue);
        lane.ended += 1;
        let next = lane.ready.pop().map(|Reverse(ready)| ready.job);
        if next.is_none() {
            lane.running -= 1;
        }
        let is_low = lane.refill_at.is_some_and(|low| lane.ready.len() <= low);
        if is_low {
            lane.refill_at = None;
        }
        let is_empty = lane.running == 0;
        drop(lane);
        if is_low {
            self.wanting.notify_one();
        }
        if is_empty {
            self.emptied.notify_one();
        }
        next
    }

    /// Takes out all that are ready.
    pub fn take_ready(&self, queue: usize) -> Vec<J> {
        let ready = std::mem::take(&mut self.lane(queue).ready);
        ready.into_iter().map(|Reverse(ready)| ready.job).collect()
    }

    /// From now on [`Self::wanting`] is to resolve once no more than `low` are ready and a slot was
    /// freed.
    pub fn refill_at(&self, queue: usize, low: usize) {
        self.lane(queue).refill_at = Some(low);
    }

    /// Resolves when a queue has room for what the fetcher wants to claim.
    pub async fn wanting(&self) {
        self.wanting.notified().await;
    }

    /// Resolves when nothing runs.
    pub async fn emptied(&self) {
        while (0..self.queues.len()).any(|queue| self.lane(queue).running > 0) {
            self.emptied.notified().await;
        }
    }

    fn lane(&self, queue: usize) -> MutexGuard<'_, Lane<J>> {
        // Nothing panics while it holds the lock; if it did, the lane would still be whole.
        self.queues[queue].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J> PartialEq for Ready<J> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl<J> Eq for Ready<J> {}

impl<J> PartialOrd for Ready<J> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<J> Ord for Ready<J> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn lanes(concurrency: usize) -> Lanes<i64> {
        Lanes::new(&[QueueSettings { name: "default".into(), concurrency }])
    }

    fn put(lanes: &Lanes<i64>, priority: i16, id: i64) -> Option<i64> {
        lanes.put(0, (priority, DateTime::UNIX_EPOCH, id), id)
    }

    #[test]
    fn a_freed_slot_takes_the_most_urgent_ready_job_along() {
        let lanes = lanes(1);
        assert_eq!(put(&lanes, 2, 1), Some(1));
        assert_eq!(put(&lanes, 2, 3), None);
        assert_eq!(put(&lanes, 2, 2), None);
        assert_eq!(put(&lanes, 1, 4), None);
        let ready = lanes.occupancy(0);
        assert_eq!((ready.free, ready.ready), (0, 3));
        assert_eq!([lanes.next(0), lanes.next(0), lanes.next(0)], [Some(4), Some(2), Some(3)]);
        assert_eq!(lanes.occupancy(0).free, 0);
        assert_eq!(lanes.next(0), None);
        assert_eq!(lanes.occupancy(0), Occupancy { free: 1, ready: 0, ended: 4, waiting_since: None });
    }

    #[test]
    fn what_is_taken_out_starts_no_more() {
        let lanes = lanes(1);
        put(&lanes, 2, 1);
        put(&lanes, 2, 2);
        assert_eq!(lanes.take_ready(0), [2]);
        assert_eq!(lanes.next(0), None);
    }
}
