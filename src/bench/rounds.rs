//! Rounds of enqueueing that alternate between the queue's functions and bare statements.

use std::time::{Duration, Instant};

use super::error::BenchError;
use super::figure::{Figure, Unit};
use super::rig::Rig;
use crate::error::Error;

/// The limit of a round: it ends when either value is reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub jobs: u64,
    pub time: Duration,
}

/// Repeats `act`, which enqueues `jobs_each` jobs, until the limit is reached. Returns jobs per second.
pub(super) async fn rate(
    limit: Limit,
    jobs_each: u64,
    mut act: impl AsyncFnMut() -> Result<(), Error>,
) -> Result<f64, BenchError> {
    let (start, mut added) = (Instant::now(), 0);
    while added < limit.jobs && start.elapsed() < limit.time {
        act().await?;
        added += jobs_each;
    }
    Ok(per_second(added, start.elapsed().as_secs_f64()))
}

/// Alternates between `ours` and `bare`, each on empty tables. Each comes first in every other round.
pub(super) async fn compare(
    rig: &mut Rig<'_>,
    ours: impl AsyncFn() -> Result<f64, BenchError>,
    bare: impl AsyncFn() -> Result<f64, BenchError>,
) -> Result<(), BenchError> {
    let rounds = rig.plan.rounds();
    let (mut ours_all, mut bare_all) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        rig.advance(round.into(), rounds.into());
        for bare_is_next in [round % 2 == 0, round % 2 == 1] {
            rig.clear().await?;
            if bare_is_next {
                bare_all.push(bare().await?);
            } else {
                ours_all.push(ours().await?);
            }
        }
    }
    rig.clear().await?;
    rig.found(Figure::of_rounds(rig.name("rate"), Unit::JobsPerSecond, &ours_all).beside(&ours_all, &bare_all));
    Ok(())
}

/// Returns jobs per second.
#[allow(clippy::cast_precision_loss, reason = "no run comes near 2^52 jobs")]
pub(super) fn per_second(jobs: u64, seconds: f64) -> f64 {
    // Avoids a division by zero for times below the clock's resolution.
    jobs as f64 / seconds.max(1e-6)
}

/// Returns the average per job.
#[allow(clippy::cast_precision_loss, reason = "no run comes near 2^52 jobs or bytes")]
pub(super) fn per_job(total: i64, jobs: u64) -> f64 {
    total as f64 / jobs.max(1) as f64
}
