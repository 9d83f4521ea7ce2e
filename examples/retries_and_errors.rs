//! What a handler can say when it does not simply succeed, and how an operator finds failed jobs and retries them.
//!
//! ```sh
//! scripts/services start; set -a; . .dev/env; set +a
//! worker migrate
//! cargo run --example retries_and_errors
//! ```

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use postrider::admin::{self, FailedFilter};
use postrider::{Context, Database, Job, JobError, Shutdown, State, Waiter, Worker};
use serde::{Deserialize, Serialize};

const QUEUE: &str = "example_retries_and_errors";
const PATIENCE: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(100);

#[derive(Debug, Serialize, Deserialize)]
enum Delivery {
    Flaky,
    RateLimited,
    TooEarly,
    Unwanted,
    Malformed,
    Buggy,
}

impl Job for Delivery {
    const KIND: &'static str = "example_retries_and_errors_delivery";
    const QUEUE: Option<&'static str> = Some(QUEUE);
    const MAX_ATTEMPTS: Option<u32> = Some(3);
}

/// What the handlers share.
#[derive(Default)]
struct Depot {
    is_open: AtomicBool,
    is_repaired: AtomicBool,
}

async fn deliver(job: Delivery, cx: Context<Arc<Depot>>) -> Result<&'static str, JobError> {
    let depot = cx.state();
    let is_repaired = depot.is_repaired.load(Ordering::Relaxed);
    match job {
        // By `?` or `into`, any error becomes a retry after the delay of the policy.
        Delivery::Flaky if cx.attempt() < 3 => Err(io::Error::other("connection reset by peer").into()),
        // The other side has said when to come back.
        Delivery::RateLimited if cx.attempt() == 1 => Err(JobError::retry_after("too many requests", SOON)),
        // Nothing went wrong: neither an attempt nor an error is recorded.
        Delivery::TooEarly if !depot.is_open.swap(true, Ordering::Relaxed) => Err(JobError::snooze(SOON)),
        Delivery::Unwanted => Err(JobError::cancel("the customer has changed their mind")),
        // Another attempt would not help.
        Delivery::Malformed if !is_repaired => Err(JobError::discard("no such postcode")),
        // A panic is a failed attempt. The worker and its other jobs go on.
        Delivery::Buggy if !is_repaired => panic!("the map has no such street"),
        _ => Ok("delivered"),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    let database = Database::from_url(&url)?;
    let client = database.client().await?;
    let depot = Arc::new(Depot::default());

    let shutdown = Shutdown::new();
    let worker = Worker::new(database.clone(), Arc::clone(&depot))
        .queue(QUEUE, 10)
        // Exponential: 40 ms, 80 ms, … A kind may have its own policy: `Job::retry_after`.
        .retry_policy(|attempt| Duration::from_millis(20) * 2_u32.saturating_pow(attempt))
        .handle(deliver);
    let running = tokio::spawn(worker.run(shutdown.clone()));

    let (waiter, mut ids) = (Waiter::new(&database), Vec::new());
    for (job, state, attempts, failures) in [
        (Delivery::Flaky, State::Completed, 3, 2),
        (Delivery::RateLimited, State::Completed, 2, 1),
        (Delivery::TooEarly, State::Completed, 1, 0),
        (Delivery::Unwanted, State::Cancelled, 1, 1),
        (Delivery::Malformed, State::Discarded, 1, 1),
        (Delivery::Buggy, State::Discarded, 3, 3),
    ] {
        let id = postrider::enqueue(&client, &job).awaited().await?.id;
        let done = waiter.wait(id, PATIENCE).await?.ok_or("a job has not finished in time")?;
        println!("{job:?}: {} by attempt {}, last error {:?}", done.state, done.attempt, done.error);
        assert_eq!((done.state, done.attempt, done.attempt_errors().len()), (state, attempts, failures));
        ids.push(id);
    }

    // As `worker failed --kind …`. Jobs that wait for a retry have failed, too, unless the filter leaves them out.
    let (kind, state) = (Some(Delivery::KIND.to_owned()), Some(State::Discarded));
    let mut failed = admin::failed(&client, &FailedFilter { kind, state, ..FailedFilter::default() }).await?;
    // Those of former runs are still in the history.
    failed.retain(|(_, job)| ids.contains(&job.id));
    for (failed_at, job) in &failed {
        let has_trace = job.attempt_errors().pop().is_some_and(|failure| failure.trace.is_some());
        println!("job {} failed at {failed_at}: {:?}, with a trace: {has_trace}", job.id, job.error);
    }
    assert_eq!(failed.len(), 2);
    // Repaired. As by `worker retry`, each job gets all its attempts again.
    depot.is_repaired.store(true, Ordering::Relaxed);
    let failed: Vec<_> = failed.iter().map(|(_, job)| job.id).collect();
    let retried = admin::retry_failed_many(&client, &failed).await?.retried;
    assert_eq!(retried.len(), 2);
    for id in retried {
        let done = waiter.wait(id, PATIENCE).await?.ok_or("a retried job has not finished in time")?;
        println!("job {id} is {} after all", done.state);
        assert_eq!((done.state, done.attempt), (State::Completed, 1));
    }

    shutdown.begin();
    running.await??;
    Ok(())
}
