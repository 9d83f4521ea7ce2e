//! Upkeep of the tables: partitions of the history, made ahead and dropped when over; vacuum.

use chrono::NaiveDate;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient};

use super::sql;
use crate::{Database, Error};

/// The SQLSTATE of a row that no partition takes.
pub(crate) const NO_PARTITION: &str = "23514";

/// A partition whose day is over.
pub(crate) struct ExpiredPartition {
    pub name: PartitionName,
    /// Still part of the history; otherwise only left to be dropped.
    pub attached: bool,
    /// A detach was begun and cut short.
    pub detaching: bool,
}

/// A name that is safe as text of a statement: `job_history_` and eight digits.
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
    let params = [(&days_ahead as _, Type::INT4)];
    let rows = database.client().await?.query_typed(sql!("history_partitions_to_make"), &params).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

pub(crate) async fn make_partition(database: &Database, day: NaiveDate) -> Result<(), Error> {
    database.client().await?.query_typed(sql!("make_history_partition"), &[(&day, Type::DATE)]).await?;
    Ok(())
}

/// The partition of jobs that finish now and are kept for so long.
pub(crate) async fn make_partition_for(client: &impl GenericClient, retention_seconds: i64) -> Result<(), Error> {
    let params = [(&retention_seconds as _, Type::INT8)];
    client.query_typed(sql!("make_history_partition_for"), &params).await?;
    Ok(())
}

pub(crate) async fn expired_partitions(client: &Client) -> Result<Vec<ExpiredPartition>, Error> {
    let rows = client.query_typed(sql!("expired_history_partitions"), &[]).await?;
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

/// Takes a partition out of the history without stopping its readers.
pub(crate) async fn detach(client: &Client, partition: &ExpiredPartition) -> Result<(), Error> {
    let statement =
        if partition.detaching { sql!("finalize_history_partition") } else { sql!("detach_history_partition") };
    Ok(client.batch_execute(&statement.replace("{partition}", partition.name.as_str())).await?)
}

pub(crate) async fn drop_partition(client: &Client, name: &PartitionName) -> Result<(), Error> {
    Ok(client.batch_execute(&sql!("drop_history_partition").replace("{partition}", name.as_str())).await?)
}

/// Whether the connection now holds the lock of an upkeep task, until it closes.
pub(crate) async fn try_upkeep_lock(client: &Client, task: &str) -> Result<bool, Error> {
    Ok(client.query_typed_one(sql!("try_upkeep_lock"), &[(&task, Type::TEXT)]).await?.try_get(0)?)
}

/// Frees the space of the rows that finished jobs left behind.
pub(crate) async fn vacuum_jobs(client: &Client) -> Result<(), Error> {
    Ok(client.batch_execute(sql!("vacuum_jobs")).await?)
}
