//! The statements that maintain tables: partitions of the history, vacuum.

use std::time::Duration;

use chrono::NaiveDate;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient};

use crate::error::Error;
use crate::postgres::{Database, Limits, Params, Queryable, Statements};
use crate::sql::sql;

/// The limits of a statement about partitions. It may have to wait for one that detaches a partition.
const LIMITS: Limits = Limits { statement: Duration::from_secs(10), lock: Duration::from_secs(10) };
/// The limits of a connection that detaches partitions or vacuums. Both wait for readers.
const LONG_LIMITS: Limits = Limits { statement: Duration::from_mins(10), lock: Duration::from_mins(10) };

/// A partition after the end of its day.
pub(crate) struct ExpiredPartition {
    pub name: PartitionName,
    /// Whether it is still attached. If not, it only has to be dropped.
    pub attached: bool,
    /// Whether a detach was interrupted.
    pub detaching: bool,
}

/// A name that is safe in the text of a statement: `job_history_` and eight digits.
pub(crate) struct PartitionName(String);

impl PartitionName {
    fn checked(name: String) -> Option<Self> {
        let day = name.strip_prefix("job_history_")?;
        (day.len() == 8 && day.bytes().all(|b| b.is_ascii_digit())).then_some(Self(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

pub(crate) async fn partitions_to_make(database: &Database, days_ahead: i32) -> Result<Vec<NaiveDate>, Error> {
    let params: Params<'_> = &[(&days_ahead, Type::INT4)];
    let tx = database.begin(LIMITS).await?;
    let statement = Statements::on(&tx);
    let rows = tx.commit_with(statement.query_typed(sql!("history/history_partitions_to_make"), params)).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

pub(crate) async fn make_partition(database: &Database, day: NaiveDate) -> Result<(), Error> {
    let tx = database.begin(LIMITS).await?;
    let params: Params<'_> = &[(&day, Type::DATE)];
    tx.commit_with(Statements::on(&tx).query_typed(sql!("history/make_history_partition"), params)).await?;
    Ok(())
}

/// Creates the partition for jobs that finish now and have this retention.
pub(crate) async fn make_partition_for(database: &Database, retention_seconds: i64) -> Result<(), Error> {
    let tx = database.begin(LIMITS).await?;
    let params: Params<'_> = &[(&retention_seconds, Type::INT8)];
    tx.commit_with(Statements::on(&tx).query_typed(sql!("history/make_history_partition_for"), params)).await?;
    Ok(())
}

pub(crate) async fn expired_partitions(client: &impl Queryable) -> Result<Vec<ExpiredPartition>, Error> {
    let rows = Statements::on(client).query_typed(sql!("history/expired_history_partitions"), &[]).await?;
    let mut partitions = Vec::new();
    for row in &rows {
        if let Some(name) = PartitionName::checked(row.try_get("name")?) {
            partitions.push(ExpiredPartition {
                name,
                attached: row.try_get("attached")?,
                detaching: row.try_get("detaching")?,
            });
        }
    }
    Ok(partitions)
}

/// Detaches a partition without blocking its readers.
pub(crate) async fn detach(client: &impl Queryable, partition: &ExpiredPartition) -> Result<(), Error> {
    let statement = if partition.detaching {
        sql!("history/finalize_history_partition")
    } else {
        sql!("history/detach_history_partition")
    };
    on_partition(client, statement, &partition.name).await
}

pub(crate) async fn drop_partition(client: &impl Queryable, name: &PartitionName) -> Result<(), Error> {
    on_partition(client, sql!("history/drop_history_partition"), name).await
}

async fn on_partition(client: &impl Queryable, statement: &'static str, name: &PartitionName) -> Result<(), Error> {
    let statement = client.schema().statement(statement).replace("{partition}", name.as_str());
    Ok(client.raw().batch_execute(&statement).await?)
}

/// Limits the statements of a direct connection for maintenance. They cannot run in transactions.
pub(crate) async fn limit_maintenance(client: &Client) -> Result<(), Error> {
    LONG_LIMITS.apply_to_session(client).await
}

/// Tries to acquire the lock of a maintenance task. The connection holds it until it closes.
pub(crate) async fn try_maintenance_lock(client: &impl Queryable, task: &str) -> Result<bool, Error> {
    Ok(Statements::on(client)
        .query_typed_one(sql!("history/try_maintenance_lock"), &[(&task, Type::TEXT)])
        .await?
        .try_get(0)?)
}

/// Frees the space of dead rows.
pub(crate) async fn vacuum_jobs(client: &impl Queryable) -> Result<(), Error> {
    Ok(Statements::on(client).batch_execute(sql!("history/vacuum_jobs")).await?)
}
