//! What is to be measured, how often and how large.

use std::time::Duration;

/// Something to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scenario {
    /// Single jobs enqueued on one connection.
    Single,
    /// Single jobs enqueued on 32 connections while all slots of a worker are taken.
    Connections,
    /// Batches of 1,000 by `enqueue_many`.
    Many,
    /// One large `copy`.
    Copy,
    /// A backlog worked off by one worker process.
    Drain,
    /// A bulk producer and a worker at the same time.
    Steady,
    /// How soon a job starts on an idle system.
    Pickup,
    /// How soon jobs start that arrive singly, at 300 and at 2,000 a second.
    Arrivals,
    /// What a worker costs that has nothing to do.
    Idle,
    /// A very large backlog against a small one.
    Backlog,
    /// Very many jobs scheduled for later on the same queue.
    Scheduled,
    /// A transaction held open elsewhere.
    Held,
    /// A long time at a steady rate.
    Soak,
    /// More and more worker processes on one queue.
    Fleet,
    /// Jobs that take 50 ms on 500 slots.
    Slots,
}

impl Scenario {
    /// Those of a usual run.
    pub const USUAL: [Self; 9] = [
        Self::Single,
        Self::Connections,
        Self::Many,
        Self::Copy,
        Self::Drain,
        Self::Steady,
        Self::Pickup,
        Self::Arrivals,
        Self::Idle,
    ];
    /// Those that take long and run only where they are asked for.
    pub const LONG: [Self; 6] = [Self::Backlog, Self::Scheduled, Self::Held, Self::Soak, Self::Fleet, Self::Slots];

    /// The name, with which those of its figures begin.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Connections => "connections",
            Self::Many => "many",
            Self::Copy => "copy",
            Self::Drain => "drain",
            Self::Steady => "steady",
            Self::Pickup => "pickup",
            Self::Arrivals => "arrivals",
            Self::Idle => "idle",
            Self::Backlog => "backlog",
            Self::Scheduled => "scheduled",
            Self::Held => "held",
            Self::Soak => "soak",
            Self::Fleet => "fleet",
            Self::Slots => "slots",
        }
    }
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In this order.
    pub scenarios: Vec<Scenario>,
    /// How often throughput is measured; none: 5 times, or twice where it is to be quick.
    pub rounds: Option<u32>,
    /// How many jobs a scenario works on, instead of its own number.
    pub jobs: Option<u64>,
    /// How long `held` and `soak` last, instead of their own time.
    pub time: Option<Duration>,
    /// Small enough that the usual scenarios together take less than half a minute.
    pub quick: bool,
}

impl Plan {
    pub(super) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 })
    }

    /// As many jobs as were asked for, else `usual`, else `quick`.
    pub(super) fn jobs(&self, usual: u64, quick: u64) -> u64 {
        self.jobs.unwrap_or(if self.quick { quick } else { usual })
    }

    /// How long one round of enqueueing lasts at most.
    pub(super) fn enqueueing(&self) -> Duration {
        Duration::from_millis(if self.quick { 200 } else { 1_000 })
    }

    /// How long the long scenario lasts.
    pub(super) fn lasting(&self, usual: Duration) -> Duration {
        self.time.unwrap_or(if self.quick { Duration::from_secs(6) } else { usual })
    }
}
