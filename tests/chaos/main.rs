//! Chaos: producers and worker processes under load, while workers are killed and frozen, connections
//! cut, and Postgres crashed and failed over; and then the verdict, whether anything was lost,
//! finished twice, or left behind (CONFORMANCE 9, 20, 22, 25, 27, 41).
//!
//! `faults` are planned from a seed and carried out on a `scene`: a primary with its standbys, a
//! `fleet` of worker processes, and `producers`. What was acknowledged and what handlers did is kept
//! in a `ledger` outside of the queue. The `verdict` holds it against the `history`, `table` shows it.
//!
//! The first failover is to a synchronous standby and loses nothing; the second is to an asynchronous one,
//! which is cut off before: what was acknowledged in between may be lost, and nothing else.
//!
//! `CHAOS_SECONDS` and `CHAOS_SEED` make it longer and other: `scripts/chaos` sets them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod chore;
mod faults;
mod fleet;
mod history;
mod ledger;
mod producers;
mod scene;
#[path = "../it/support/mod.rs"]
mod support;
mod table;
mod verdict;
mod worker_process;

use std::time::{Duration, Instant};

use producers::Producers;
use scene::Scene;
use verdict::Verdict;

/// Long enough for one fault of each kind.
const SECONDS: f64 = 40.0;
const SEED: u64 = 4;

/// After the last fault, until the queue must be empty.
const DRAIN: Duration = Duration::from_mins(1);

/// The name by which a worker process of the fleet is run: this very program.
const THIS_TEST: &str = "whatever_fails_every_committed_job_is_finished_exactly_once";

// CONFORMANCE 9, 20, 22, 25, 27, 41
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_fails_every_committed_job_is_finished_exactly_once() {
    if let Some(process) = worker_process::wanted() {
        return process.run().await;
    }
    let seconds = std::env::var("CHAOS_SECONDS").map_or(SECONDS, |text| text.parse().expect("CHAOS_SECONDS"));
    let seed = std::env::var("CHAOS_SEED").map_or(SEED, |text| text.parse().expect("CHAOS_SEED"));
    println!("chaos of {seconds} s, seed {seed}");

    let scene = Scene::set().await;
    let producers = Producers::start(&scene, seed);
    let began = Instant::now();
    for planned in faults::schedule(seed, Duration::from_secs_f64(seconds), scene.fleet.len()) {
        tokio::time::sleep_until((began + planned.at).into()).await;
        println!("{:>7.1} s  {}", began.elapsed().as_secs_f64(), planned.fault);
        scene.inject(planned.fault).await;
    }
    tokio::time::sleep_until((began + Duration::from_secs_f64(seconds)).into()).await;
    scene.heal().await;
    producers.stop().await;

    let verdict = Verdict::reach(&scene, DRAIN).await;
    table::print(&verdict, seed, seconds);
    assert!(
        verdict.breaches.is_empty(),
        "{} breaches with seed {seed}:\n{}",
        verdict.breaches.len(),
        verdict.breaches.join("\n")
    );
}
