//! The statements of periodic jobs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::job::NewJob;
use crate::job::{JobId, StoredTime};
use crate::postgres::{Database, Limits, Params, Statements};
use crate::sql::sql;

/// The limits of a statement about one tick. A row that another session has locked is waited for only briefly, because
/// the ticks of other kinds wait, too.
pub(crate) const LIMITS: Limits = Limits { statement: Duration::from_secs(5), lock: Duration::from_millis(200) };

/// The limits of the statement that enqueues the jobs of a start.
pub(crate) const START_LIMITS: Limits = Limits { statement: Duration::from_secs(5), lock: Duration::from_secs(2) };

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
    let tx = database.begin(LIMITS).await?;
    let params: Params<'_> = &[(&kind, Type::TEXT), (&schedule, Type::TEXT), (&first_tick, Type::TIMESTAMPTZ)];
    tx.commit_with(Statements::on(&tx).query_typed(sql!("periodic/register_periodic"), params)).await?;
    Ok(())
}

pub(crate) async fn read_ticks(database: &Database, kinds: &[&str]) -> Result<Vec<Tick>, Error> {
    let tx = database.begin(LIMITS).await?;
    let params: Params<'_> = &[(&kinds, Type::TEXT_ARRAY)];
    let rows = tx.commit_with(Statements::on(&tx).query_typed(sql!("periodic/read_ticks"), params)).await?;
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
    let params: Params<'_> = &[
        (&job.kind, Type::TEXT),
        (&from, Type::TIMESTAMPTZ),
        (&to, Type::TIMESTAMPTZ),
        (&job.args, Type::JSONB),
        (&job.queue, Type::TEXT),
        (&i32::from(job.priority.number()), Type::INT4),
        (&i32::from(job.stored_max_attempts()), Type::INT4),
    ];
    let tx = database.begin(LIMITS).await?;
    let row = tx.commit_with(Statements::on(&tx).query_typed_opt(sql!("periodic/fire_tick"), params)).await?;
    Ok(row.map(|row| row.try_get("id")).transpose()?)
}
