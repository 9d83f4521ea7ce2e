//! The statements of periodic jobs.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::job::NewJob;
use crate::job::{JobId, StoredTime};
use crate::postgres::Database;
use crate::sql::sql;

/// The tick of a kind, and the database's time when it was read. The row may have been edited by hand.
pub(crate) struct Tick {
    pub kind: String,
    /// The schedule that it follows.
    pub schedule: String,
    /// The schedule in force: the one of the worker started last.
    pub in_force: Option<String>,
    pub first: DateTime<Utc>,
    pub next: DateTime<Utc>,
    pub read_at: DateTime<Utc>,
}

pub(crate) async fn register(
    database: &Database,
    kind: &str,
    schedule: &str,
    first_tick: DateTime<Utc>,
) -> Result<(), Error> {
    database
        .client()
        .await?
        .execute_typed(
            &database.statement(sql!("periodic/register_periodic")),
            &[(&kind, Type::TEXT), (&schedule, Type::TEXT), (&first_tick, Type::TIMESTAMPTZ)],
        )
        .await?;
    Ok(())
}

pub(crate) async fn read_ticks(database: &Database, kinds: &[&str]) -> Result<Vec<Tick>, Error> {
    let rows = database
        .client()
        .await?
        .query_typed(&database.statement(sql!("periodic/read_ticks")), &[(&kinds, Type::TEXT_ARRAY)])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Tick {
                kind: row.try_get("kind")?,
                schedule: row.try_get("schedule")?,
                in_force: row.try_get("in_force")?,
                first: row.try_get::<_, StoredTime>("first_tick")?.0,
                next: row.try_get::<_, StoredTime>("next_tick")?.0,
                read_at: row.try_get("read_at")?,
            })
        })
        .collect()
}

/// Moves the tick from `from` to `to` and enqueues its job. Returns None if another worker did.
pub(crate) async fn fire(
    database: &Database,
    job: &NewJob,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Option<JobId>, Error> {
    let row = database
        .client()
        .await?
        .query_typed_opt(
            &database.statement(sql!("periodic/fire_tick")),
            &[
                (&job.kind, Type::TEXT),
                (&from, Type::TIMESTAMPTZ),
                (&to, Type::TIMESTAMPTZ),
                (&job.args, Type::JSONB),
                (&job.queue, Type::TEXT),
                (&i32::from(job.priority.number()), Type::INT4),
                (&job.stored_max_attempts(), Type::INT4),
            ],
        )
        .await?;
    Ok(row.map(|row| row.try_get("id")).transpose()?)
}
