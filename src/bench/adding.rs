//! Enqueues single jobs, each in its own transaction, on one or several connections.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::error::BenchError;
use super::jobs::{Noop, bare};
use super::rounds::{Limit, per_second};
use super::store;
use crate::enqueue::enqueue;
use crate::error::Error;
use crate::job::Args;

/// How a job is enqueued.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// With the queue's function.
    Enqueue,
    /// With a bare INSERT of the same row.
    Bare,
}

/// Enqueues jobs on all connections until each reaches the limit. Returns jobs per second.
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

/// Enqueues jobs on one connection. Returns their number.
async fn add(client: Arc<Client>, way: Way, limit: Limit) -> Result<u64, Error> {
    let args = Args::of(&Noop::default())?;
    let (job, start, mut added) = (bare(&args), Instant::now(), 0);
    while added < limit.jobs && start.elapsed() < limit.time {
        match way {
            Way::Enqueue => enqueue(&*client, &Noop::default()).await?.id,
            Way::Bare => store::jobs::insert_job(&client, &job).await?,
        };
        added += 1;
    }
    Ok(added)
}
