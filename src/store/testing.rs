//! The statements of the testing kit.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::session::Session;
use crate::error::Error;
use crate::postgres::{Database, Limits, Param, Returned, Returns, Statement};
use crate::sql::sql;

/// The limits of each statement.
const LIMITS: Limits = Limits { statement: Duration::from_secs(30), lock: Duration::from_secs(10) };

/// The limits of a statement that creates or drops a database, which may wait for a checkpoint.
const ADMIN_LIMITS: Limits = Limits { statement: Duration::from_mins(2), lock: Duration::from_mins(1) };
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

/// The name of a test's database, safe as text of a statement: `postrider_test_` and an id in 32 hexadecimal digits.
#[derive(Clone)]
pub(crate) struct TestDatabaseName(String);

impl TestDatabaseName {
    const PREFIX: &str = "postrider_test_";

    pub fn fresh() -> Self {
        Self(format!("{}{}", Self::PREFIX, Uuid::now_v7().simple()))
    }

    fn checked(name: String) -> Option<Self> {
        let id = name.strip_prefix(Self::PREFIX)?;
        (id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))).then_some(Self(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A connection that creates and drops databases.
pub(crate) async fn open_admin(server: &Database) -> Result<Client, Error> {
    let (client, connection) = server.connect_direct("test").await?;
    tokio::spawn(connection);
    ADMIN_LIMITS.apply_to_session(&client).await?;
    Ok(client)
}

pub(crate) async fn create_database(client: &Client, name: &TestDatabaseName) -> Result<(), Error> {
    Ok(client.batch_execute(&sql!("testing/create_database").replace("{name}", name.as_str())).await?)
}

/// Drops a database, whoever is connected to it.
pub(crate) async fn drop_database(client: &Client, name: &TestDatabaseName) -> Result<(), Error> {
    Ok(client.batch_execute(&sql!("testing/drop_database").replace("{name}", name.as_str())).await?)
}

/// Drops a database that a killed test has left, unless somebody is connected to it.
pub(crate) async fn drop_left_database(client: &Client, name: &TestDatabaseName) -> Result<(), Error> {
    Ok(client.batch_execute(&sql!("testing/drop_left_database").replace("{name}", name.as_str())).await?)
}

/// The databases that killed tests have left.
pub(crate) async fn left_databases(client: &Client) -> Result<Vec<TestDatabaseName>, Error> {
    let rows = client.query_typed(sql!("testing/left_databases"), &[]).await?;
    let mut names = Vec::new();
    for row in &rows {
        names.extend(TestDatabaseName::checked(row.try_get(0)?));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_pass_into_a_statement() {
        let name = TestDatabaseName::fresh();
        assert!(TestDatabaseName::checked(name.as_str().to_owned()).is_some());
        let long = format!("postrider_test_{}g", "0".repeat(31));
        for bad in ["postgres", "postrider_test_", "postrider_test_0; DROP TABLE x", &long] {
            assert!(TestDatabaseName::checked(bad.to_owned()).is_none(), "{bad}");
        }
    }
}
