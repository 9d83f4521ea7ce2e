//! Databases that are not encoded in UTF-8.

use crate::support::command::{run, worker as command};
use crate::support::database::TestDatabase;
use crate::support::rows::{job, job_becomes, running};
use crate::support::worker::{Starts, TestWorker, task};
use postrider::admin::{FailedFilter, ListFilter, failed, list};
use postrider::{Database, JobError, State, Worker, enqueue};
use std::time::Duration;

/// `{"name": "\xe9"}`: not UTF-8, but text in an `SQL_ASCII` database.
const SINGLE_BYTE: &str = r"convert_from('\x7b226e616d65223a2022e9227d', 'SQL_ASCII')::jsonb";
/// `{"name": "\x81"}`: a valid byte in WIN1252 that stands for no character.
const NO_CHARACTER: &str = r"convert_from('\x7b226e616d65223a202281227d', 'WIN1252')::jsonb";

fn set(worker: Worker<Starts>) -> Worker<Starts> {
    worker.queue("default", 10).retry_policy(|_| Duration::from_hours(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_latin_1_finishes_jobs_and_keeps_what_it_can_of_their_errors() {
    let db = TestDatabase::encoded("LATIN1").await;
    let client = db.connect().await;
    let worker = TestWorker::start(&db.database, set, |task, _| async move {
        match task.name.as_str() {
            "fail" => Err(JobError::retry("caf\u{e9} \u{4e16}\u{754c}")),
            "long" => Err(JobError::discard("x".repeat(5_000))),
            _ => Ok(()),
        }
    });
    let good = enqueue(&client, &task("gr\u{fc}n")).await.unwrap().id;
    let fails = enqueue(&client, &task("fail")).await.unwrap().id;
    let long = enqueue(&client, &task("long")).await.unwrap().id;
    job_becomes(&client, good, State::Completed).await;
    let record = job_becomes(&client, fails, State::Retryable).await;
    assert_eq!(record.error.as_deref(), Some(r"caf\u{e9} \u{4e16}\u{754c}"));
    // What is cut off ends with a character that LATIN1 lacks.
    let record = job_becomes(&client, long, State::Discarded).await;
    assert!(record.error.is_some_and(|error| error.starts_with("xxx") && error.ends_with(r"\u{2026}")));
    assert_eq!(running(&client).await, 0);
    worker.stop().await;

    let refused = enqueue(&client, &task("\u{4e16}")).await.expect_err("LATIN1 lacks the character");
    assert!(refused.to_string().contains("22P05"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_migrator_warns_of_an_encoding_other_than_utf_8() {
    let db = TestDatabase::encoded("LATIN1").await;
    let ran = run(command(&db.url, ["migrate"])).done();
    assert!(ran.stderr.contains("not encoded in UTF8") && ran.stderr.contains("LATIN1"), "{ran:?}");
    let db = TestDatabase::new().await;
    let ran = run(command(&db.url, ["migrate"])).done();
    assert!(!ran.stderr.contains("encoded"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_cannot_be_sent_is_refused_when_it_is_added() {
    for (encoding, args, sqlstate) in [("SQL_ASCII", SINGLE_BYTE, "22021"), ("WIN1252", NO_CHARACTER, "22021")] {
        let db = TestDatabase::encoded(encoding).await;
        let client = db.connect().await;
        let error =
            client.execute(&format!("SELECT postrider.enqueue('task', {args})"), &[]).await.expect_err(encoding);
        assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some(sqlstate), "{encoding}: {error:?}");
        assert_eq!(db.count("postrider.job").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_text_cannot_be_sent_fails_alone_and_is_shown() {
    for (encoding, args, shown) in [("SQL_ASCII", SINGLE_BYTE, r"\\351"), ("WIN1252", NO_CHARACTER, r"\\201")] {
        let db = TestDatabase::encoded(encoding).await;
        let client = db.connect().await;
        // Past the function that refuses it.
        let insert = format!("INSERT INTO postrider.job (kind, args) VALUES ('task', {args}) RETURNING id");
        let odd = client.query_one(&insert, &[]).await.unwrap().get(0);
        let good = enqueue(&client, &task("good")).await.unwrap().id;
        let worker = TestWorker::start(&db.database, set, |_, _| async { Ok(()) });
        job_becomes(&client, good, State::Completed).await;
        let record = job_becomes(&client, odd, State::Retryable).await;
        assert!(record.args.get().contains(shown), "{encoding}: {}", record.args.get());
        worker.stop().await;

        assert_eq!(list(&client, &ListFilter::default()).await.unwrap().len(), 2);
        assert_eq!(failed(&client, &FailedFilter::default()).await.unwrap().len(), 1);
        let database = Database::from_url(&db.url).unwrap();
        postrider::admin::cancel(&database.client().await.unwrap(), odd).await.unwrap();
        assert_eq!(job(&client, odd).await.state, State::Cancelled);
        assert_eq!(list(&client, &ListFilter::default()).await.unwrap().len(), 2);
    }
}
