//! `worker migrate`.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::connection;
use super::failure::Failure;
use super::output::Output;
use super::table::{Column, Table};
use crate::postgres::Database;
use crate::schema::{MigrationSet, SchemaStatus};

/// The sets that the worker needs.
pub(super) const SETS: [MigrationSet; 2] = [MigrationSet::Queue, MigrationSet::App];

/// Brings the schema up to date.
///
/// Safe to run from many places at once: one migrates, the others wait for it, at most 60 s.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Only show which version the schema has and which one this release needs; changes nothing.
    #[arg(long, env = "WORKER_STATUS", value_parser = BoolishValueParser::new())]
    status: bool,
}

impl Migrate {
    pub async fn execute(&self, out: &mut Output) -> Result<(), Failure> {
        let database = connection::database()?;
        if !self.status {
            migrate(&database).await?;
        }
        let mut rows = Vec::new();
        for set in SETS {
            rows.push(cells(database.schema_status(set).await?));
        }
        Table::new(&[
            Column::Whole("SCHEMA"),
            Column::Whole("APPLIED"),
            Column::Whole("NEEDED"),
            Column::Whole("STATUS"),
        ])
        .page(rows, out)
    }
}

/// Brings all sets up to date.
pub(super) async fn migrate(database: &Database) -> Result<(), Failure> {
    for set in SETS {
        database.migrate(set).await?;
    }
    Ok(())
}

fn cells(status: SchemaStatus) -> Vec<String> {
    let word = match status.applied.cmp(&status.needed) {
        std::cmp::Ordering::Less => "pending: run `worker migrate`",
        std::cmp::Ordering::Equal => "up to date",
        std::cmp::Ordering::Greater => "newer than this release, which is fine",
    };
    vec![status.set.name().to_owned(), status.applied.to_string(), status.needed.to_string(), word.to_owned()]
}
