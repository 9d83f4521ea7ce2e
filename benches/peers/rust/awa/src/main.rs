//! awa. `best` follows its own benchmark of the queue storage: no deadline, so that claims take the
//! compact path, claims of 512, and as many slots.

use std::ops::Range;
use std::time::Duration;

use awa::insert::params;
use awa::{Client, InsertOpts, InsertParams, JobArgs, JobResult, QueueConfig, QueueStorage, QueueStorageConfig};
use peers_protocol::{Driver, Failure, Tally};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

const QUEUE: &str = "default";

#[derive(Serialize, Deserialize, JobArgs)]
struct Nothing {
    n: u64,
}

struct Awa {
    pool: PgPool,
    storage: QueueStorage,
}

struct Settings {
    queue: QueueConfig,
    connections: u32,
}

impl Driver for Awa {
    type Settings = Settings;

    fn preset(name: &str) -> Option<Settings> {
        match name {
            "defaults" => Some(Settings { queue: QueueConfig::default(), connections: 10 }),
            "best" => {
                let queue = QueueConfig {
                    max_workers: 512,
                    claim_batch_size: 512,
                    poll_interval: Duration::from_millis(50),
                    deadline_duration: Duration::ZERO,
                    ..QueueConfig::default()
                };
                Some(Settings { queue, connections: 24 })
            }
            _ => None,
        }
    }

    async fn install(url: &str, _: Settings) -> Result<(), Failure> {
        awa::migrations::run(&pool(url, 2).await?).await?;
        Ok(())
    }

    async fn connect(url: &str, _: Settings) -> Result<Self, Failure> {
        Ok(Self { pool: pool(url, 1).await?, storage: QueueStorage::new(QueueStorageConfig::default())? })
    }

    async fn enqueue(&mut self, n: u64) -> Result<(), Failure> {
        awa::insert_with(&self.pool, &Nothing { n }, InsertOpts { queue: QUEUE.into(), ..Default::default() }).await?;
        Ok(())
    }

    async fn enqueue_bulk(&mut self, numbers: Range<u64>) -> Result<(), Failure> {
        let jobs: Vec<InsertParams> = numbers.map(|n| params(&Nothing { n })).collect::<Result<_, _>>()?;
        self.storage.enqueue_params_copy(&self.pool, &jobs).await?;
        Ok(())
    }

    async fn work(url: &str, settings: Settings, tally: Tally) -> Result<(), Failure> {
        let client = Client::builder(pool(url, settings.connections).await?)
            .queue(QUEUE, settings.queue)
            .register::<Nothing, _, _>(move |job, _| {
                tally.start(job.n);
                async { Ok(JobResult::Completed) }
            })
            .build()?;
        client.start().await?;
        std::future::pending().await
    }
}

async fn pool(url: &str, connections: u32) -> Result<PgPool, Failure> {
    Ok(PgPoolOptions::new().max_connections(connections).connect(url).await?)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    peers_protocol::run::<Awa>().await
}
