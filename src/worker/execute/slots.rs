//! The slots of each queue, and the buffered jobs that wait for one.
//!
//! A claimed job is running, in one of its queue's slots, or buffered: claimed ahead, so that a slot need not wait
//! for a round trip.
//!
//! Promises: a job is buffered only while all slots are taken; the most urgent one starts first; a freed slot takes
//! the next buffered job.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::store::claim::StartOrder;
use crate::worker::config::QueueConfig;

/// The slots of all queues. Only the fetcher puts jobs in.
pub(in crate::worker) struct Slots<J> {
    queues: Vec<Mutex<QueueSlots<J>>>,
    refill_wanted: Notify,
    none_running: Notify,
}

struct QueueSlots<J> {
    slots: usize,
    running: usize,
    buffered: BinaryHeap<Reverse<Buffered<J>>>,
    /// Slots freed since the worker started.
    freed: u64,
    /// The fetcher wants to be woken once no more than this many are buffered.
    refill_at: Option<usize>,
}

/// A claimed job that waits for a slot.
struct Buffered<J> {
    order: StartOrder,
    since: Instant,
    job: J,
}

/// What the plan of a queue must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::worker) struct Occupancy {
    pub free: usize,
    pub buffered: usize,
    /// Slots freed since the worker started.
    pub freed: u64,
    /// Since when the oldest buffered job waits.
    pub waiting_since: Option<Instant>,
}

impl<J> Slots<J> {
    pub fn new(queues: &[QueueConfig]) -> Self {
        let queue_slots = |queue: &QueueConfig| {
            Mutex::new(QueueSlots {
                slots: queue.concurrency,
                running: 0,
                buffered: BinaryHeap::new(),
                freed: 0,
                refill_at: None,
            })
        };
        Self {
            queues: queues.iter().map(queue_slots).collect(),
            refill_wanted: Notify::new(),
            none_running: Notify::new(),
        }
    }

    /// The number of queues.
    pub fn count(&self) -> usize {
        self.queues.len()
    }

    pub fn occupancy(&self, queue: usize) -> Occupancy {
        let queue_slots = self.of(queue);
        Occupancy {
            free: queue_slots.slots - queue_slots.running,
            buffered: queue_slots.buffered.len(),
            freed: queue_slots.freed,
            waiting_since: queue_slots.buffered.iter().map(|Reverse(buffered)| buffered.since).min(),
        }
    }

    /// Takes a slot for a job and returns it to be started. Without a free slot, buffers it.
    pub fn take_slot_or_buffer(&self, queue: usize, order: StartOrder, job: J) -> Option<J> {
        let mut queue_slots = self.of(queue);
        if queue_slots.running < queue_slots.slots {
            queue_slots.running += 1;
            return Some(job);
        }
        queue_slots.buffered.push(Reverse(Buffered { order, since: Instant::now(), job }));
        None
    }

    /// Frees a slot. Returns the next buffered job, which takes it.
    pub fn free_slot(&self, queue: usize) -> Option<J> {
        let mut queue_slots = self.of(queue);
        queue_slots.freed += 1;
        let next = queue_slots.buffered.pop().map(|Reverse(buffered)| buffered.job);
        if next.is_none() {
            queue_slots.running -= 1;
        }
        let is_low = queue_slots.refill_at.is_some_and(|low| queue_slots.buffered.len() <= low);
        if is_low {
            queue_slots.refill_at = None;
        }
        let is_empty = queue_slots.running == 0;
        drop(queue_slots);
        if is_low {
            self.refill_wanted.notify_one();
        }
        if is_empty {
            self.none_running.notify_one();
        }
        next
    }

    /// Takes out all buffered jobs.
    pub fn take_buffered(&self, queue: usize) -> Vec<J> {
        let buffered = std::mem::take(&mut self.of(queue).buffered);
        buffered.into_iter().map(|Reverse(buffered)| buffered.job).collect()
    }

    /// [`Self::refill_wanted`] resolves once no more than `low` are buffered and a slot was freed.
    pub fn refill_at(&self, queue: usize, low: usize) {
        self.of(queue).refill_at = Some(low);
    }

    /// Resolves when a queue has room for the next claim.
    pub async fn refill_wanted(&self) {
        self.refill_wanted.notified().await;
    }

    /// Resolves when nothing runs.
    pub async fn none_running(&self) {
        while (0..self.queues.len()).any(|queue| self.of(queue).running > 0) {
            self.none_running.notified().await;
        }
    }

    fn of(&self, queue: usize) -> MutexGuard<'_, QueueSlots<J>> {
        self.queues[queue].lock()
    }
}

impl<J> PartialEq for Buffered<J> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl<J> Eq for Buffered<J> {}

impl<J> PartialOrd for Buffered<J> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<J> Ord for Buffered<J> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn slots(concurrency: usize) -> Slots<i64> {
        Slots::new(&[QueueConfig { name: "default".into(), concurrency, keep_completed: true }])
    }

    fn put(slots: &Slots<i64>, priority: i16, id: i64) -> Option<i64> {
        slots.take_slot_or_buffer(0, (priority, DateTime::UNIX_EPOCH, id), id)
    }

    #[test]
    fn a_freed_slot_takes_the_most_urgent_ready_job_along() {
        let slots = slots(1);
        assert_eq!(put(&slots, 2, 1), Some(1));
        assert_eq!(put(&slots, 2, 3), None);
        assert_eq!(put(&slots, 2, 2), None);
        assert_eq!(put(&slots, 1, 4), None);
        let buffered = slots.occupancy(0);
        assert_eq!((buffered.free, buffered.buffered), (0, 3));
        assert_eq!([slots.free_slot(0), slots.free_slot(0), slots.free_slot(0)], [Some(4), Some(2), Some(3)]);
        assert_eq!(slots.occupancy(0).free, 0);
        assert_eq!(slots.free_slot(0), None);
        assert_eq!(slots.occupancy(0), Occupancy { free: 1, buffered: 0, freed: 4, waiting_since: None });
    }

    #[test]
    fn what_is_taken_out_starts_no_more() {
        let slots = slots(1);
        put(&slots, 2, 1);
        put(&slots, 2, 2);
        assert_eq!(slots.take_buffered(0), [2]);
        assert_eq!(slots.free_slot(0), None);
    }
}
