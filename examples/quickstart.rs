//! The smallest whole program: a kind of job, one job, and a worker that runs it and then stops.
//!
//! ```sh
//! scripts/services start; set -a; . .dev/env; set +a
//! worker migrate
//! cargo run --example quickstart
//! ```

use std::error::Error;
use std::time::Duration;

use postrider::{Context, Database, Job, Shutdown, State, Waiter, Worker};
use serde::{Deserialize, Serialize};

const QUEUE: &str = "example_quickstart";

/// The payload of a job. It is stored as JSON.
#[derive(Serialize, Deserialize)]
struct Greet {
    name: String,
}

impl Job for Greet {
    const KIND: &'static str = "example_quickstart_greet";
    // Without it, the jobs of this kind are in the queue `default`.
    const QUEUE: Option<&'static str> = Some(QUEUE);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    let database = Database::from_url(&url)?;

    // Whoever enqueues needs no worker: the job waits in the database until there is one.
    let client = database.client().await?;
    let job = postrider::enqueue(&client, &Greet { name: "Ada".into() }).awaited().await?;
    drop(client);
    println!("enqueued job {}", job.id);

    // A service that only works would pass `Shutdown::on_signals()?`, and `.await` the run itself.
    let shutdown = Shutdown::new();
    let worker =
        Worker::new(database.clone(), ()).queue(QUEUE, 10).handle(|greet: Greet, cx: Context<()>| async move {
            println!("attempt {} of job {}: hello, {}!", cx.attempt(), cx.job_id(), greet.name);
            Ok(())
        });
    let running = tokio::spawn(worker.run(shutdown.clone()));

    let done = Waiter::new(&database)
        .wait(job.id, Duration::from_secs(10))
        .await?
        .ok_or("the job has not finished within 10 s")?;
    println!("job {} is {}", done.id, done.state);
    assert_eq!(done.state, State::Completed);

    // Graceful: the worker claims no more jobs, waits for those that run, and records their outcomes.
    shutdown.begin();
    let summary = running.await??;
    println!("the worker has stopped, and {} of its jobs were cut off", summary.abandoned);
    assert_eq!(summary.abandoned, 0);
    Ok(())
}
