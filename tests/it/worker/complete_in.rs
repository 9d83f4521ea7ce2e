//! Jobs that their handlers complete in transactions of their own (CONFORMANCE 22, 23).

use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::login::{Login, ROLES};
use crate::support::rows::{job, job_becomes, number, number_becomes};
use crate::support::wait::{PATIENCE, within};
use crate::support::worker::{Starts, TestWorker, task};
use postrider::{Context, Error, JobError, State, Worker, enqueue};
use tokio::sync::mpsc;

const EFFECTS: &str = "SELECT count(*) FROM public.effect";

async fn database() -> (TestDatabase, tokio_postgres::Client) {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    // Not in the schema of the queue, where a user of that name would make it.
    client.batch_execute("CREATE TABLE public.effect (job_id bigint)").await.unwrap();
    (db, client)
}

fn one_slot(worker: Worker<Starts>) -> Worker<Starts> {
    worker.queue("default", 1).retry_policy(|_| Duration::ZERO)
}

/// What a handler does with its effect, by the name of its task.
async fn take_effect(name: &str, cx: &Context<Starts>) -> Result<(), JobError> {
    let mut client = cx.database().client().await?;
    let tx = client.transaction().await?;
    tx.execute("INSERT INTO public.effect VALUES ($1)", &[&cx.job_id()]).await?;
    cx.complete_in(&tx).await?;
    match name {
        "commits" => tx.commit().await?,
        "completes twice" => {
            cx.complete_in(&tx).await?;
            tx.commit().await?;
        }
        "fails after its commit" => {
            tx.commit().await?;
            return Err(JobError::retry("the answer was lost"));
        }
        "rolls back and fails" => {
            tx.rollback().await?;
            return Err(JobError::retry("thought better of it"));
        }
        "rolls back and says it went well" => tx.rollback().await?,
        other => panic!("{other}"),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_effect_and_the_completion_are_committed_together_and_once() {
    let (db, client) = database().await;
    let worker =
        TestWorker::start(&db.database, one_slot, |task, cx| async move { take_effect(&task.name, &cx).await });
    for name in ["commits", "completes twice", "fails after its commit"] {
        let id = enqueue(&client, &task(name)).await.unwrap().id;
        let done = job_becomes(&client, id, State::Completed).await;
        assert_eq!((done.attempt, done.attempt_errors().len()), (1, 0), "{name}");
    }
    assert_eq!(number(&client, EFFECTS).await, 3);
    let metrics = worker.stop_for_metrics().await;
    assert_eq!((metrics.completed(), metrics.failed(), metrics.stale()), (3, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_commit_there_is_neither_and_the_job_is_tried_again() {
    let (db, client) = database().await;
    let worker = TestWorker::start(&db.database, one_slot, |task, cx| async move {
        let name = if cx.attempt() == 1 { task.name.as_str() } else { "commits" };
        take_effect(name, &cx).await
    });
    let cases = [
        ("rolls back and fails", "thought better of it"),
        (
            "rolls back and says it went well",
            "the transaction in which the handler completed the job was not committed",
        ),
    ];
    for (count, (name, error)) in (1..).zip(cases) {
        let id = enqueue(&client, &task(name)).await.unwrap().id;
        let done = job_becomes(&client, id, State::Completed).await;
        assert_eq!((done.attempt, done.attempt_errors().len()), (2, 1), "{name}");
        assert_eq!(done.attempt_errors()[0].error, error);
        assert_eq!(number(&client, EFFECTS).await, count);
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_attempt_gets_an_error_is_cancelled_and_changes_nothing() {
    let (db, client) = database().await;
    let (said, mut told) = mpsc::unbounded_channel();
    let worker = TestWorker::start(&db.database, one_slot, move |_, cx| {
        let said = said.clone();
        async move {
            if cx.attempt() > 1 {
                return Err(JobError::retry_after("the other attempt", Duration::from_hours(1)));
            }
            let mut own = cx.database().client().await?;
            let tx = own.transaction().await?;
            tx.execute("INSERT INTO public.effect VALUES ($1)", &[&cx.job_id()]).await?;
            // As if the worker had been declared dead and another had claimed the job.
            let other = cx.database().client().await?;
            other.execute("UPDATE postrider.job SET claim = claim + 1 WHERE id = $1", &[&cx.job_id()]).await?;
            let answer = cx.complete_in(&tx).await;
            let _ = said.send((answer, cx.is_cancelled()));
            tx.rollback().await?;
            Ok(())
        }
    });
    let id = enqueue(&client, &task("")).await.unwrap().id;
    let (answer, is_cancelled) = within("the handler is told", PATIENCE, told.recv()).await.unwrap();
    assert!(matches!(answer, Err(Error::Stale(stale)) if stale == id), "{answer:?}");
    assert!(is_cancelled);
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running", 1).await;
    assert_eq!((job(&client, id).await.state, number(&client, EFFECTS).await), (State::Running, 0));
    let metrics = worker.stop_for_metrics().await;
    assert_eq!((metrics.stale(), metrics.completed()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_that_the_database_refuses_costs_no_attempt() {
    let (db, client) = database().await;
    client.batch_execute(ROLES).await.unwrap();
    let login = Login::new(&db, "IN ROLE postrider_worker").await;
    client.batch_execute(&format!("GRANT INSERT ON public.effect TO {}", login.name)).await.unwrap();
    client.batch_execute("REVOKE DELETE ON postrider.job FROM postrider_worker").await.unwrap();
    let mut worker =
        TestWorker::start(&login.database(), one_slot, |task, cx| async move { take_effect(&task.name, &cx).await });
    let id = enqueue(&client, &task("commits")).max_attempts(1).await.unwrap().id;
    worker.next_start().await;
    job_becomes(&client, id, State::Scheduled).await;
    assert_eq!(number(&client, EFFECTS).await, 0);
    client.batch_execute("GRANT DELETE ON postrider.job TO postrider_worker").await.unwrap();
    let done = job_becomes(&client, id, State::Completed).await;
    assert_eq!((done.attempt, done.attempt_errors().len()), (1, 0));
    assert_eq!(number(&client, EFFECTS).await, 1);
    worker.stop().await;
}
