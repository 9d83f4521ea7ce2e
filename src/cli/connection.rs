//! The database that the commands work on.

use std::env;
use std::future::Future;
use std::time::Duration;

use deadpool_postgres::Object;

use super::failure::Failure;
use crate::{Database, Error};

/// The longest that a command waits for one answer of the database.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The database that `DATABASE_URL` and `DATABASE_LISTEN_URL` name. Does not connect yet.
pub(super) fn database() -> Result<Database, Failure> {
    let Some(url) = variable("DATABASE_URL")? else {
        return Err(Failure::Failed(
            "DATABASE_URL is not set; set it to a Postgres URL, or run `scripts/dev`, which starts a private Postgres"
                .to_owned(),
        ));
    };
    let database = Database::from_url(&url)?;
    match variable("DATABASE_LISTEN_URL")? {
        Some(listen_url) => Ok(database.with_listen_url(&listen_url)?),
        None => Ok(database),
    }
}

/// A connection to it.
pub(super) async fn connect() -> Result<Object, Failure> {
    Ok(database()?.client().await?)
}

/// The answer of the database, waited for at most 30 s.
pub(super) async fn answer<T>(question: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let limit_ms = u64::try_from(ANSWER_WITHIN.as_millis()).unwrap_or(u64::MAX);
    tokio::time::timeout(ANSWER_WITHIN, question).await.unwrap_or(Err(Error::TimedOut(limit_ms)))
}

/// An environment variable; one that is empty counts as unset. Its value never appears in an
/// error: it may hold a password.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    let Some(value) = env::var_os(name) else { return Ok(None) };
    let value = value.into_string().map_err(|_| Failure::Failed(format!("{name} is not UTF-8; set it anew")))?;
    Ok(Some(value).filter(|value| !value.is_empty()))
}
