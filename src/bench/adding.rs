//! Adding single jobs, each committed alone, on one connection or on several at once.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::error::BenchError;
use super::jobs::{Noop, bare};
use super::rounds::{Limit, per_second};
use super::store;
use crate::{Args, Error, enqueue};

/// How a job is added.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// By the queue's function.
    Enqueue,
    /// By an INSERT of the same row.
    Bare,
}

/// Adds jobs on all connections until each has reached the limit; jobs a second.
pub(super) async fn rate(clients: &[Arc<Client>], way: Way, limit: Limit) -> Result<f64, BenchError> {
    let (start, mut tasks) = (Instant::now(), JoinSet::new());
    for client in clients {
        tasks.spawn(add(Arc::clone(client), way, limit));
    }
    let mut added = 0;
    while let Some(ended) = tasks.join_next().await {
        added += ended??;
    }
    Ok(per_second(added, start.elapsed().as_secs_f64()))
}

/// How many one connection has added.
async fn add(client: Arc<Client>, way: Way, limit: Limit) -> Result<u64, Error> {
    let args = Args::of(&Noop {})?;
    let (job, start, mut added) = (bare(&args), Instant::now(), 0);
    while added < limit.jobs && start.elapsed() < limit.time {
        match way {
            Way::Enqueue => enqueue(&*client, &Noop {}).await?,
            Way::Bare => store::jobs::insert_job(&client, &job).await?,
        };
        added += 1;
    }
    Ok(added)
}
