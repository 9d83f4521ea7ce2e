//! `graphile_worker`, the Rust one. `best` is the preset of its own throughput benchmark: a local
//! queue of 5,000 jobs, 500 slots, completions in batches of 5 ms. `best-2` and `best-4` divide these
//! 5,000 among so many local queues, which fetch at the same time.

use std::ops::Range;
use std::time::Duration;

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, WorkerContext, WorkerOptions,
    WorkerUtils,
};
use peers_protocol::{Driver, Failure, Tally};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;

const SCHEMA: &str = "graphile_worker";

#[derive(Serialize, Deserialize)]
struct Nothing {
    n: u64,
}

impl TaskHandler for Nothing {
    const IDENTIFIER: &'static str = "nothing";

    async fn run(self, cx: WorkerContext) -> impl IntoTaskHandlerResult {
        if let Some(tally) = cx.get_ext::<Tally>() {
            tally.start(self.n);
        }
        Ok::<(), String>(())
    }
}

struct Graphile {
    utils: WorkerUtils,
}

enum Settings {
    Defaults,
    Best { local_queues: usize },
}

impl Driver for Graphile {
    type Settings = Settings;

    fn preset(name: &str) -> Option<Settings> {
        match name {
            "defaults" => Some(Settings::Defaults),
            "best" => Some(Settings::Best { local_queues: 1 }),
            "best-2" => Some(Settings::Best { local_queues: 2 }),
            "best-4" => Some(Settings::Best { local_queues: 4 }),
            _ => None,
        }
    }

    async fn install(url: &str, _: Settings) -> Result<(), Failure> {
        producer(url).await?.migrate().await?;
        Ok(())
    }

    async fn connect(url: &str, _: Settings) -> Result<Self, Failure> {
        Ok(Self { utils: producer(url).await? })
    }

    async fn enqueue(&mut self, n: u64) -> Result<(), Failure> {
        self.utils.add_job(Nothing { n }, JobSpec::default()).await?;
        Ok(())
    }

    async fn enqueue_bulk(&mut self, numbers: Range<u64>) -> Result<(), Failure> {
        let jobs: Vec<RawJobSpec> = numbers
            .map(|n| RawJobSpec {
                identifier: Nothing::IDENTIFIER.into(),
                payload: serde_json::json!({ "n": n }),
                spec: JobSpec::default(),
            })
            .collect();
        self.utils.add_raw_jobs(&jobs).await?;
        Ok(())
    }

    async fn work(url: &str, settings: Settings, tally: Tally) -> Result<(), Failure> {
        let options =
            WorkerOptions::default().database_url(url).schema(SCHEMA).add_extension(tally).define_job::<Nothing>();
        let options = match settings {
            Settings::Defaults => options,
            Settings::Best { local_queues } => best(options, local_queues),
        };
        Box::pin(options.init()).await?.run().await?;
        Ok(())
    }
}

fn best(options: WorkerOptions, local_queues: usize) -> WorkerOptions {
    // The size is of each: as many jobs are held in all, however many queues hold them.
    let local_queue = LocalQueueConfig::default().with_size(5000 / local_queues).with_queue_count(local_queues);
    options
        .concurrency(500)
        .poll_interval(Duration::from_millis(5))
        .complete_job_batch_delay(Duration::from_millis(5))
        .fail_job_batch_delay(Duration::from_millis(5))
        .local_queue(local_queue)
}

async fn producer(url: &str) -> Result<WorkerUtils, Failure> {
    let pool = PgPoolOptions::new().max_connections(1).connect(url).await?;
    Ok(WorkerUtils::new(pool, SCHEMA))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    peers_protocol::run::<Graphile>().await
}
