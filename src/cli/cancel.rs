//! `worker cancel`.

use clap::Args;

use super::connection;
use super::each::Each;
use super::failure::Failure;
use super::output::Output;
use crate::admin;
use crate::job::JobId;
use crate::job::State;

/// Cancels jobs: waiting ones at once; the worker of a running one is asked to stop it.
#[derive(Debug, Args)]
pub(super) struct Cancel {
    /// The jobs' ids.
    #[arg(required = true, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    ids: Vec<JobId>,
}

impl Cancel {
    pub async fn execute(&self, out: &mut Output) -> Result<(), Failure> {
        let mut connection = connection::connect().await?;
        let mut each = Each::new(out);
        for id in &self.ids {
            let cancelled = connection.answer(async |tx| admin::cancel(tx, *id).await).await;
            each.was(cancelled.map_err(Failure::from).map(|job| match job.state {
                State::Cancelled => format!("job {id} cancelled"),
                // Or the state that it has reached since.
                state => format!("job {id} is {state}: its worker was asked to stop it"),
            }))?;
        }
        each.end()
    }
}
