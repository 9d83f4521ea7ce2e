//! Micro-benchmarks of single claim, finish and enqueue statements against a real Postgres:
//!
//! ```sh
//! DATABASE_URL=postgres://… cargo bench --features bin --bench queue
//! ```
//!
//! Claim and finish are the statements of `sql/queries/`, prepared on connections with the session settings of a
//! worker. Enqueue uses the public functions. All run in a scratch database, which is dropped at the end. Only the
//! statement is timed, not the setup. For end-to-end figures use `worker bench`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use criterion::{BenchmarkId, Criterion, Throughput};
use deadpool_postgres::{ClientWrapper, Object};
use postrider::schema::MigrationSet;
use postrider::{Database, Job, NewJob, enqueue, enqueue_copy, enqueue_many};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

const CLAIM: &str = include_str!("../sql/queries/claim/claim.sql");
const CLAIM_SESSION: &str = include_str!("../sql/queries/claim/claim_session.sql");
const COMPLETE: &str = include_str!("../sql/queries/finish/complete.sql");
const FINISH_SESSION: &str = include_str!("../sql/queries/finish/finish_session.sql");

/// Jobs per statement.
const BATCHES: [usize; 3] = [1, 100, 1_000];
/// Jobs enqueued at once when too few are left to claim.
const STOCK: usize = 20_000;
/// How long a finished job is kept, in seconds.
const RETENTION: i64 = 86_400;

#[derive(Serialize, Deserialize)]
struct Noop {}

impl Job for Noop {
    const KIND: &'static str = "noop";
}

fn main() -> ExitCode {
    let Some(url) = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()) else {
        eprintln!("DATABASE_URL is not set: set it to the URL of a Postgres whose role may create databases");
        return ExitCode::FAILURE;
    };
    let runtime = Runtime::new().expect("a runtime");
    let name = format!("postrider_micro_{}", Uuid::now_v7().simple());
    let admin = Database::from_url(&url).expect("a good DATABASE_URL");
    let execute = async |statement: String| admin.client().await.unwrap().batch_execute(&statement).await;
    runtime.block_on(execute(format!("CREATE DATABASE {name}"))).expect("CREATE DATABASE");
    // Catches a panic, so that the database is dropped in any case.
    let result = std::panic::catch_unwind(|| measure(&runtime, &beside(&url, &name)));
    runtime.block_on(execute(format!("DROP DATABASE {name} WITH (FORCE)"))).expect("DROP DATABASE");
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns the URL of another database of the same server.
fn beside(url: &str, name: &str) -> String {
    let (address, options) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = address.split_once("://").expect("DATABASE_URL must be a URL, not key=value pairs");
    let host = rest.split_once('/').map_or(rest, |(host, _)| host);
    format!("{scheme}://{host}/{name}?{options}")
}

fn measure(runtime: &Runtime, url: &str) {
    let database = Database::from_url(url).expect("a good URL");
    runtime.block_on(database.migrate(MigrationSet::Queue)).expect("migrations");
    let worker = runtime.block_on(register(&database));
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    claims(&mut criterion, runtime, &database, worker);
    finishes(&mut criterion, runtime, &database, worker);
    enqueues(&mut criterion, runtime, &database);
    criterion.final_summary();
}

/// Registers a worker: without a lease nothing can be claimed.
async fn register(database: &Database) -> Uuid {
    let worker = Uuid::now_v7();
    let insert = "INSERT INTO postrider.worker (id, lock_key, lease_ms, pid, host, version, queues)
                  VALUES ($1, 1, 15000, 1, 'bench', 'bench', '{default}')";
    database.client().await.unwrap().execute(insert, &[&worker]).await.unwrap();
    worker
}

fn claims(criterion: &mut Criterion, runtime: &Runtime, database: &Database, worker: Uuid) {
    let mut group = criterion.benchmark_group("claim");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch.try_into().unwrap()));
        let mut claimer = runtime.block_on(Claimer::new(database, worker));
        group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
            bencher.iter_custom(|count| {
                runtime.block_on(async {
                    let mut spent = Duration::ZERO;
                    for _ in 0..count {
                        claimer.stock(batch).await;
                        let start = Instant::now();
                        claimer.claim(batch).await;
                        spent += start.elapsed();
                    }
                    spent
                })
            });
        });
    }
}

fn finishes(criterion: &mut Criterion, runtime: &Runtime, database: &Database, worker: Uuid) {
    let mut group = criterion.benchmark_group("finish");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch.try_into().unwrap()));
        let mut claimer = runtime.block_on(Claimer::new(database, worker));
        let recorder = runtime.block_on(Finisher::new(database, worker));
        group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
            bencher.iter_custom(|count| {
                runtime.block_on(async {
                    let mut spent = Duration::ZERO;
                    for _ in 0..count {
                        claimer.stock(batch).await;
                        let jobs = claimer.claim(batch).await;
                        let start = Instant::now();
                        recorder.finish(&jobs).await;
                        spent += start.elapsed();
                    }
                    spent
                })
            });
        });
    }
}

fn enqueues(criterion: &mut Criterion, runtime: &Runtime, database: &Database) {
    let mut group = criterion.benchmark_group("enqueue");
    let client = runtime.block_on(database.client()).unwrap();
    runtime.block_on(clear(&client));
    group.throughput(Throughput::Elements(1));
    group.bench_function("single", |bencher| {
        bencher.iter(|| runtime.block_on(async { enqueue(&client, &Noop {}).await.unwrap().id }));
    });
    runtime.block_on(clear(&client));
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("many_of_1000", |bencher| {
        let jobs: Vec<NewJob> = (0..1_000).map(|_| NewJob::of(&Noop {}).unwrap()).collect();
        bencher.iter(|| runtime.block_on(enqueue_many(&client, &jobs).into_future()).unwrap());
    });
    runtime.block_on(clear(&client));
}

/// Opens a connection that never returns to the pool, because its session settings change.
async fn connect(database: &Database) -> ClientWrapper {
    Object::take(database.client().await.unwrap())
}

async fn clear(client: &tokio_postgres::Client) {
    client.batch_execute("TRUNCATE postrider.job, postrider.job_history").await.unwrap();
}

/// A connection that claims like a worker, and one that enqueues the jobs to claim.
struct Claimer {
    client: ClientWrapper,
    producer: ClientWrapper,
    statement: Statement,
    worker: Uuid,
    left: usize,
}

impl Claimer {
    async fn new(database: &Database, worker: Uuid) -> Self {
        let (client, producer) = (connect(database).await, connect(database).await);
        client.batch_execute(CLAIM_SESSION).await.unwrap();
        let types = [
            Type::TEXT_ARRAY,
            Type::INT8_ARRAY,
            Type::TEXT_ARRAY,
            Type::UUID,
            Type::TIMESTAMPTZ_ARRAY,
            Type::INT8_ARRAY,
        ];
        let statement = client.prepare_typed(CLAIM, &types).await.unwrap();
        Self { client, producer, statement, worker, left: 0 }
    }

    /// Ensures that at least `wanted` jobs are due.
    async fn stock(&mut self, wanted: usize) {
        if self.left >= wanted {
            return;
        }
        clear(&self.producer).await;
        let tx = self.producer.transaction().await.unwrap();
        enqueue_copy(&tx, (0..STOCK).map(|_| NewJob::of(&Noop {}))).await.unwrap();
        tx.commit().await.unwrap();
        self.left = STOCK;
    }

    async fn claim(&mut self, batch: usize) -> Vec<Row> {
        let (queues, limits, kinds) = (["default"], [i64::try_from(batch).unwrap()], [Noop::KIND]);
        let (run_ats, ids) = ([DateTime::<Utc>::UNIX_EPOCH; 4], [0_i64; 4]);
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&&queues[..], &&limits[..], &&kinds[..], &self.worker, &&run_ats[..], &&ids[..]];
        let mut rows = self.client.query(&self.statement, &params).await.unwrap();
        // The last row is not a job.
        rows.pop();
        assert_eq!(rows.len(), batch);
        self.left -= batch;
        rows
    }
}

/// A connection that records outcomes like a worker.
struct Finisher {
    client: ClientWrapper,
    statement: Statement,
    worker: Uuid,
}

impl Finisher {
    async fn new(database: &Database, worker: Uuid) -> Self {
        let client = connect(database).await;
        client.batch_execute(FINISH_SESSION).await.unwrap();
        let types = [Type::INT8_ARRAY, Type::INT4_ARRAY, Type::UUID_ARRAY, Type::INT8];
        let statement = client.prepare_typed(COMPLETE, &types).await.unwrap();
        Self { client, statement, worker }
    }

    async fn finish(&self, claimed: &[Row]) {
        let ids: Vec<i64> = claimed.iter().map(|row| row.get(0)).collect();
        let claims: Vec<i32> = claimed.iter().map(|row| row.get(1)).collect();
        let count = claimed.len();
        let workers = vec![self.worker; count];
        let finished = self.client.query(&self.statement, &[&ids, &claims, &workers, &RETENTION]).await.unwrap();
        assert_eq!(finished.len(), count);
    }
}
