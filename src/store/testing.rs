//! The statements of the testing kit.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::session::Session;
use crate::error::Error;
use crate::postgres::{Database, Limits, Param, Returned, Returns, Statement};
use crate::sql::sql;

/// The limits of each statement.
const LIMITS: Limits = Limits { statement: Duration::from_secs(30), lock: Duration::from_secs(10) };

/// The longest time that can pass: 10,000 years, the whole calendar.
const LONGEST: Duration = Duration::from_hours(87_660_000);

/// The time that [`advance_time`] has let pass.
pub(crate) struct Advanced {
    pub passed: Duration,
    /// Whether a job is due now.
    pub is_due: bool,
}

pub(crate) async fn open_session(database: &Database) -> Result<Session, Error> {
    // As through a pooler, which suits a direct connection, too.
    Session::open(database, "test", false, "", LIMITS).await
}

/// Lets time pass until the next job of these kinds and queues is due, but at most `most`.
pub(crate) async fn advance_time(
    session: &Session,
    queues: &[&str],
    kinds: &[&str],
    most: Duration,
) -> Result<Advanced, Error> {
    let most_ms = most.min(LONGEST).as_secs_f64() * 1_000.0;
    let rows = session
        .query(
            sql!("testing/advance_time"),
            &[(&queues, Type::TEXT_ARRAY), (&kinds, Type::TEXT_ARRAY), (&most_ms, Type::FLOAT8)],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(Advanced { passed: most, is_due: false }) };
    let passed_ms: f64 = row.try_get("passed_ms")?;
    let passed = Duration::try_from_secs_f64(passed_ms / 1_000.0).unwrap_or_default();
    Ok(Advanced { passed, is_due: row.try_get("is_due")? })
}

/// Finds the unfinished jobs of a kind. The answer has their ids, and each as JSON in the outcomes.
pub(crate) fn find_unfinished(kind: &str) -> Statement<'_> {
    Statement::new(sql!("testing/find_unfinished"), vec![Param::text(kind)], Returns::Arrays)
}

/// The answer to [`find_unfinished`].
pub(crate) fn unfinished(returned: Returned) -> impl Iterator<Item = (i64, String)> {
    returned.ids.into_iter().zip(returned.outcomes.unwrap_or_default())
}
