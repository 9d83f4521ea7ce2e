//! What goes wrong, and when: the same seed gives the same faults in the same order at the same
//! offsets. (What the machine makes of them is not repeated.)

use std::fmt;
use std::time::Duration;

use super::worker_process::LEASE;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of a worker; another takes its seat at once.
    KillWorker { seat: usize },
    /// SIGSTOP, and SIGCONT when the lease is over.
    FreezeWorker { seat: usize, lasts: Duration },
    /// `pg_terminate_backend` for some of the sessions.
    TerminateBackends { choice: u64 },
    /// kill -9 of one backend, which is a crash of the whole server.
    KillBackend { choice: u64 },
    /// An immediate stop, and a start.
    RestartPostgres,
    /// The connections through the proxy end.
    CutConnections,
    /// The connections through the proxy stay open, and nothing more comes from the server.
    HalfOpenConnections,
    /// Every slot of `max_connections` is taken.
    FillSlots { lasts: Duration },
    /// Jobs that hold pooled connections until the pools of the workers are empty.
    EmptyPools,
    /// The rows of some waiting and running jobs are locked.
    LockRows { lasts: Duration },
    /// The table of jobs is locked against writes.
    LockTable { lasts: Duration },
    /// A transaction with a snapshot is left open.
    IdleTransaction { lasts: Duration },
    /// The primary stops for good and its synchronous standby takes over.
    Promote,
    /// The same with an asynchronous standby, that was cut off for some time before.
    PromoteWithLoss,
}

pub struct Planned {
    pub at: Duration,
    pub fault: Fault,
}

/// How long Postgres and its standbys have to themselves after a crash, and before a promotion.
const QUIET: Duration = Duration::from_secs(3);

/// In which the jobs of a killed worker run again.
const RERUN: Duration = Duration::from_secs(2);

/// When failovers happen, as a share of the time: each kind once, the one that loses commits last.
const FAILOVERS: [(f64, Fault); 2] = [(0.55, Fault::Promote), (0.8, Fault::PromoteWithLoss)];

/// Faults for this time.
pub fn schedule(seed: u64, length: Duration, seats: usize) -> Vec<Planned> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut deck = Vec::new();
    let mut planned = Vec::new();
    let mut at = Duration::from_millis(1_500);
    let mut failovers = FAILOVERS.iter().peekable();
    // A short run has each fault once, a long one leaves time between them.
    let between = (length / 60).clamp(Duration::from_millis(400), Duration::from_millis(2_500));
    while at < length {
        let fault = if let Some((_, failover)) = failovers.next_if(|(share, _)| at >= length.mul_f64(*share)) {
            at += QUIET / 2;
            *failover
        } else {
            if deck.is_empty() {
                deck = dealt(&mut random, seats);
            }
            deck.pop().expect("a full deck")
        };
        planned.push(Planned { at, fault });
        at += between.mul_f64(0.5 + random.f64());
        if fault.is_a_crash() {
            at += QUIET;
        }
        if let Fault::KillWorker { .. } = fault {
            // So that the time to the rerun is that of the kill alone.
            at += RERUN;
        }
        if let Fault::FreezeWorker { lasts, .. } = fault {
            // A crash of Postgres would let its lease begin afresh.
            at += lasts;
        }
    }
    planned
}

/// One of each, in any order.
fn dealt(random: &mut fastrand::Rng, seats: usize) -> Vec<Fault> {
    let mut lasts = |longest: u64| Duration::from_millis(random.u64(longest / 2..longest));
    let (frozen, slots, rows, table, idle) = (lasts(4_000), lasts(3_000), lasts(4_000), lasts(3_000), lasts(8_000));
    // Each at another one: a worker that has just been killed has nothing to lose.
    let first = random.usize(..seats);
    let mut deck = vec![
        Fault::KillWorker { seat: first },
        Fault::KillWorker { seat: (first + 1) % seats },
        Fault::FreezeWorker { seat: (first + 2) % seats, lasts: LEASE + frozen },
        Fault::TerminateBackends { choice: random.u64(..) },
        Fault::KillBackend { choice: random.u64(..) },
        Fault::RestartPostgres,
        Fault::CutConnections,
        Fault::HalfOpenConnections,
        Fault::FillSlots { lasts: slots },
        Fault::EmptyPools,
        Fault::LockRows { lasts: rows },
        Fault::LockTable { lasts: table },
        Fault::IdleTransaction { lasts: idle },
    ];
    random.shuffle(&mut deck);
    deck
}

impl Fault {
    /// Whether all sessions end, and what was not yet flushed is gone.
    pub fn is_a_crash(self) -> bool {
        matches!(self, Self::KillBackend { .. } | Self::RestartPostgres | Self::Promote | Self::PromoteWithLoss)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::KillWorker { .. } => "kill -9 of a worker",
            Self::FreezeWorker { .. } => "worker frozen past its lease",
            Self::TerminateBackends { .. } => "backends terminated",
            Self::KillBackend { .. } => "kill -9 of a backend",
            Self::RestartPostgres => "immediate stop of Postgres",
            Self::CutConnections => "connections cut",
            Self::HalfOpenConnections => "connections half-open",
            Self::FillSlots { .. } => "connection slots taken",
            Self::EmptyPools => "pools emptied",
            Self::LockRows { .. } => "rows locked",
            Self::LockTable { .. } => "table locked",
            Self::IdleTransaction { .. } => "idle transaction",
            Self::Promote => "standby promoted",
            Self::PromoteWithLoss => "standby promoted that lacks commits",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::KillWorker { seat } => write!(f, " ({seat})"),
            Self::FreezeWorker { seat, lasts } => write!(f, " ({seat}, for {:.1} s)", lasts.as_secs_f64()),
            Self::FillSlots { lasts }
            | Self::LockRows { lasts }
            | Self::LockTable { lasts }
            | Self::IdleTransaction { lasts } => {
                write!(f, " (for {:.1} s)", lasts.as_secs_f64())
            }
            _ => Ok(()),
        }
    }
}
