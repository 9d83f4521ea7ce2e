//! Progress and results of a run while it is in progress.

use super::{Environment, Figure, Scenario};

/// Receives the progress and the figures of a run.
pub trait Observer {
    /// Called with the environment before the first scenario.
    fn begins(&mut self, environment: &Environment);
    /// Called when a scenario progresses: `done` of `of` steps.
    fn advances(&mut self, scenario: Scenario, done: u64, of: u64);
    /// Called for each figure.
    fn finds(&mut self, figure: &Figure);
}
