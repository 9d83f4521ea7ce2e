//! The job of a chaos run.

use postrider::{Job, NewJob};
use serde::{Deserialize, Serialize};

/// Takes its time, and nothing else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chore {
    /// Under which the ledger knows it, before it has an id and whether or not it gets one.
    pub key: String,
    pub millis: u64,
    /// Keeps one of the worker's pooled connections meanwhile.
    pub greedy: bool,
}

impl Job for Chore {
    const KIND: &'static str = "chore";
}

impl Chore {
    /// Most are short; some outlive the lease of a worker.
    pub fn random(key: String, random: &mut fastrand::Rng) -> Self {
        let millis = if random.u8(..) < 13 { random.u64(2_000..6_000) } else { random.u64(2..200) };
        Self { key, millis, greedy: random.u8(..) < 6 }
    }

    pub fn job(&self) -> NewJob {
        NewJob::of(self).expect("a good job")
    }
}
