//! Effects that happen exactly once: the handler completes its job in the transaction of its effect.
//!
//! A handler may run twice, since a worker may die at any moment. If the effect is a write to the same database, the
//! effect and the completion commit together, so that no crash can come between them. Two mishaps show it: one right
//! before the commit, one right after.
//!
//! ```sh
//! scripts/services start; set -a; . .dev/env; set +a
//! worker migrate
//! cargo run --example exactly_once
//! ```

use std::error::Error;
use std::time::Duration;

use postrider::{Context, Database, Job, JobError, Shutdown, State, Waiter, Worker};
use serde::{Deserialize, Serialize};

const QUEUE: &str = "example_exactly_once";

// No constraint forbids two rows of one job: nothing but the queue keeps it to one.
const TABLES: &str = "
    CREATE SCHEMA IF NOT EXISTS example_exactly_once;
    CREATE TABLE IF NOT EXISTS example_exactly_once.ledger (job_id bigint NOT NULL, cents bigint NOT NULL)";
const BOOK: &str = "INSERT INTO example_exactly_once.ledger (job_id, cents) VALUES ($1, $2)";
const BOOKED: &str = "SELECT count(*) FROM example_exactly_once.ledger WHERE job_id = $1 AND cents = $2";

const CENTS: i64 = 4200;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Mishap {
    BeforeCommit,
    AfterCommit,
}

#[derive(Serialize, Deserialize)]
struct Deposit {
    cents: i64,
    /// What happens to the first attempt.
    mishap: Mishap,
}

impl Job for Deposit {
    const KIND: &'static str = "example_exactly_once_deposit";
    const QUEUE: Option<&'static str> = Some(QUEUE);
}

async fn deposit(job: Deposit, cx: Context<()>) -> Result<(), JobError> {
    let mishap = (cx.attempt() == 1).then_some(job.mishap);
    let mut client = cx.database().client().await?;
    let tx = client.transaction().await?;
    tx.execute(BOOK, &[&cx.job_id(), &job.cents]).await?;
    // The last statement before the commit, since it locks the row of the job. If another worker has taken the job
    // over meanwhile, it returns an error, and the effect is rolled back with it.
    cx.complete_in(&tx).await?;
    if mishap == Some(Mishap::BeforeCommit) {
        // What Postgres does when the connection of a dead process is gone.
        tx.rollback().await?;
        return Err(JobError::retry("died before the commit"));
    }
    tx.commit().await?;
    if mishap == Some(Mishap::AfterCommit) {
        return Err(JobError::retry("the answer to the commit was lost"));
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    let database = Database::from_url(&url)?;
    let client = database.client().await?;
    client.batch_execute(TABLES).await?;

    let shutdown = Shutdown::new();
    let worker =
        Worker::new(database.clone(), ()).queue(QUEUE, 10).retry_policy(|_| Duration::from_millis(50)).handle(deposit);
    let running = tokio::spawn(worker.run(shutdown.clone()));

    let waiter = Waiter::new(&database);
    // The attempt that died left nothing, so there is a second one. The attempt whose answer was lost has completed its
    // job, so there is none.
    for (mishap, attempts) in [(Mishap::BeforeCommit, 2), (Mishap::AfterCommit, 1)] {
        let job = postrider::enqueue(&client, &Deposit { cents: CENTS, mishap }).awaited().await?;
        let done = waiter.wait(job.id, Duration::from_secs(5)).await?.ok_or("the job has not finished within 5 s")?;
        let booked: i64 = client.query_one(BOOKED, &[&job.id, &CENTS]).await?.try_get(0)?;
        println!("{mishap:?}: job {} is {} by attempt {}, booked {booked} time", job.id, done.state, done.attempt);
        for failure in done.attempt_errors() {
            println!("    attempt {} had failed: {}", failure.attempt, failure.error);
        }
        assert_eq!((done.state, done.attempt), (State::Completed, attempts));
        assert_eq!(booked, 1);
    }

    shutdown.begin();
    running.await??;
    Ok(())
}
