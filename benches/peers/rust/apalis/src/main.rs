//! apalis-postgres. `defaults` is the worker of its README, which looks for tasks again at its
//! heartbeat, every 30 s, once the queue was empty. `best` listens and polls, fetches and records by
//! the thousand, runs tasks in parallel, and leaves out the extra lock of each task. Without stored
//! results it would be faster still, but then no task is ever acknowledged.

use std::ops::Range;
use std::time::Duration;

use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage};
use peers_protocol::{Driver, Failure, Tally};
use serde::{Deserialize, Serialize};

const QUEUE: &str = "default";

#[derive(Debug, Serialize, Deserialize)]
struct Nothing {
    n: u64,
}

struct Apalis {
    storage: PostgresStorage<Nothing>,
}

/// No more than a name: the backends of the two have different types.
enum Settings {
    Defaults,
    Best,
}

impl Driver for Apalis {
    type Settings = Settings;

    fn preset(name: &str) -> Option<Settings> {
        match name {
            "defaults" => Some(Settings::Defaults),
            "best" => Some(Settings::Best),
            _ => None,
        }
    }

    async fn install(url: &str, _: Settings) -> Result<(), Failure> {
        PostgresStorage::setup(&PgPool::connect(url).await?).await?;
        Ok(())
    }

    async fn connect(url: &str, _: Settings) -> Result<Self, Failure> {
        let pool = PgPool::connect(url).await?;
        Ok(Self { storage: PostgresStorage::new(&pool).with_config(Config::default().queue(QUEUE)) })
    }

    async fn enqueue(&mut self, n: u64) -> Result<(), Failure> {
        Ok(self.storage.push(Nothing { n }).await?)
    }

    async fn enqueue_bulk(&mut self, numbers: Range<u64>) -> Result<(), Failure> {
        Ok(self.storage.push_bulk(numbers.map(|n| Nothing { n }).collect()).await?)
    }

    async fn work(url: &str, settings: Settings, tally: Tally) -> Result<(), Failure> {
        let pool = PgPool::connect(url).await?;
        let storage = PostgresStorage::new(&pool);
        match settings {
            Settings::Defaults => {
                let backend = storage.with_config(Config::default().queue(QUEUE));
                WorkerBuilder::new("peers").backend(backend).data(tally).build(handle).run().await?;
            }
            Settings::Best => {
                let config = Config::default().queue(QUEUE).batch_size(1000).lock_tasks(false);
                let backend = storage.with_config(config).with_pubsub().poll_with_interval(Duration::from_millis(100));
                WorkerBuilder::new("peers")
                    .backend(backend)
                    .concurrency(1000)
                    .parallelize(tokio::spawn)
                    .data(tally)
                    .build(handle)
                    .run()
                    .await?;
            }
        }
        Ok(())
    }
}

async fn handle(job: Nothing, tally: Data<Tally>) -> Result<(), BoxDynError> {
    tally.start(job.n);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    peers_protocol::run::<Apalis>().await
}
