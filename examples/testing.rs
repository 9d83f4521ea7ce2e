//! Tests of a service's jobs, without a running worker: a handler alone, what is enqueued, jobs together, and crashes.
//!
//! In a service, each function of this file that begins with `test` is a `#[tokio::test]`.
//!
//! ```sh
//! scripts/services start; set -a; . .dev/env; set +a
//! worker migrate
//! cargo run --example testing --features testing
//! ```

use std::error::Error;
use std::time::Duration;

use postrider::testing::{self, Outcome, TestWorker};
use postrider::{Context, Database, Job, JobError, Worker, assert_enqueued, enqueue, refute_enqueued};
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

const QUEUE: &str = "example_testing";

const TABLES: &str = "
    CREATE SCHEMA IF NOT EXISTS example_testing;
    CREATE TABLE IF NOT EXISTS example_testing.payment (order_id bigint NOT NULL)";
const PAY: &str = "INSERT INTO example_testing.payment VALUES ($1)";
const PAID: &str = "SELECT count(*) FROM example_testing.payment WHERE order_id = $1";

type TestResult = Result<(), Box<dyn Error>>;

// The service.

#[derive(Serialize, Deserialize)]
struct Charge {
    order: i64,
    cents: i64,
}

impl Job for Charge {
    const KIND: &'static str = "example_testing_charge";
    const QUEUE: Option<&'static str> = Some(QUEUE);
}

#[derive(Serialize, Deserialize)]
struct AskForReview {
    order: i64,
    mail: String,
}

impl Job for AskForReview {
    const KIND: &'static str = "example_testing_ask_for_review";
    const QUEUE: Option<&'static str> = Some(QUEUE);
}

async fn charge(job: Charge, cx: Context<()>) -> Result<(), JobError> {
    if job.cents <= 0 {
        return Err(JobError::discard("nothing to charge"));
    }
    let tx = cx.begin().await?;
    tx.execute(PAY, &[&job.order]).await?;
    let review = AskForReview { order: job.order, mail: "ada@example.org".into() };
    enqueue(&tx, &review).run_in(Duration::from_hours(7 * 24)).await?;
    // Together with the payment: it happens once, whatever crashes.
    cx.complete_in(&tx).await?;
    tx.commit().await?;
    Ok(())
}

async fn ask_for_review(job: AskForReview, _: Context<()>) -> Result<String, JobError> {
    Ok(format!("How was order {}, {}?", job.order, job.mail))
}

/// The worker of the service. Its program runs it, and its tests use it.
fn worker(database: Database) -> Worker<()> {
    Worker::new(database, ()).queue(QUEUE, 10).handle(charge).handle(ask_for_review)
}

// Its tests.

/// Needs no database.
async fn test_a_handler_alone() -> TestResult {
    let worker = TestWorker::new(worker(testing::no_database()))?;
    let outcome = worker.perform(&Charge { order: 1, cents: 0 }).await?;
    assert!(matches!(outcome, Outcome::Discarded { error, .. } if error == "nothing to charge"));
    let outcome = worker.perform(&AskForReview { order: 1, mail: "bob@example.org".into() }).await?;
    assert_eq!(outcome.output_as::<String>()?.as_deref(), Some("How was order 1, bob@example.org?"));
    Ok(())
}

/// Nothing is kept in the database, so such tests may share one.
async fn test_a_charged_customer_is_asked_for_a_review_a_week_later(database: &Database) -> TestResult {
    let worker = TestWorker::new(worker(database.clone()))?;
    let tx = worker.begin().await?;
    enqueue(&tx, &Charge { order: 2, cents: 4200 }).await?;
    assert_enqueued!(&tx, Charge { order: 2, .. });

    worker.run_due_in(&tx, Duration::ZERO).await?;
    assert_eq!(payments(&tx, 2).await?, 1);
    assert_enqueued!(&tx, AskForReview { order: 2, mail: "ada@example.org" });

    let ran = worker.run_due_in(&tx, Duration::from_hours(8 * 24)).await?;
    assert!(ran.len() == 1 && ran[0].outcome.is_completed(), "{ran:#?}");
    refute_enqueued!(&tx, AskForReview { .. });
    Ok(())
}

/// The same after each fault that may befall a worker.
async fn test_a_customer_is_charged_once(database: &Database) -> TestResult {
    let worker = TestWorker::new(worker(database.clone()))?;
    let charge = Charge { order: 3, cents: 4200 };
    let tx = worker.begin().await?;
    enqueue(&tx, &charge).await?;
    worker.run_due_in(&tx, Duration::ZERO).crash_after_effect().await?;
    assert_eq!(payments(&tx, 3).await?, 1);

    let tx = worker.begin().await?;
    enqueue(&tx, &charge).await?;
    let ran = worker.run_due_in(&tx, Duration::ZERO).lose_lease().await?;
    for attempt in &ran {
        println!("attempt {} of job {}: {:?}", attempt.attempt, attempt.job_id, attempt.outcome);
    }
    assert_eq!(payments(&tx, 3).await?, 1);
    Ok(())
}

async fn payments(client: &Client, order: i64) -> Result<i64, tokio_postgres::Error> {
    client.query_one(PAID, &[&order]).await?.try_get(0)
}

#[tokio::main]
async fn main() -> TestResult {
    let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    let database = Database::from_url(&url)?;
    database.client().await?.batch_execute(TABLES).await?;

    test_a_handler_alone().await?;
    test_a_charged_customer_is_asked_for_a_review_a_week_later(&database).await?;
    test_a_customer_is_charged_once(&database).await?;
    println!("3 tests passed");
    Ok(())
}
