//! `worker roles`.

use clap::Args;

use super::connection;
use super::failure::Failure;
use super::output::Output;
use crate::schema;

/// Prints the SQL that creates a role for producers, one for workers and one for readers.
///
/// For psql, as the owner of the schema, after each migration: worker roles | psql -v `ON_ERROR_STOP=1` -1
#[derive(Debug, Args)]
pub(super) struct Roles {}

impl Roles {
    pub fn execute(out: &mut Output) -> Result<(), Failure> {
        out.line(schema::roles(&connection::schema()?).trim_end())
    }
}
