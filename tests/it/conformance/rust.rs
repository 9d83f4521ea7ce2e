//! By the Rust library.

use std::time::Duration;

use postrider::admin::{self, Count, QueueStats};
use postrider::enqueue::enqueue_job;
use postrider::{Args, Enqueued, Error, NewJob, Priority, Waiter, enqueue_many};
use serde_json::{Value, json};
use tokio_postgres::Client as Connection;

use super::client::{Client, Options, number, text};
use crate::support::database::TestDatabase;

/// A connection, and a waiter of the same database.
pub struct Rust {
    connection: Connection,
    waiter: Waiter,
}

impl Rust {
    pub async fn new(db: &TestDatabase) -> Self {
        Self { connection: db.connect().await, waiter: Waiter::new(&db.database) }
    }

    async fn retry(&self, options: &Options) -> Result<Value, Error> {
        let id = number(options, "id");
        let outcome = if options.contains_key("only_failed") {
            match admin::retry_failed(&self.connection, id).await {
                Ok(true) => "retried",
                Ok(false) => "not_failed",
                Err(Error::KeyTaken { .. }) => "key_taken",
                Err(other) => return Err(other),
            }
        } else {
            match admin::retry(&self.connection, id).await {
                Ok(_) => "retried",
                Err(Error::InvalidState { .. }) => "running",
                Err(Error::KeyTaken { .. }) => "key_taken",
                Err(Error::NotFound(_)) => "not_found",
                Err(other) => return Err(other),
            }
        };
        Ok(json!(outcome))
    }

    async fn cancel(&self, id: i64) -> Result<Value, Error> {
        let outcome = match admin::cancel(&self.connection, id).await {
            Ok(job) if job.state.is_finished() => "cancelled",
            Ok(_) => "cancel_requested",
            Err(Error::InvalidState { .. }) => "finished",
            Err(Error::NotFound(_)) => "not_found",
            Err(other) => return Err(other),
        };
        Ok(json!(outcome))
    }

    async fn result(&self, call: &str, options: &Options) -> Result<Value, Error> {
        let id = || number(options, "id");
        let queue = || text(options, "queue").unwrap();
        match call {
            "enqueue" => Ok(as_json(&enqueue_job(&self.connection, new_job(options)?).await?)),
            "enqueue_many" => {
                let jobs = options["jobs"].as_array().unwrap().iter().map(|job| new_job(job.as_object().unwrap()));
                let jobs = jobs.collect::<Result<Vec<_>, _>>()?;
                Ok(enqueue_many(&self.connection, &jobs).await?.iter().map(as_json).collect())
            }
            "job" => Ok(serde_json::to_value(admin::find(&self.connection, id()).await?).unwrap()),
            "retry" => self.retry(options).await,
            "cancel" => self.cancel(id()).await,
            "pause" => Ok(json!(admin::pause(&self.connection, queue()).await?)),
            "resume" => Ok(json!(admin::resume(&self.connection, queue()).await?)),
            "stats" => Ok(admin::stats(&self.connection).await?.iter().map(stats_row).collect()),
            "wait" => {
                let timeout = Duration::from_millis(number(options, "timeout_ms").unsigned_abs());
                Ok(serde_json::to_value(self.waiter.wait(id(), timeout).await?).unwrap())
            }
            other => panic!("no call {other}"),
        }
    }
}

impl Client for Rust {
    fn lacks(&self, _: &str, options: &Options) -> bool {
        options.contains_key("tags")
    }

    async fn call(&mut self, call: &str, options: &Options) -> Result<Value, String> {
        self.result(call, options).await.map_err(|error| error.to_string())
    }

    async fn transaction(&mut self, statement: &str) {
        self.connection.batch_execute(statement).await.unwrap();
    }
}

fn new_job(options: &Options) -> Result<NewJob, Error> {
    let args = options.get("args").map_or_else(|| Ok(Args::default()), Args::of)?;
    let mut job = NewJob::new(text(options, "kind").unwrap(), args)?;
    if let Some(queue) = text(options, "queue") {
        job = job.queue(queue)?;
    }
    if options.contains_key("priority") {
        job = job.priority(Priority::try_from(number(options, "priority"))?);
    }
    if let Some(time) = text(options, "run_at") {
        job = job.run_at(time.parse::<chrono::DateTime<chrono::Utc>>().unwrap())?;
    }
    if options.contains_key("max_attempts") {
        job = job.max_attempts(u32::try_from(number(options, "max_attempts")).unwrap())?;
    }
    match text(options, "unique_key") {
        Some(key) => job.unique_key(key),
        None => Ok(job),
    }
}

fn as_json(enqueued: &Enqueued) -> Value {
    json!({"id": enqueued.id, "outcome": enqueued.outcome})
}

fn stats_row(stats: &QueueStats) -> Value {
    let Count { value: available, capped: available_capped } = stats.available;
    let Count { value: running, capped: running_capped } = stats.running;
    let Count { value: scheduled, capped: scheduled_capped } = stats.scheduled;
    let Count { value: retryable, capped: retryable_capped } = stats.retryable;
    json!({
        "queue": stats.queue,
        "available": available,
        "available_capped": available_capped,
        "running": running,
        "running_capped": running_capped,
        "scheduled": scheduled,
        "scheduled_capped": scheduled_capped,
        "retryable": retryable,
        "retryable_capped": retryable_capped,
        "oldest_waiting_seconds": stats.oldest_waiting_seconds,
        "workers": stats.workers,
        "paused": stats.paused,
    })
}
