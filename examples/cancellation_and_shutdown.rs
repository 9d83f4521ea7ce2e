//! A handler that watches for its cancellation: an operator cancels its job while it runs, or its worker shuts down.
//!
//! A shutdown lets running jobs finish for a while. Then it asks them to stop, as a cancel does, and returns them to
//! their queue for another worker, without counting the attempt.
//!
//! ```sh
//! scripts/services start; set -a; . .dev/env; set +a
//! worker migrate
//! cargo run --example cancellation_and_shutdown
//! ```

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use postrider::{Context, Database, Job, JobError, JobId, Shutdown, State, Waiter, Worker, admin};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::timeout;

const QUEUE: &str = "example_cancellation_and_shutdown";
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Serialize, Deserialize)]
enum Export {
    /// Ends only if it is stopped.
    Endless,
    /// Is nearly done when the shutdown begins.
    NearlyDone,
}

impl Job for Export {
    const KIND: &'static str = "example_cancellation_and_shutdown_export";
    const QUEUE: Option<&'static str> = Some(QUEUE);
}

/// What the handlers share.
struct Exporter {
    started: mpsc::UnboundedSender<JobId>,
    shutdown: Shutdown,
}

/// Returns the number of rows.
async fn export(job: Export, cx: Context<Exporter>) -> Result<u32, JobError> {
    cx.state().started.send(cx.job_id())?;
    let rows = async {
        match job {
            Export::Endless => pending().await,
            Export::NearlyDone => cx.state().shutdown.begun().await,
        }
        1000
    };
    tokio::select! {
        biased;
        rows = rows => Ok(rows),
        // There is a second to clean up. After that, the handler is dropped at its next `.await`. What is returned here
        // does not decide: the job is cancelled, or goes back to its queue.
        () = cx.cancelled() => {
            println!("job {} stops", cx.job_id());
            Err(JobError::retry("stopped half-way"))
        }
    }
}

/// Waits until the handler of this job has started.
async fn has_started(started: &mut mpsc::UnboundedReceiver<JobId>, id: JobId) -> Result<(), Box<dyn Error>> {
    let found = async {
        while let Some(other) = started.recv().await {
            if other == id {
                return Ok(());
            }
        }
        Err(Box::<dyn Error>::from("the worker has ended"))
    };
    timeout(PATIENCE, found).await.map_err(|_| "a job has not started in time")?
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    let database = Database::from_url(&url)?;
    let client = database.client().await?;

    // `Shutdown::on_signals()?` begins at SIGINT or SIGTERM. A second signal does not wait for the timeout.
    let shutdown = Shutdown::new();
    let (starts, mut started) = mpsc::unbounded_channel();
    let worker = Worker::new(database.clone(), Exporter { started: starts, shutdown: shutdown.clone() })
        .queue(QUEUE, 10)
        .shutdown_timeout(Duration::from_secs(2))
        .handle(export);
    let running = tokio::spawn(worker.run(shutdown.clone()));

    // A running job cannot be cancelled at once: its worker is asked to stop it.
    let cancelled = postrider::enqueue(&client, &Export::Endless).awaited().await?.id;
    has_started(&mut started, cancelled).await?;
    admin::cancel(&client, cancelled).await?;
    let done = Waiter::new(&database).wait(cancelled, PATIENCE).await?.ok_or("the job was not cancelled in time")?;
    println!("job {cancelled} is {}", done.state);
    assert_eq!(done.state, State::Cancelled);

    let endless = postrider::enqueue(&client, &Export::Endless).await?.id;
    has_started(&mut started, endless).await?;
    let nearly_done = postrider::enqueue(&client, &Export::NearlyDone).await?.id;
    has_started(&mut started, nearly_done).await?;
    println!("the shutdown begins, and jobs {endless} and {nearly_done} run");
    shutdown.begin();
    let summary = running.await??;
    println!("the worker has stopped, and {} of its jobs were cut off", summary.abandoned);
    // More than one, if an interrupted run has left jobs of its own.
    assert!(summary.abandoned >= 1);

    let finished = admin::find(&client, nearly_done).await?.ok_or("the job is gone")?;
    println!("job {nearly_done} is {}", finished.state);
    assert_eq!(finished.state, State::Completed);
    let returned = admin::find(&client, endless).await?.ok_or("the job is gone")?;
    println!("job {endless} is {} for another worker, with {} attempts used", returned.state, returned.attempt);
    assert_eq!((returned.state, returned.attempt), (State::Available, 0));
    // A job that waits is cancelled at once.
    assert_eq!(admin::cancel(&client, endless).await?.state, State::Cancelled);
    Ok(())
}
