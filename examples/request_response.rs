//! Request and response over the queue: a caller enqueues a job, waits until it is finished, and reads what its handler
//! returned.
//!
//! ```sh
//! scripts/services start; set -a; . .dev/env; set +a
//! worker migrate
//! cargo run --example request_response
//! ```

use std::error::Error;
use std::time::Duration;

use futures_util::future::try_join_all;
use postrider::{Context, Database, Job, JobError, Shutdown, State, Waiter, Worker, admin};
use serde::{Deserialize, Serialize};

const QUEUE: &str = "example_request_response";

#[derive(Serialize, Deserialize)]
struct Divide {
    dividend: i64,
    divisor: i64,
}

impl Job for Divide {
    const KIND: &'static str = "example_request_response_divide";
    const QUEUE: Option<&'static str> = Some(QUEUE);
    // A caller that waits would rather have the error than a late answer.
    const MAX_ATTEMPTS: Option<u32> = Some(1);
}

/// What the handler returns. It is kept with the finished job, as JSON.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Quotient {
    quotient: i64,
    remainder: i64,
}

async fn divide(job: Divide, _: Context<()>) -> Result<Quotient, JobError> {
    let Divide { dividend, divisor } = job;
    match (dividend.checked_div(divisor), dividend.checked_rem(divisor)) {
        (Some(quotient), Some(remainder)) => Ok(Quotient { quotient, remainder }),
        _ => Err(JobError::discard(format!("{dividend} cannot be divided by {divisor}"))),
    }
}

/// One request and its response.
async fn ask(database: &Database, waiter: &Waiter, dividend: i64, divisor: i64) -> Result<Quotient, Box<dyn Error>> {
    let client = database.client().await?;
    // Its end will send a notification. Without `awaited`, the wait has to mark the job first.
    let job = postrider::enqueue(&client, &Divide { dividend, divisor }).awaited().await?;
    // Back to the pool, which is smaller than the number of callers. A wait holds no connection.
    drop(client);
    let done = waiter.wait(job.id, Duration::from_secs(5)).await?.ok_or("no response within 5 s")?;
    match done.output_as::<Quotient>()? {
        Some(quotient) => Ok(quotient),
        None => Err(format!("the job is {}: {}", done.state, done.error.unwrap_or_default()).into()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    let database = Database::from_url(&url)?;
    let shutdown = Shutdown::new();
    let worker = Worker::new(database.clone(), ()).queue(QUEUE, 20).handle(divide);
    let running = tokio::spawn(worker.run(shutdown.clone()));

    // One for the whole process: all waits share its connection.
    let waiter = Waiter::new(&database);
    let quotient = ask(&database, &waiter, 17, 5).await?;
    println!("17 / 5: {quotient:?}");
    assert_eq!(quotient, Quotient { quotient: 3, remainder: 2 });

    let quotients = try_join_all((1..=50).map(|divisor| ask(&database, &waiter, 1000, divisor))).await?;
    println!("{} callers at the same time have got their responses", quotients.len());
    for (divisor, quotient) in (1..).zip(quotients) {
        assert_eq!(quotient, Quotient { quotient: 1000 / divisor, remainder: 1000 % divisor });
    }

    let refused = ask(&database, &waiter, 1, 0).await.err().ok_or("1 / 0 has a quotient")?;
    println!("1 / 0: {refused}");
    assert_eq!(refused.to_string(), "the job is discarded: 1 cannot be divided by 0");

    // A wait that ends without a response leaves the job as it is. A caller that needs it no more cancels it.
    let client = database.client().await?;
    let later = Divide { dividend: 1, divisor: 1 };
    let later = postrider::enqueue(&client, &later).run_in(Duration::from_hours(1)).await?;
    assert!(waiter.wait(later.id, Duration::from_millis(100)).await?.is_none());
    let cancelled = admin::cancel(&client, later.id).await?;
    println!("no response within 100 ms: job {} is {}", cancelled.id, cancelled.state);
    assert_eq!(cancelled.state, State::Cancelled);

    shutdown.begin();
    running.await??;
    Ok(())
}
