//! Statements that create and drop scratch databases.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::sql;
use crate::error::Error;

/// The name of a scratch database, safe as text of a statement: `postrider_bench_` and the key of its run's lock in 16
/// hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bench) struct ScratchName(String);

impl ScratchName {
    const PREFIX: &str = "postrider_bench_";

    /// The name for a lock.
    pub fn of(lock: i64) -> Self {
        Self(format!("{}{:016x}", Self::PREFIX, lock.cast_unsigned()))
    }

    fn checked(name: String) -> Option<Self> {
        let key = name.strip_prefix(Self::PREFIX)?;
        (key.len() == 16 && key.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))).then_some(Self(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns our role, and whether it may create a database.
pub(in crate::bench) async fn may_create(client: &Client) -> Result<(String, bool), Error> {
    let row = client.query_typed_one(sql!("may_create"), &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

pub(in crate::bench) async fn set_session(client: &Client) -> Result<(), Error> {
    Ok(client.batch_execute(sql!("admin_session")).await?)
}

/// Takes a session lock that shows other runs that this one is alive. Returns `false` if it is held already.
pub(in crate::bench) async fn take_run_lock(client: &Client, lock: i64) -> Result<bool, Error> {
    Ok(client.query_typed_one(sql!("take_run_lock"), &[(&lock, Type::INT8)]).await?.try_get(0)?)
}

/// Creates a database and marks it as ours.
pub(in crate::bench) async fn create(client: &Client, name: &ScratchName) -> Result<(), Error> {
    client.batch_execute(&sql!("create_database").replace("{name}", name.as_str())).await?;
    Ok(client.batch_execute(&sql!("mark_database").replace("{name}", name.as_str())).await?)
}

/// Drops a database even if sessions are connected to it.
pub(in crate::bench) async fn drop(client: &Client, name: &ScratchName) -> Result<(), Error> {
    Ok(client.batch_execute(&sql!("drop_database").replace("{name}", name.as_str())).await?)
}

/// Returns the databases that killed runs have left behind.
pub(in crate::bench) async fn dead_runs(client: &Client) -> Result<Vec<ScratchName>, Error> {
    let rows = client.query_typed(sql!("dead_runs"), &[]).await?;
    let mut names = Vec::new();
    for row in &rows {
        names.extend(ScratchName::checked(row.try_get(0)?));
    }
    Ok(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_pass_into_a_statement() {
        for lock in [0, 1, -1, i64::MAX, i64::MIN] {
            let name = ScratchName::of(lock);
            assert_eq!(ScratchName::checked(name.as_str().to_owned()), Some(name));
        }
        for bad in
            ["postgres", "postrider_bench_", "postrider_bench_0123456789abcdeg", "postrider_bench_0; DROP TABLE x"]
        {
            assert_eq!(ScratchName::checked(bad.to_owned()), None, "{bad}");
        }
    }
}
