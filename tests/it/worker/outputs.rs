//! The value that a handler returns is kept with its job.

use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::rows::{job, job_becomes, number_becomes};
use crate::support::worker::{Starts, Task, task, tasks};
use postrider::worker::{DEFAULT_MAX_OUTPUT_BYTES, Worker};
use postrider::{Context, JobError, Shutdown, State, admin, enqueue, enqueue_many};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Answer {
    name: String,
    size: u64,
}

/// Runs `work` while a worker with this handler runs.
async fn with_worker<T, Fut>(
    db: &TestDatabase,
    handler: impl Fn(Task, Context<Starts>) -> Fut + Send + Sync + 'static,
    work: impl AsyncFnOnce(),
) where
    T: Serialize + Send + 'static,
    Fut: Future<Output = Result<T, JobError>> + Send + 'static,
{
    with_worker_set(db, |worker| worker, handler, work).await;
}

/// The same with a worker that `set` sets up.
async fn with_worker_set<T, Fut>(
    db: &TestDatabase,
    set: impl FnOnce(Worker<Starts>) -> Worker<Starts>,
    handler: impl Fn(Task, Context<Starts>) -> Fut + Send + Sync + 'static,
    work: impl AsyncFnOnce(),
) where
    T: Serialize + Send + 'static,
    Fut: Future<Output = Result<T, JobError>> + Send + 'static,
{
    let (starts, _) = tokio::sync::mpsc::unbounded_channel();
    let worker = Worker::new(db.another_pool(), starts)
        .queue("default", 50)
        .retry_policy(|_| Duration::ZERO)
        .handle::<Task, _, _, T>(handler);
    let shutdown = Shutdown::new();
    let running = tokio::spawn(set(worker).run(shutdown.clone()));
    work().await;
    shutdown.begin();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_kept_until_the_job_runs_again() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let handler = |task: Task, _: Context<Starts>| async move {
        Ok((task.name != "none").then_some(Answer { name: task.name, size: 7 }))
    };
    with_worker(&db, handler, async || {
        let (some, none) =
            (enqueue(&client, &task("some")).await.unwrap().id, enqueue(&client, &task("none")).await.unwrap().id);
        let done = job_becomes(&client, some, State::Completed).await;
        assert_eq!(done.output_as().unwrap(), Some(Answer { name: "some".to_owned(), size: 7 }));
        assert!(job_becomes(&client, none, State::Completed).await.output.is_none());
        let listed = admin::list(&client, &admin::ListFilter::default()).await.unwrap();
        assert_eq!(listed[1].output.as_ref().unwrap().get(), done.output.unwrap().get());
    })
    .await;
    // A retry starts without the former value.
    let listed = admin::list(&client, &admin::ListFilter::default()).await.unwrap();
    assert!(admin::retry(&client, listed[1].id).await.unwrap().output.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_too_large_or_cannot_be_stored_fails_the_attempt() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let handler = |task: Task, cx: Context<Starts>| async move {
        Ok(match (task.name.as_str(), cx.attempt()) {
            ("large", 1) => "x".repeat(DEFAULT_MAX_OUTPUT_BYTES),
            ("nul", 1) => "\0".to_owned(),
            _ => "x".repeat(DEFAULT_MAX_OUTPUT_BYTES - 2),
        })
    };
    with_worker(&db, handler, async || {
        for (name, why) in [("large", "output is 65538 bytes, more than 65536"), ("nul", "NUL")] {
            let id = enqueue(&client, &task(name)).max_attempts(2).await.unwrap().id;
            let done = job_becomes(&client, id, State::Completed).await;
            assert_eq!(done.attempt, 2);
            assert!(done.error.unwrap().contains(why));
            assert_eq!(done.output.unwrap().get().len(), DEFAULT_MAX_OUTPUT_BYTES);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_value_is_a_setting() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let too_large = Worker::new(db.another_pool(), ()).queue("default", 1).max_output_bytes(2 * 1024 * 1024);
    let refused = too_large.run(Shutdown::new()).await.unwrap_err();
    assert!(refused.to_string().starts_with("max_output_bytes is 2097152, not "), "{refused}");

    let handler = |task: Task, cx: Context<Starts>| async move {
        let output = "x".repeat(task.name.parse().unwrap());
        if cx.attempt() == 2 {
            let mut client = cx.database().client().await?;
            let tx = client.transaction().await?;
            let refused = cx.complete_in(&tx).output(&output).await.unwrap_err();
            assert!(refused.to_string().starts_with("output is 1025 bytes, more than 1024"), "{refused}");
            return Ok(String::new());
        }
        Ok(output)
    };
    with_worker_set(
        &db,
        |worker| worker.max_output_bytes(1024),
        handler,
        async || {
            for (length, attempts) in [(1022, 1), (1023, 2)] {
                let id = enqueue(&client, &task(length.to_string())).await.unwrap().id;
                assert_eq!(job_becomes(&client, id, State::Completed).await.attempt, attempts);
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_of_many_jobs_are_all_recorded() {
    const JOBS: usize = 300;
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    enqueue_many(&client, &tasks(JOBS)).await.unwrap();
    let handler = |task: Task, _: Context<Starts>| async move { Ok(task.name.repeat(10_000)) };
    with_worker(&db, handler, async || {
        let done = "SELECT count(*) FROM postrider.job_history AS h
                    WHERE output #>> '{}' = repeat(args ->> 'name', 10000)";
        number_becomes(&client, done, i64::try_from(JOBS).unwrap()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_the_handler_completes_its_job_with_a_value_or_not_at_all() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    client.batch_execute("CREATE TABLE effect (job bigint)").await.unwrap();
    let handler = |task: Task, cx: Context<Starts>| async move {
        let mut client = cx.database().client().await?;
        let tx = client.transaction().await?;
        tx.execute("INSERT INTO effect VALUES ($1)", &[&cx.job_id()]).await?;
        cx.complete_in(&tx).output(&Answer { name: task.name.clone(), size: cx.attempt().into() }).await?;
        if task.name == "rolled back once" && cx.attempt() == 1 {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok("not kept")
    };
    with_worker(&db, handler, async || {
        for (name, attempts) in [("committed", 1), ("rolled back once", 2)] {
            let id = enqueue(&client, &task(name)).await.unwrap().id;
            let done = job_becomes(&client, id, State::Completed).await;
            assert_eq!(done.output_as().unwrap(), Some(Answer { name: name.to_owned(), size: attempts }));
        }
    })
    .await;
    assert_eq!(db.count("effect").await, 2);
    let first = admin::list(&client, &admin::ListFilter::default()).await.unwrap()[1].id;
    assert_eq!(job(&client, first).await.attempt, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_the_databases_encoding_lacks_fails_the_attempt() {
    let db = TestDatabase::encoded("LATIN1").await;
    let client = db.connect().await;
    with_worker(
        &db,
        async |task: Task, _| Ok(task.name.replace("euro", "\u{20ac}")),
        async || {
            let good = enqueue(&client, &task("gr\u{fc}n")).await.unwrap().id;
            let lacking = enqueue(&client, &task("euro")).max_attempts(1).await.unwrap().id;
            let done = job_becomes(&client, good, State::Completed).await;
            assert_eq!(done.output_as::<String>().unwrap().as_deref(), Some("gr\u{fc}n"));
            let error = job_becomes(&client, lacking, State::Discarded).await.error.expect("an error");
            assert!(error.contains("cannot store the output") && error.contains("22P05"), "{error}");
        },
    )
    .await;
}
