//! `worker run`.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::duration::between;
use super::failure::Failure;
use super::migrate::{self, SETS};
use super::served_queues::ServedQueues;
use super::{connection, exit};
use crate::app::{self, App, ObjectStore, ObjectStoreConfig};
use crate::postgres::Database;
use crate::web::health;
use crate::worker::{LEASES, MIN_INTERVAL, POLL_INTERVALS, SHUTDOWN_TIMEOUTS, Shutdown, Worker};

const HEARTBEAT_INTERVALS: RangeInclusive<Duration> = MIN_INTERVAL..=Duration::from_hours(7 * 24);

/// Claims and runs jobs until SIGINT or SIGTERM.
///
/// The first signal stops the claiming and lets running jobs finish within the shutdown timeout. A
/// second one cuts them off at once. Jobs that are cut off run again, and their attempt is not
/// counted. Exit status: 0 if all running jobs ended in time, 1 if some were cut off.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Queues to serve, each with its concurrency (1 to 10000, default 100).
    #[arg(long, value_name = "NAME[:CONCURRENCY],…", env = "WORKER_QUEUES", default_value = "default:100")]
    queues: ServedQueues,
    /// How often to poll, 10ms to 1h.
    #[arg(long, value_name = "DURATION", env = "WORKER_POLL_INTERVAL", default_value = "1s",
          value_parser = between(POLL_INTERVALS))]
    poll_interval: Duration,
    /// Do not LISTEN: only poll.
    #[arg(long, env = "WORKER_NO_LISTEN", value_parser = BoolishValueParser::new())]
    no_listen: bool,
    /// How long without a heartbeat until this worker is declared dead and its jobs run elsewhere, 2s to 1h.
    #[arg(long, value_name = "DURATION", env = "WORKER_LEASE", default_value = "15s",
          value_parser = between(LEASES))]
    lease: Duration,
    /// How often the `heartbeat` job runs, once for the whole fleet, 100ms to 7days.
    #[arg(long, value_name = "DURATION", env = "WORKER_HEARTBEAT_INTERVAL", default_value = "60s",
          value_parser = between(HEARTBEAT_INTERVALS))]
    heartbeat_interval: Duration,
    /// Bring the schema up to date first.
    #[arg(long, env = "WORKER_MIGRATE", value_parser = BoolishValueParser::new())]
    migrate: bool,
    /// How long running jobs may take after the signal, 0s to 1h.
    #[arg(long, value_name = "DURATION", env = "WORKER_SHUTDOWN_TIMEOUT", default_value = "10s",
          value_parser = between(SHUTDOWN_TIMEOUTS))]
    shutdown_timeout: Duration,
    /// Memory for the args of claimed jobs, in MiB, 4 to 1048576.
    #[arg(long, value_name = "MIB", env = "WORKER_ARGS_MEMORY", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(4..=1_048_576))]
    args_memory: u32,
    /// Serve /healthz, /readyz and /metrics here, such as 127.0.0.1:9090 [default: off]
    #[arg(long, value_name = "ADDR", env = "WORKER_HEALTH")]
    health: Option<SocketAddr>,
}

impl Run {
    /// Runs until `shutdown`. Returns the exit status.
    pub async fn execute(self, shutdown: Shutdown) -> Result<u8, Failure> {
        let database = connection::database()?;
        let object_store = ObjectStoreConfig::from_env().map_err(|error| Failure::Usage(error.to_string()))?;
        let state = App { object_store: ObjectStore::new(object_store) };
        tokio::select! {
            ready = self.ready_schema(&database) => ready?,
            // A signal before the first claim: nothing runs, so it has drained.
            () = shutdown.begun() => return Ok(exit::DONE),
        }
        let health_database = database.clone();
        let mut worker = Worker::new(database, state)
            .poll_interval(self.poll_interval)
            .listen(!self.no_listen)
            .lease(self.lease)
            .shutdown_timeout(self.shutdown_timeout)
            .args_memory(self.args_memory as usize * 1024 * 1024);
        for queue in &self.queues.0 {
            worker = worker.queue(&queue.name, queue.concurrency);
        }
        let worker = app::register(worker, self.heartbeat_interval);
        if let Some(addr) = self.health {
            health::serve(addr, health_database, Some(worker.metrics()), shutdown.clone()).await.map_err(|error| {
                Failure::Failed(format!("--health: cannot listen on {addr}: {error}; choose another"))
            })?;
        }
        let summary = worker.run(shutdown).await?;
        Ok(if summary.abandoned == 0 { exit::DONE } else { exit::FAILED })
    }

    async fn ready_schema(&self, database: &Database) -> Result<(), Failure> {
        if self.migrate {
            return migrate::migrate(database).await;
        }
        Ok(database.require_schema(&SETS).await?)
    }
}
