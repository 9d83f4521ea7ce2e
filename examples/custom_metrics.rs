//! Metrics of your own from the events of a worker: how the attempts of each kind end, and how long claims take.
//!
//! `Worker::metrics` has the totals of a worker. The events say which job, of which kind.
//!
//! ```sh
//! scripts/services start; set -a; . .dev/env; set +a
//! worker migrate
//! cargo run --example custom_metrics
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use postrider::observe::{Event, EventStream};
use postrider::{Context, Database, Job, JobError, NewJob, Shutdown, Waiter, Worker};
use serde::{Deserialize, Serialize};

const QUEUE: &str = "example_custom_metrics";

#[derive(Serialize, Deserialize)]
struct SendMail {
    is_flaky: bool,
}

impl Job for SendMail {
    const KIND: &'static str = "example_custom_metrics_send_mail";
    const QUEUE: Option<&'static str> = Some(QUEUE);
}

#[derive(Serialize, Deserialize)]
struct MakeReport {
    is_possible: bool,
}

impl Job for MakeReport {
    const KIND: &'static str = "example_custom_metrics_make_report";
    const QUEUE: Option<&'static str> = Some(QUEUE);
}

#[derive(Default)]
struct Counts {
    // By kind and outcome.
    attempts: BTreeMap<(String, &'static str), u64>,
    claims: u64,
    longest_claim: Duration,
    missed: u64,
}

impl Counts {
    fn add(&mut self, kind: impl Into<String>, outcome: &'static str) {
        *self.attempts.entry((kind.into(), outcome)).or_default() += 1;
    }

    fn of(&self, kind: &str, outcome: &'static str) -> u64 {
        self.attempts.get(&(kind.to_owned(), outcome)).copied().unwrap_or_default()
    }
}

/// Counts until the worker has ended.
async fn count(mut events: EventStream) -> Counts {
    let mut counts = Counts::default();
    while let Some(event) = events.next().await {
        match event {
            Event::JobFinished { kind, state, .. } => counts.add(kind, state.as_str()),
            Event::JobRetried { kind, .. } => counts.add(kind, "failed"),
            Event::ClaimFinished { took, .. } => {
                counts.claims += 1;
                counts.longest_claim = counts.longest_claim.max(took);
            }
            // Whoever reads too slowly loses events: the worker does not wait for its observers.
            Event::Missed { count } => counts.missed += count,
            _ => {}
        }
    }
    counts
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    let database = Database::from_url(&url)?;
    let worker = Worker::new(database.clone(), ())
        .queue(QUEUE, 10)
        .retry_policy(|_| Duration::from_millis(50))
        .handle(|mail: SendMail, cx: Context<()>| async move {
            if mail.is_flaky && cx.attempt() == 1 { Err(JobError::retry("no route to host")) } else { Ok(()) }
        })
        .handle(|report: MakeReport, _: Context<()>| async move {
            if report.is_possible { Ok(()) } else { Err(JobError::discard("no data")) }
        });
    // Before the run, so that no event is missed.
    let counting = tokio::spawn(count(worker.events()));
    let shutdown = Shutdown::new();
    let running = tokio::spawn(worker.run(shutdown.clone()));

    let jobs = [
        NewJob::of(&SendMail { is_flaky: false })?,
        NewJob::of(&SendMail { is_flaky: true })?,
        NewJob::of(&MakeReport { is_possible: true })?,
        NewJob::of(&MakeReport { is_possible: false })?,
    ];
    let (client, waiter) = (database.client().await?, Waiter::new(&database));
    for job in postrider::enqueue_many(&client, &jobs).await? {
        waiter.wait(job.id, Duration::from_secs(5)).await?.ok_or("a job has not finished within 5 s")?;
    }
    shutdown.begin();
    running.await??;
    // The stream has ended with the worker.
    let counts = counting.await?;
    for ((kind, outcome), count) in &counts.attempts {
        println!("attempts_total{{kind=\"{kind}\",outcome=\"{outcome}\"}} {count}");
    }
    println!("claims_total {}\nclaim_longest_seconds {}", counts.claims, counts.longest_claim.as_secs_f64());
    // At least: a run that was killed may have left jobs for this one.
    assert!(counts.of(SendMail::KIND, "completed") >= 2 && counts.of(SendMail::KIND, "failed") >= 1);
    assert!(counts.of(MakeReport::KIND, "completed") >= 1 && counts.of(MakeReport::KIND, "discarded") >= 1);
    assert!(counts.claims >= 1 && counts.missed == 0);
    Ok(())
}
