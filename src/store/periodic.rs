//! Ticks of periodic jobs.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::sql;
use crate::enqueue::NewJob;
use crate::job::JobId;
use crate::{Database, Error};

/// The tick of a kind, and the database's clock when it was read.
pub(crate) struct Tick {
    pub kind: String,
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
            sql!("register_periodic"),
            &[(&kind, Type::TEXT), (&schedule, Type::TEXT), (&first_tick, Type::TIMESTAMPTZ)],
        )
        .await?;
    Ok(())
}

pub(crate) async fn read_ticks(database: &Database, kinds: &[&str]) -> Result<Vec<Tick>, Error> {
    let rows = database.client().await?.query_typed(sql!("read_ticks"), &[(&kinds, Type::TEXT_ARRAY)]).await?;
    rows.iter()
        .map(|row| {
            Ok(Tick {
                kind: row.try_get("kind")?,
                first: row.try_get("first_tick")?,
                next: row.try_get("next_tick")?,
                read_at: row.try_get("read_at")?,
            })
        })
        .collect()
}

/// Moves the tick from `from` to `to` and enqueues its job. None where another worker did.
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
            sql!("fire_tick"),
            &[
                (&job.kind, Type::TEXT),
                (&from, Type::TIMESTAMPTZ),
                (&to, Type::TIMESTAMPTZ),
                (&job.args, Type::JSONB),
                (&job.queue, Type::TEXT),
                (&i32::from(job.priority.number()), Type::INT4),
                (&job.max_attempts(), Type::INT4),
            ],
        )
        .await?;
    Ok(row.map(|row| row.try_get("id")).transpose()?)
}
