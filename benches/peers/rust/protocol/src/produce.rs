//! The producer's measurements.

use std::time::Duration;

use crate::clock::now;
use crate::report;
use crate::{Driver, Failure};

/// Each job in a call of its own, on one connection. The first tenth, at most a hundred, is not
/// timed: it prepares statements and fills caches.
pub(crate) async fn one_by_one<D: Driver>(mut driver: D, jobs: u64) -> Result<(), Failure> {
    let untimed = (jobs / 10).min(100);
    for number in 0..untimed {
        driver.enqueue(number).await?;
    }
    let began = now();
    for number in untimed..jobs {
        driver.enqueue(number).await?;
    }
    report::produced(jobs - untimed, began, now())
}

/// All jobs, a chunk in each call. Making the jobs is timed too: it is part of what a user pays.
pub(crate) async fn in_bulk<D: Driver>(mut driver: D, jobs: u64, chunk: u64) -> Result<(), Failure> {
    let began = now();
    let mut next = 0;
    while next < jobs {
        let end = (next + chunk).min(jobs);
        driver.enqueue_bulk(next..end).await?;
        next = end;
    }
    report::produced(jobs, began, now())
}

/// Single jobs at irregular distances around `pause`, each with the time at which the producer knew
/// it to be committed.
pub(crate) async fn paced<D: Driver>(mut driver: D, jobs: u64, pause: Duration) -> Result<(), Failure> {
    let mut committed = Vec::new();
    for number in 0..jobs {
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        driver.enqueue(number).await?;
        committed.push(now());
    }
    report::committed(&committed)
}
