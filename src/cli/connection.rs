//! The database of the commands.

use std::time::Duration;

use super::failure::Failure;
use crate::error::Error;
use crate::postgres::{Database, LimitedTransaction, Limits, Schema, within};
use crate::program::environment::variable;

/// The longest time that a command waits for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The same on the server, so that a killed command leaves nothing waiting.
const LIMITS: Limits = Limits { statement: Duration::from_secs(28), lock: Duration::from_secs(10) };

/// The database of `DATABASE_URL` and `DATABASE_LISTEN_URL`, in the schema of `POSTRIDER_SCHEMA`. Does not connect yet.
pub(super) fn database() -> Result<Database, Failure> {
    let Some(url) = variable("DATABASE_URL")? else {
        return Err(Failure::Usage(
            "DATABASE_URL is not set; set it to a Postgres URL, or run `scripts/dev`, which starts a private Postgres"
                .to_owned(),
        ));
    };
    let database = Database::from_url(&url)?.in_schema(schema()?);
    match variable("DATABASE_LISTEN_URL")? {
        Some(listen_url) => Ok(database.with_listen_url(&listen_url)?),
        None => Ok(database),
    }
}

/// The schema of `POSTRIDER_SCHEMA`.
pub(super) fn schema() -> Result<Schema, Failure> {
    let Some(name) = variable("POSTRIDER_SCHEMA")? else { return Ok(Schema::default()) };
    Schema::new(&name).map_err(|error| Failure::Usage(format!("POSTRIDER_SCHEMA: {error}")))
}

/// Connects to it.
pub(super) async fn connect() -> Result<Connection, Failure> {
    let database = database()?;
    // A failure to connect is reported once, before the first query.
    drop(database.client().await?);
    Ok(Connection(database))
}

/// A connection whose queries have a time limit, here and on the server.
pub(super) struct Connection(Database);

impl Connection {
    /// The answer of the database within 30 s, in a transaction that commits on success.
    pub async fn answer<T>(
        &mut self,
        question: impl AsyncFnOnce(&LimitedTransaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let answered = async {
            let tx = self.0.begin(LIMITS).await?;
            let answer = question(&tx).await?;
            tx.commit().await?;
            Ok(answer)
        };
        within(ANSWER_WITHIN, answered).await
    }
}
