//! The plan of a run: what to measure, how often and at what size.

use std::time::Duration;

/// A scenario to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scenario {
    /// Single jobs enqueued on one connection.
    Single,
    /// Single jobs enqueued on 32 connections while all slots of a worker are in use.
    Connections,
    /// Batches of 1,000 jobs with `enqueue_many`.
    Many,
    /// One large `enqueue_copy`.
    Copy,
    /// One worker process drains a backlog.
    Drain,
    /// A bulk producer and a worker at the same time.
    Steady,
    /// Latency until a job starts on an idle system.
    Pickup,
    /// Latency from a request to the result of its job, on an idle system.
    Response,
    /// Latency until jobs start that are enqueued singly at 300 and at 2,000 per second.
    Arrivals,
    /// The cost of an idle worker.
    Idle,
    /// A very large backlog compared with a small one.
    Backlog,
    /// Very many jobs of the same queue scheduled for later.
    Scheduled,
    /// Jobs arrive while another session keeps a transaction open.
    Held,
    /// A steady rate for a long time.
    Soak,
    /// An increasing number of worker processes on one queue.
    Fleet,
    /// Jobs that take 50 ms on 500 slots.
    Slots,
    /// A backlog whose completed jobs are not kept.
    NoHistory,
    /// Jobs with args of 1 MiB on 1,000 slots.
    LargeArgs,
    /// Jobs of 5 s arrive while all of 16 worker processes are replaced.
    Deploy,
}

impl Scenario {
    /// The default scenarios.
    pub const USUAL: [Self; 10] = [
        Self::Single,
        Self::Connections,
        Self::Many,
        Self::Copy,
        Self::Drain,
        Self::Steady,
        Self::Pickup,
        Self::Response,
        Self::Arrivals,
        Self::Idle,
    ];
    /// Long scenarios, which run only on request.
    pub const LONG: [Self; 9] = [
        Self::Backlog,
        Self::Scheduled,
        Self::Held,
        Self::Soak,
        Self::Fleet,
        Self::Slots,
        Self::NoHistory,
        Self::LargeArgs,
        Self::Deploy,
    ];

    /// The name, which is the prefix of the names of its figures.
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
            Self::Response => "response",
            Self::Arrivals => "arrivals",
            Self::Idle => "idle",
            Self::Backlog => "backlog",
            Self::Scheduled => "scheduled",
            Self::Held => "held",
            Self::Soak => "soak",
            Self::Fleet => "fleet",
            Self::Slots => "slots",
            Self::NoHistory => "no_history",
            Self::LargeArgs => "large_args",
            Self::Deploy => "deploy",
        }
    }
}

/// The plan of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenarios, in this order.
    pub scenarios: Vec<Scenario>,
    /// Rounds of each throughput measurement. Default: 5, or 2 if `quick`.
    pub rounds: Option<u32>,
    /// Jobs per scenario. Default: depends on the scenario.
    pub jobs: Option<u64>,
    /// Duration of `held` and `soak`. Default: depends on the scenario.
    pub time: Option<Duration>,
    /// Reduces the sizes so that the default scenarios together take less than half a minute.
    pub quick: bool,
}

impl Plan {
    pub(super) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 })
    }

    /// Returns the requested number of jobs, or else `usual` or `quick`, depending on the plan.
    pub(super) fn jobs(&self, usual: u64, quick: u64) -> u64 {
        self.jobs.unwrap_or(if self.quick { quick } else { usual })
    }

    /// The time limit of one round of enqueueing.
    pub(super) fn enqueueing(&self) -> Duration {
        Duration::from_millis(if self.quick { 200 } else { 1_000 })
    }

    /// The duration of a long scenario.
    pub(super) fn lasting(&self, usual: Duration) -> Duration {
        self.time.unwrap_or(if self.quick { Duration::from_secs(6) } else { usual })
    }
}
