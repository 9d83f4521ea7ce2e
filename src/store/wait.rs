//! The statements of `wait`.

use tokio_postgres::types::Type;

use crate::error::Error;
use crate::job::JobId;
use crate::postgres::{Queryable, Schema, Statements};
use crate::sql::sql;

/// What is known of an awaited job.
pub(crate) struct Awaited {
    pub id: JobId,
    /// Not finished, and known.
    pub is_unfinished: bool,
    /// Its finish will notify.
    pub is_marked: bool,
}

/// Marks jobs as awaited.
pub(crate) async fn await_jobs(client: &impl Queryable, ids: &[JobId]) -> Result<Vec<Awaited>, Error> {
    let rows = Statements::on(client).query_typed(sql!("wait/await_jobs"), &[(&ids, Type::INT8_ARRAY)]).await?;
    let awaited = |row: &tokio_postgres::Row| {
        Ok(Awaited {
            id: row.try_get("id")?,
            is_unfinished: row.try_get("unfinished")?,
            is_marked: row.try_get("marked")?,
        })
    };
    rows.iter().map(awaited).collect()
}

/// Listens for finished jobs that are awaited.
pub(crate) async fn listen_finished(client: &impl Queryable) -> Result<(), Error> {
    Ok(Statements::on(client).batch_execute(sql!("wait/listen_finished")).await?)
}

/// The channel of their notifications. The payload is the id of a job.
pub(crate) fn finished_channel(schema: &Schema) -> String {
    format!("{}.finished", schema.name())
}
