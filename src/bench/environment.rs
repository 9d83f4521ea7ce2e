//! The environment of a run: the machine, the server and its settings, and the two times that bound all figures.

use std::time::Instant;

use serde::Serialize;

use super::error::BenchError;
use super::figure::median;
use super::jobs::{Noop, bare};
use super::machine::Machine;
use super::rig::Rig;
use super::store;
use crate::error::Error;
use crate::job::Args;

/// The Postgres settings that affect the figures.
const SETTINGS: [&str; 11] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "wal_compression",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "autovacuum",
    "jit",
    "max_connections",
];
/// Samples of each time.
const TIMES: usize = 100;

/// The environment of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// The version of this library.
    pub postrider: &'static str,
    /// The machine of the bench and its workers.
    pub machine: Machine,
    /// The version of Postgres.
    pub postgres: String,
    /// Whether Postgres runs on the same host.
    pub same_host: bool,
    /// Settings of Postgres by name, as `SHOW` prints them.
    pub settings: Vec<Setting>,
    /// The median time of `SELECT 1`.
    pub round_trip_ms: Option<f64>,
    /// The median time of an INSERT of one row in its own transaction.
    pub commit_ms: Option<f64>,
}

/// A setting of Postgres.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value. `None` if this version does not have it.
    pub value: Option<String>,
}

impl Environment {
    pub(super) async fn of(rig: &Rig<'_>) -> Result<Self, BenchError> {
        let client = &rig.client;
        let (postgres, same_host) = store::server::server(client).await?;
        // A fresh connection shows the server's values: ours changes some.
        let settings = store::server::settings(&rig.connect().await?, &SETTINGS).await?;
        let settings = settings.into_iter().map(|(name, value)| Setting { name, value }).collect();
        let args = Args::of(&Noop::default())?;
        let job = bare(&args);
        let round_trip_ms = milliseconds(async || store::server::round_trip(client).await).await?;
        let commit_ms = milliseconds(async || store::jobs::insert_job(client, &job).await.map(drop)).await?;
        rig.clear().await?;
        Ok(Self {
            postrider: env!("CARGO_PKG_VERSION"),
            machine: Machine::here(),
            postgres,
            same_host,
            settings,
            round_trip_ms,
            commit_ms,
        })
    }

    /// Returns the value of a setting.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|setting| setting.name == name)?.value.as_deref()
    }
}

/// Returns the median time of `act`.
async fn milliseconds(mut act: impl AsyncFnMut() -> Result<(), Error>) -> Result<Option<f64>, Error> {
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let start = Instant::now();
        act().await?;
        times.push(start.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(median(&times))
}
