//! The queue's statements against a model of a few lines: random sequences of what producers, workers
//! and operators do, on a real Postgres. A sequence that goes wrong shrinks to a short one.

mod reference;
mod statements;

use std::cell::RefCell;

use crate::support::database::TestDatabase;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reference::{Model, Verdict};
use statements::{Outcome, Queue};

/// How many workers there are at most.
const WORKERS: usize = 3;

/// What an actor does. Jobs and attempts are chosen by a number, modulo how many there are.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Enqueue {
        due: bool,
        max_attempts: i32,
    },
    Claim {
        worker: usize,
        limit: i64,
    },
    /// Some attempt that was ever claimed ends, also one that has lost its job since.
    End {
        attempt: usize,
        outcome: Outcome,
    },
    Cancel {
        job: usize,
    },
    Retry {
        job: usize,
    },
    /// A worker dies, and another notices.
    Die {
        worker: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Complete),
        1 => Just(Outcome::Discard),
        3 => any::<bool>().prop_map(|due| Outcome::Fail { due }),
        2 => any::<bool>().prop_map(|due| Outcome::Snooze { due }),
        2 => Just(Outcome::GiveBack),
    ];
    prop_oneof![
        4 => (any::<bool>(), 1..4).prop_map(|(likely, max)| Step::Enqueue { due: likely || max > 1, max_attempts: max }),
        6 => (0..WORKERS, 1..4i64).prop_map(|(worker, limit)| Step::Claim { worker, limit }),
        8 => (any::<usize>(), outcome).prop_map(|(attempt, outcome)| Step::End { attempt, outcome }),
        1 => any::<usize>().prop_map(|job| Step::Cancel { job }),
        1 => any::<usize>().prop_map(|job| Step::Retry { job }),
        3 => (0..WORKERS).prop_map(|worker| Step::Die { worker }),
    ]
}

#[test]
fn whatever_happens_the_database_says_of_each_job_what_the_model_says() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let db = runtime.block_on(TestDatabase::new());
    let queue = RefCell::new(runtime.block_on(Queue::connect(&db)));
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let steps = vec(step(), 1..40);
    let result = runner.run(&steps, |steps| {
        let verdict = runtime.block_on(play(&mut queue.borrow_mut(), &steps));
        verdict.map_err(TestCaseError::fail)
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Plays the steps on both, and compares after each.
async fn play(queue: &mut Queue, steps: &[Step]) -> Result<(), String> {
    queue.clear().await;
    let mut model = Model::new(queue.workers());
    for (number, step) in steps.iter().enumerate() {
        let verdict = model.play(queue, *step).await;
        let compared = match verdict {
            Verdict::Agrees => model.compare(&queue.jobs().await),
            Verdict::Differs(how) => Err(how),
        };
        compared.map_err(|how| format!("step {number}, {step:?}: {how}"))?;
    }
    Ok(())
}
