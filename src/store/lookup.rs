//! Reading jobs and figures.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row, SimpleQueryMessage, SimpleQueryRow};

use super::sql;
use crate::Error;
use crate::job::{JobId, JobRecord, State, StoredJson, StoredTime};
use crate::operate::{Count, FailedFilter, ListFilter, QueueStats};

/// The most that a figure of `stats` says.
const COUNT_CAP: i64 = 10_000;

pub(crate) async fn find_job(client: &impl GenericClient, id: JobId) -> Result<Option<JobRecord>, Error> {
    let row = client.query_typed_opt(sql!("find_job"), &[(&id, Type::INT8)]).await?;
    row.map(|row| job_record(&row)).transpose()
}

pub(crate) async fn list_jobs(client: &impl GenericClient, filter: &ListFilter) -> Result<Vec<JobRecord>, Error> {
    let state = filter.state.map(State::as_str);
    let rows = client
        .query_typed(
            sql!("list_jobs"),
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

/// The failed jobs, each with the time of its failure.
pub(crate) async fn list_failed(
    client: &impl GenericClient,
    filter: &FailedFilter,
) -> Result<Vec<(DateTime<Utc>, JobRecord)>, Error> {
    let since = filter.since.map(|since| since.as_secs_f64());
    let retryable = filter.state != Some(State::Discarded);
    let discarded = filter.state != Some(State::Retryable);
    let (after_time, after_id) = filter.after.map_or((None, None), |(time, id)| (Some(time), Some(id)));
    let rows = client
        .query_typed(
            sql!("list_failed"),
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

/// Figures of all queues. The statement takes no values; a caller's transaction goes on without JIT.
pub(crate) async fn queue_stats(client: &impl GenericClient) -> Result<Vec<QueueStats>, Error> {
    let messages = client.simple_query(sql!("queue_stats")).await?;
    messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(queue_figures(row)),
            _ => None,
        })
        .collect()
}

fn queue_figures(row: &SimpleQueryRow) -> Result<QueueStats, Error> {
    let text = |column: &'static str| -> Result<Option<&str>, Error> { Ok(row.try_get(column)?) };
    let flag = |column| Ok::<_, Error>(text(column)? == Some("t"));
    let number = |column| text(column)?.unwrap_or_default().parse::<i64>().map_err(|_| unreadable(column));
    let count = |column, cut| {
        let found = number(column)?;
        Ok::<_, Error>(Count { value: found.min(COUNT_CAP), capped: cut || found > COUNT_CAP })
    };
    let oldest = "oldest_waiting_seconds";
    Ok(QueueStats {
        queue: text("queue")?.unwrap_or_default().to_owned(),
        available: count("available", flag("due_cut")?)?,
        running: count("running", false)?,
        scheduled: count("scheduled", flag("later_cut")?)?,
        retryable: count("retryable", flag("failed_cut")?)?,
        oldest_waiting_seconds: text(oldest)?.map(|age| age.parse().map_err(|_| unreadable(oldest))).transpose()?,
        workers: number("workers")?,
        paused: flag("paused")?,
    })
}

fn unreadable(column: &'static str) -> Error {
    Error::invalid(column, "of queue_stats is not a number")
}

fn job_record(row: &Row) -> Result<JobRecord, Error> {
    let json = |column: &str| -> Result<_, Error> {
        let stored: StoredJson = row.try_get(column)?;
        stored.into_raw().map_err(|error| Error::invalid("args", format!("stored in job is not JSON: {error}")))
    };
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
    })
}

/// The unique key that a finished job had.
pub(crate) async fn unique_key_of(client: &impl GenericClient, id: JobId) -> Result<Option<String>, Error> {
    let row = client.query_typed_opt(sql!("unique_key_of"), &[(&id, Type::INT8)]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.flatten())
}

fn time(row: &Row, column: &str) -> Result<Option<DateTime<Utc>>, Error> {
    Ok(row.try_get::<_, Option<StoredTime>>(column)?.map(|StoredTime(time)| time))
}
