//! Statements that insert, count and remove jobs.

use std::pin::pin;

use chrono::Utc;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient};

use super::sql;
use crate::error::Error;
use crate::job::{Args, JobId};

/// The contents of rows that are inserted without the queue's functions.
pub(in crate::bench) struct BareJob<'j> {
    pub kind: &'j str,
    pub args: &'j Args,
    pub queue: &'j str,
    pub priority: i16,
    pub max_attempts: i16,
}

/// The summary of the jobs in the history.
pub(in crate::bench) struct Finished {
    pub ends: i64,
    pub distinct_ids: i64,
    pub completed: i64,
    /// Seconds from the first claim to the last finish.
    pub from_first_claim: f64,
    /// Seconds from the first insert to the last finish.
    pub from_first_insert: f64,
}

pub(in crate::bench) async fn set_observer_session(client: &Client) -> Result<(), Error> {
    Ok(client.batch_execute(sql!("observer_session")).await?)
}

/// Inserts one row.
pub(in crate::bench) async fn insert_job(client: &Client, job: &BareJob<'_>) -> Result<JobId, Error> {
    let row = client
        .query_typed_one(
            sql!("insert_job"),
            &[
                (&job.kind, Type::TEXT),
                (job.args, Type::JSONB),
                (&job.queue, Type::TEXT),
                (&job.priority, Type::INT2),
                (&job.max_attempts, Type::INT2),
            ],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// Inserts `count` rows in one statement.
pub(in crate::bench) async fn insert_jobs(client: &Client, job: &BareJob<'_>, count: usize) -> Result<(), Error> {
    client
        .query_typed(
            sql!("insert_jobs"),
            &[
                (&vec![job.kind; count], Type::TEXT_ARRAY),
                (&vec![job.args; count], Type::JSONB_ARRAY),
                (&vec![job.queue; count], Type::TEXT_ARRAY),
                (&vec![job.priority; count], Type::INT2_ARRAY),
                (&vec![job.max_attempts; count], Type::INT2_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Inserts `count` rows with COPY.
pub(in crate::bench) async fn copy_jobs(client: &Client, job: &BareJob<'_>, count: u64) -> Result<(), Error> {
    let types = [Type::TEXT, Type::JSONB, Type::TEXT, Type::INT2, Type::TIMESTAMPTZ, Type::INT2];
    let sink = client.copy_in(sql!("copy_jobs")).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
    let now = Utc::now();
    for _ in 0..count {
        writer.as_mut().write(&[&job.kind, job.args, &job.queue, &job.priority, &now, &job.max_attempts]).await?;
    }
    writer.finish().await?;
    Ok(())
}

/// Removes all jobs, unfinished and finished.
pub(in crate::bench) async fn clear_jobs(client: &Client) -> Result<(), Error> {
    Ok(client.batch_execute(sql!("clear_jobs")).await?)
}

/// Removes the finished jobs.
pub(in crate::bench) async fn clear_history(client: &Client) -> Result<(), Error> {
    Ok(client.batch_execute(sql!("clear_history")).await?)
}

pub(in crate::bench) async fn is_drained(client: &Client) -> Result<bool, Error> {
    Ok(client.query_typed_one(sql!("is_drained"), &[]).await?.try_get(0)?)
}

pub(in crate::bench) async fn finished(client: &Client) -> Result<Finished, Error> {
    let row = client.query_typed_one(sql!("finished"), &[]).await?;
    Ok(Finished {
        ends: row.try_get("ends")?,
        distinct_ids: row.try_get("distinct_ids")?,
        completed: row.try_get("completed")?,
        from_first_claim: row.try_get("from_first_claim")?,
        from_first_insert: row.try_get("from_first_insert")?,
    })
}

/// Returns how many of the worker processes receive notifications.
pub(in crate::bench) async fn workers_listening(client: &Client, pids: &[i32]) -> Result<i64, Error> {
    Ok(client.query_typed_one(sql!("workers_listening"), &[(&pids, Type::INT4_ARRAY)]).await?.try_get(0)?)
}

/// Takes a snapshot in the caller's transaction.
pub(in crate::bench) async fn snapshot(client: &impl GenericClient) -> Result<(), Error> {
    client.query_typed_one(sql!("snapshot"), &[]).await?;
    Ok(())
}
