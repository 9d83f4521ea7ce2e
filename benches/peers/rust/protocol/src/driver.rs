//! What a driver has to know about its system.

use std::error::Error;
use std::future::Future;
use std::ops::Range;

use crate::Tally;

/// Whatever went wrong: it is only shown.
pub type Failure = Box<dyn Error + Send + Sync>;

/// One system under measurement. Its jobs carry a number and do nothing.
pub trait Driver: Sized {
    /// What its presets differ in.
    type Settings;

    /// The preset of this name, or none where the system has no such preset.
    fn preset(name: &str) -> Option<Self::Settings>;

    /// Makes the schema in an empty database.
    fn install(url: &str, settings: Self::Settings) -> impl Future<Output = Result<(), Failure>>;

    /// A producer, ready to enqueue.
    fn connect(url: &str, settings: Self::Settings) -> impl Future<Output = Result<Self, Failure>>;

    /// Adds one job, committed when this returns.
    fn enqueue(&mut self, number: u64) -> impl Future<Output = Result<(), Failure>>;

    /// Adds these jobs at once, by the fastest call that the system documents, committed when this
    /// returns.
    fn enqueue_bulk(&mut self, numbers: Range<u64>) -> impl Future<Output = Result<(), Failure>>;

    /// Runs a worker until the process is ended, and tells the tally of each job in the first line
    /// of its handler.
    fn work(url: &str, settings: Self::Settings, tally: Tally) -> impl Future<Output = Result<(), Failure>>;
}
