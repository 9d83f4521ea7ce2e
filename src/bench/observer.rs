//! Who is told what a run finds while it goes on.

use super::{Environment, Figure, Scenario};

/// Hears of a run as it goes on.
pub trait Observer {
    /// What is measured on, before anything is.
    fn begins(&mut self, environment: &Environment);
    /// A scenario is so far.
    fn advances(&mut self, scenario: Scenario, done: u64, of: u64);
    /// A figure is known.
    fn finds(&mut self, figure: &Figure);
}
