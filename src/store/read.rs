//! The statements that read jobs and stats.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::job::{Count, FailedFilter, ListFilter, QueueRecord, QueueStats, ServedQueue, WorkerRecord};
use crate::job::{JobId, JobRecord, State, StoredJson, StoredTime};
use crate::postgres::{Queryable, Statements};
use crate::sql::sql;

pub(crate) async fn find_job(client: &impl Queryable, id: JobId) -> Result<Option<JobRecord>, Error> {
    let row = Statements::on(client).query_typed_opt(sql!("read/find_job"), &[(&id, Type::INT8)]).await?;
    row.map(|row| job_record(&row)).transpose()
}

pub(crate) async fn list_jobs(client: &impl Queryable, filter: &ListFilter) -> Result<Vec<JobRecord>, Error> {
    let state = filter.state.map(State::as_str);
    let rows = Statements::on(client)
        .query_typed(
            sql!("read/list_jobs"),
            &[
                (&state, Type::TEXT),
                (&filter.kind, Type::TEXT),
                (&filter.queue, Type::TEXT),
                (&filter.after, Type::INT8),
                (&i64::from(filter.limit), Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(job_record).collect()
}

/// Failed jobs, each with the time of its failure.
pub(crate) async fn list_failed(
    client: &impl Queryable,
    filter: &FailedFilter,
) -> Result<Vec<(DateTime<Utc>, JobRecord)>, Error> {
    let since = filter.since.map(|since| since.as_secs_f64());
    let retryable = filter.state != Some(State::Discarded);
    let discarded = filter.state != Some(State::Retryable);
    let (after_time, after_id) = filter.checked_after()?.unzip();
    let rows = Statements::on(client)
        .query_typed(
            sql!("read/list_failed"),
            &[
                (&filter.kind, Type::TEXT),
                (&filter.queue, Type::TEXT),
                (&since, Type::FLOAT8),
                (&retryable, Type::BOOL),
                (&discarded, Type::BOOL),
                (&after_time, Type::TIMESTAMPTZ),
                (&after_id, Type::INT8),
                (&i64::from(filter.limit), Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(|row| Ok((time(row, "failed_at")?.unwrap_or_default(), job_record(row)?))).collect()
}

/// The stats of all queues.
pub(crate) async fn stats(client: &impl Queryable) -> Result<Vec<QueueStats>, Error> {
    let rows = Statements::on(client).query_typed(sql!("read/stats"), &[]).await?;
    rows.iter().map(queue_stats).collect()
}

fn queue_stats(row: &Row) -> Result<QueueStats, Error> {
    let count = |value, capped| Ok::<_, Error>(Count { value: row.try_get(value)?, capped: row.try_get(capped)? });
    Ok(QueueStats {
        queue: row.try_get("queue")?,
        available: count("available", "available_capped")?,
        running: count("running", "running_capped")?,
        scheduled: count("scheduled", "scheduled_capped")?,
        retryable: count("retryable", "retryable_capped")?,
        oldest_waiting_seconds: row.try_get("oldest_waiting_seconds")?,
        workers: row.try_get("workers")?,
        paused: row.try_get("paused")?,
    })
}

/// The queues, by name.
pub(crate) async fn queues(client: &impl Queryable) -> Result<Vec<QueueRecord>, Error> {
    let rows = Statements::on(client).query_typed(sql!("read/queues"), &[]).await?;
    let queue = |row: &Row| {
        Ok(QueueRecord {
            queue: row.try_get("queue")?,
            paused_at: time(row, "paused_at")?,
            workers: row.try_get("workers")?,
            concurrency: row.try_get("concurrency")?,
        })
    };
    rows.iter().map(queue).collect()
}

/// The worker processes, the oldest first.
pub(crate) async fn workers(client: &impl Queryable) -> Result<Vec<WorkerRecord>, Error> {
    let rows = Statements::on(client).query_typed(sql!("read/workers"), &[]).await?;
    let worker = |row: &Row| {
        let (queues, concurrency): (Vec<String>, Vec<i32>) = (row.try_get("queues")?, row.try_get("concurrency")?);
        let queues = queues
            .into_iter()
            .zip(concurrency.into_iter().chain(std::iter::repeat(0)))
            .map(|(queue, concurrency)| ServedQueue { queue, concurrency });
        Ok(WorkerRecord {
            id: row.try_get("id")?,
            host: row.try_get("host")?,
            pid: row.try_get("pid")?,
            version: row.try_get("version")?,
            queues: queues.collect(),
            started_at: time(row, "started_at")?.unwrap_or_default(),
            heartbeat_at: time(row, "heartbeat_at")?.unwrap_or_default(),
            live: row.try_get("live")?,
        })
    };
    rows.iter().map(worker).collect()
}

fn job_record(row: &Row) -> Result<JobRecord, Error> {
    let raw = |stored: StoredJson, column: &'static str| {
        let unreadable = |error: serde_json::Error| {
            Error::invalid(column, format!("stored in job is not JSON: {error}")).caused_by(error)
        };
        stored.into_raw().map_err(unreadable)
    };
    let json = |column| -> Result<_, Error> { raw(row.try_get(column)?, column) };
    let output: Option<StoredJson> = row.try_get("output")?;
    let state: &str = row.try_get("state")?;
    Ok(JobRecord {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        queue: row.try_get("queue")?,
        priority: row.try_get("priority")?,
        state: state.parse()?,
        args: json("args")?,
        attempt: row.try_get("attempt")?,
        max_attempts: row.try_get("max_attempts")?,
        run_at: time(row, "run_at")?.unwrap_or_default(),
        created_at: time(row, "created_at")?.unwrap_or_default(),
        attempted_at: time(row, "attempted_at")?,
        attempted_by: row.try_get("attempted_by")?,
        finished_at: time(row, "finished_at")?,
        error: row.try_get("error")?,
        errors: json("errors")?,
        output: output.map(|output| raw(output, "output")).transpose()?,
    })
}

/// The unique key of a finished job.
pub(crate) async fn unique_key_of(client: &impl Queryable, id: JobId) -> Result<Option<String>, Error> {
    let row = Statements::on(client).query_typed_opt(sql!("read/unique_key_of"), &[(&id, Type::INT8)]).await?;
    Ok(row.map(|row| row.try_get("unique_key")).transpose()?)
}

fn time(row: &Row, column: &str) -> Result<Option<DateTime<Utc>>, Error> {
    Ok(row.try_get::<_, Option<StoredTime>>(column)?.map(|StoredTime(time)| time))
}
