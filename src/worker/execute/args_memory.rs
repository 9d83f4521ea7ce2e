//! The memory for the args of claimed jobs, limited in bytes.
//!
//! Small args come with the claim. They are counted, and the next claim asks for no more jobs than fit. Large args stay
//! in the database until `args_loader` has room for them.
//!
//! Promises: large args are only read once the largest possible args fit. Small args may exceed the limit by those of
//! one claim. Counting takes no lock. No SQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The largest args that the database accepts (`sql/functions/check_job.sql`), in bytes.
pub(in crate::worker) const MAX_ARGS: usize = 2 * 1024 * 1024;
/// The weight of one job in the average, as a divisor.
const AVERAGED_OVER: usize = 16;

pub(in crate::worker) struct ArgsMemory {
    limit: usize,
    held: AtomicUsize,
    /// Jobs whose args are not read yet.
    unread: AtomicUsize,
    /// The average size of the latest args.
    average: AtomicUsize,
    /// Someone waits for memory.
    is_short: AtomicBool,
    freed_for_reads: Notify,
    freed_for_claims: Notify,
}

/// Bytes of args in memory. Freed when dropped.
pub(in crate::worker) struct HeldBytes {
    memory: Arc<ArgsMemory>,
    bytes: usize,
}

/// Args that are not read yet.
pub(in crate::worker) struct Unread(Arc<ArgsMemory>);

impl ArgsMemory {
    /// Args of up to `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            held: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
            average: AtomicUsize::new(0),
            is_short: AtomicBool::new(false),
            freed_for_reads: Notify::new(),
            freed_for_claims: Notify::new(),
        })
    }

    /// Counts args that are in memory already.
    pub fn hold(self: &Arc<Self>, bytes: usize) -> HeldBytes {
        self.note_size(bytes);
        self.held.fetch_add(bytes, Ordering::SeqCst);
        HeldBytes { memory: Arc::clone(self), bytes }
    }

    /// Counts a job whose args are to be read later.
    pub fn expect(self: &Arc<Self>) -> Unread {
        self.unread.fetch_add(1, Ordering::SeqCst);
        Unread(Arc::clone(self))
    }

    /// Room for args of any size, if there is room now.
    pub fn try_reserve(self: &Arc<Self>) -> Option<HeldBytes> {
        let with_these = |held| Some(held + MAX_ARGS).filter(|held| *held <= self.limit);
        self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, with_these).ok()?;
        Some(HeldBytes { memory: Arc::clone(self), bytes: MAX_ARGS })
    }

    /// Waits for room for args of any size. For one caller at a time.
    pub async fn reserve(self: &Arc<Self>) -> HeldBytes {
        loop {
            if let Some(reserved) = self.try_reserve() {
                return reserved;
            }
            self.is_short.store(true, Ordering::SeqCst);
            // What was freed before that has notified nobody.
            if self.held.load(Ordering::SeqCst) + MAX_ARGS > self.limit {
                self.freed_for_reads.notified().await;
            }
        }
    }

    /// How many more jobs to claim. With 0, [`Self::freed`] resolves once there is room.
    pub fn room(&self) -> usize {
        let room = self.current_room();
        if room > 0 {
            return room;
        }
        self.is_short.store(true, Ordering::SeqCst);
        self.current_room()
    }

    fn current_room(&self) -> usize {
        let free = self.limit.saturating_sub(self.held.load(Ordering::SeqCst));
        let average = self.average.load(Ordering::Relaxed).max(1);
        (free / average).saturating_sub(self.unread.load(Ordering::SeqCst))
    }

    /// Resolves when memory was freed after [`Self::room`] was 0.
    pub async fn freed(&self) {
        self.freed_for_claims.notified().await;
    }

    fn note_size(&self, bytes: usize) {
        // Two updates at once may lose one: it is an average.
        let average = self.average.load(Ordering::Relaxed);
        self.average.store(average - average / AVERAGED_OVER + bytes / AVERAGED_OVER, Ordering::Relaxed);
    }

    fn notify_waiting(&self) {
        if self.is_short.load(Ordering::SeqCst) {
            self.is_short.store(false, Ordering::SeqCst);
            self.freed_for_reads.notify_one();
            self.freed_for_claims.notify_one();
        }
    }
}

impl HeldBytes {
    /// Frees what args of this size do not need.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.memory.note_size(bytes);
        self.memory.held.fetch_sub(self.bytes - bytes.min(self.bytes), Ordering::SeqCst);
        self.bytes = bytes.min(self.bytes);
        self.memory.notify_waiting();
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.memory.held.fetch_sub(self.bytes, Ordering::SeqCst);
        self.memory.notify_waiting();
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.0.unread.fetch_sub(1, Ordering::SeqCst);
        self.0.notify_waiting();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use proptest::prelude::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn a_reservation_waits_for_room_and_gets_it() {
        let memory = ArgsMemory::new(5 * MIB);
        let mut first = memory.try_reserve().unwrap();
        let second = memory.try_reserve().unwrap();
        assert!(memory.try_reserve().is_none());
        let mut third = Box::pin(memory.reserve());
        assert!(third.as_mut().now_or_never().is_none());
        first.shrink_to(MIB + 1);
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        assert!(third.now_or_never().is_some());
    }

    #[test]
    fn no_more_jobs_are_claimed_than_fit() {
        let memory = ArgsMemory::new(64 * MIB);
        assert!(memory.room() > 10_000);
        let held: Vec<HeldBytes> = (0..64).map(|_| memory.hold(MIB)).collect();
        assert_eq!(memory.room(), 0);
        assert!(memory.freed().now_or_never().is_none());
        drop(held);
        assert!(memory.freed().now_or_never().is_some());
        let room = memory.room();
        assert!((64..=66).contains(&room), "{room}");
        let unread: Vec<Unread> = (0..room).map(|_| memory.expect()).collect();
        assert_eq!(memory.room(), 0);
        drop(unread);
        assert_eq!(memory.room(), room);
    }

    proptest! {
        #[test]
        fn whatever_is_held_and_freed_nothing_leaks(steps in prop::collection::vec((0_u8..4, 0_usize..3 * MIB), 0..200)) {
            let memory = ArgsMemory::new(16 * MIB);
            let mut held: Vec<HeldBytes> = Vec::new();
            for (step, bytes) in steps {
                match step {
                    0 => held.push(memory.hold(bytes)),
                    1 => held.extend(memory.try_reserve()),
                    2 => if let Some(last) = held.last_mut() { last.shrink_to(bytes) },
                    _ => { held.pop(); }
                }
                let sum: usize = held.iter().map(|held| held.bytes).sum();
                prop_assert_eq!(memory.held.load(Ordering::SeqCst), sum);
            }
            drop(held);
            prop_assert_eq!(memory.held.load(Ordering::SeqCst), 0);
            prop_assert!(memory.try_reserve().is_some());
        }
    }
}
