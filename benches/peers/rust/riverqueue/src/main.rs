//! riverqueue, River's client in Rust. `defaults` is the worker of its README. `best` follows its own
//! benchmark, `riverqueue bench`. `pickup` fetches as soon and as often as the library allows.

use std::convert::Infallible;
use std::ops::Range;
use std::time::Duration;

use peers_protocol::{Driver, Failure, Tally};
use riverqueue::migrate::PostgresMigrator;
use riverqueue::sqlx::PgPool;
use riverqueue::sqlx::postgres::PgPoolOptions;
use riverqueue::{
    Client, FETCH_COOLDOWN_DEFAULT, FETCH_COOLDOWN_MIN, Job, JobArgs, QUEUE_DEFAULT, QueueConfig, WorkContext,
    WorkOutcome, Workers,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JobArgs)]
#[river(kind = "nothing")]
struct Nothing {
    n: u64,
}

struct Settings {
    queue: QueueConfig,
    /// The producer's too: it sends no second notification before this is over.
    fetch_cooldown: Duration,
    connections: u32,
}

struct River(Client);

impl Driver for River {
    type Settings = Settings;

    fn preset(name: &str) -> Option<Settings> {
        match name {
            "defaults" => {
                Some(Settings { queue: QueueConfig::new(10), fetch_cooldown: FETCH_COOLDOWN_DEFAULT, connections: 10 })
            }
            "best" => Some(Settings {
                queue: QueueConfig::new(2000)
                    .with_fetch_cooldown(Duration::from_millis(2))
                    .with_fetch_poll_interval(Duration::from_millis(20)),
                fetch_cooldown: FETCH_COOLDOWN_DEFAULT,
                connections: 50,
            }),
            "pickup" => Some(Settings {
                queue: QueueConfig::new(100).with_fetch_poll_interval(FETCH_COOLDOWN_MIN),
                fetch_cooldown: FETCH_COOLDOWN_MIN,
                connections: 10,
            }),
            _ => None,
        }
    }

    async fn install(url: &str, _: Settings) -> Result<(), Failure> {
        PostgresMigrator::new(pool(url, 1).await?).migrate_up().await?;
        Ok(())
    }

    async fn connect(url: &str, settings: Settings) -> Result<Self, Failure> {
        Ok(Self(Client::builder(pool(url, 1).await?).fetch_cooldown(settings.fetch_cooldown).build()?))
    }

    async fn enqueue(&mut self, n: u64) -> Result<(), Failure> {
        self.0.insert(Nothing { n }).await?;
        Ok(())
    }

    async fn enqueue_bulk(&mut self, numbers: Range<u64>) -> Result<(), Failure> {
        self.0.insert_many(numbers.map(|n| Nothing { n })).await?;
        Ok(())
    }

    async fn work(url: &str, settings: Settings, tally: Tally) -> Result<(), Failure> {
        let mut workers = Workers::new();
        workers.add_fn(move |_: WorkContext, job: Job<Nothing>| {
            tally.start(job.args.n);
            async { Ok::<_, Infallible>(WorkOutcome::Complete) }
        })?;
        let client = Client::builder(pool(url, settings.connections).await?)
            .workers(workers)
            .fetch_cooldown(settings.fetch_cooldown)
            .queue(QUEUE_DEFAULT, settings.queue)
            .build()?;
        client.start()?.wait().await?;
        Ok(())
    }
}

async fn pool(url: &str, connections: u32) -> Result<PgPool, Failure> {
    Ok(PgPoolOptions::new().max_connections(connections).connect(url).await?)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    peers_protocol::run::<River>().await
}
