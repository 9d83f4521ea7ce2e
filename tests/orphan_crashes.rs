//! Cleanups that die, stop, or run twice at once: whatever the instant, nothing is lost and the next
//! one does the rest.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use postrider::app::jobs::orphan_file_cleanup::{self, CleanupError, CutShort, Settings};
use support::board::{Board, JOB, NO_GRACE, in_batches_of, settings};
use support::command;
use support::interruption::{poll_at_most, run_until_stalled};
use support::object_store::Point;
use support::process::{Process, Signal};
use support::wait::until;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_cleanup_that_dies_at_the_store_is_taken_up_by_the_next_attempt_of_its_job() {
    for point in [Point::BeforeDelete, Point::MidDelete, Point::AfterDelete] {
        let board = Board::new().await;
        let tablo = board.tablo_with(30).await;
        board.tablo_with(3).await;
        board.delete(tablo, NO_GRACE).await;
        board.store.stall_at(point);
        {
            let mut dying = Box::pin(board.clean_with(&board.client, in_batches_of(10)));
            run_until_stalled(&board.store, &mut dying).await;
        }
        board.assert_nothing_is_lost().await;
        assert_eq!(board.rows("state = 'deleting'").await, 30, "{point:?}");
        board.store.go_on();

        let report = board.clean().await;

        assert_eq!(report.deleted, 30, "{point:?}");
        board.assert_all_is_tidy().await;
    }
}

#[tokio::test]
async fn another_cleanup_leaves_the_claims_of_a_dead_one_alone_for_three_minutes() {
    let board = Board::new().await;
    let tablo = board.tablo_with(30).await;
    board.delete(tablo, NO_GRACE).await;
    board.store.stall_at(Point::BeforeDelete);
    run_until_stalled(&board.store, &mut Box::pin(board.clean_with(&board.client, in_batches_of(10)))).await;
    board.store.go_on();

    let other = settings(JOB + 1);
    assert_eq!(board.clean_with(&board.client, other).await.unwrap().deleted, 20);
    board.age("3 minutes").await;
    assert_eq!(board.clean_with(&board.client, other).await.unwrap().deleted, 10);
    board.assert_all_is_tidy().await;
}

#[tokio::test]
async fn two_cleanups_with_one_abandoned_upload_in_their_hands_leave_its_row_for_the_second_look() {
    let board = Board::new().await;
    let tablo = board.tablo().await;
    board.store.stall_at(Point::BeforePut);
    run_until_stalled(&board.store, &mut Box::pin(board.upload(tablo, "a", b"lost"))).await;
    board.age("61 minutes").await;
    board.store.stall_at(Point::AfterDelete);
    let mut first = Box::pin(board.clean());
    run_until_stalled(&board.store, &mut first).await;
    board.store.go_on();

    // As after a rescue: another attempt of the job runs while the first is not quite dead.
    assert_eq!(board.clean().await.deleted, 1);
    first.await;

    assert_eq!(board.rows("state = 'deleting' AND swept_at IS NOT NULL").await, 1);
}

#[tokio::test]
async fn a_cleanup_may_die_at_any_instant() {
    let board = Board::new().await;
    board.tablo_with(3).await;
    let mut polls = 0;
    loop {
        polls += 1;
        let (deleted, unstamped) = (board.tablo_with(5).await, board.tablo_with(2).await);
        board.delete(deleted, NO_GRACE).await;
        board.sql.execute("DELETE FROM tablos WHERE id = $1", &[&unstamped]).await.unwrap();

        let whole = poll_at_most(polls, board.clean_with(&board.client, in_batches_of(3))).await;

        board.assert_nothing_is_lost().await;
        board.clean().await.verdict().unwrap();
        board.assert_all_is_tidy().await;
        if whole.is_some() {
            break;
        }
    }
    assert!(polls > 30, "{polls} polls are too few to have been everywhere");
}

#[tokio::test]
async fn a_cleanup_asked_to_stop_ends_between_batches_and_says_so() {
    let board = Board::new().await;
    let tablo = board.tablo_with(30).await;
    board.delete(tablo, NO_GRACE).await;

    let report = orphan_file_cleanup::run(&board.database.database, &board.client, &in_batches_of(10), || {
        board.store.delete_requests() > 0
    })
    .await
    .unwrap();

    assert_eq!((report.deleted, report.cut_short), (10, Some(CutShort::Cancelled)));
    assert!(matches!(report.verdict(), Err(CleanupError::Cancelled { deleted: 10 })));
    assert_eq!(board.clean().await.deleted, 20);
}

#[tokio::test]
async fn two_cleanups_at_once_share_the_work() {
    let board = Board::new().await;
    for _ in 0..10 {
        let tablo = board.tablo_with(100).await;
        board.delete(tablo, NO_GRACE).await;
    }
    let (one, other) = (in_batches_of(20), Settings { job_id: JOB + 1, ..in_batches_of(20) });

    let (one, other) = tokio::join!(board.clean_with(&board.client, one), board.clean_with(&board.client, other));

    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.deleted + other.deleted, 1000, "each file once");
    board.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_of_a_cleanup_is_followed_by_one_that_does_the_rest() {
    let board = Board::new().await;
    let tablo = board.tablo_with(300).await;
    board.tablo_with(3).await;
    board.store.stall_at(Point::MidDelete);
    let first = worker(&board);
    first.wait_for_event("worker ready", SOON).await;

    board.delete(tablo, NO_GRACE).await;
    board.store.stalled().await;
    first.signal(Signal::Kill);
    drop(first);
    board.assert_nothing_is_lost().await;
    assert_eq!(board.store.objects().len(), 150 + 3, "half of the objects are gone");
    assert_eq!(board.rows("state = 'deleting'").await, 300, "and none of the rows");
    board.store.go_on();

    let second = worker(&board);
    second.wait_for_event("orphan cleanup done", SOON).await;
    board.assert_all_is_tidy().await;
    until("the job is completed", SOON, || async {
        let job = "SELECT attempt FROM postrider.jobs WHERE kind = 'orphan_file_cleanup' AND state = 'completed'";
        board.sql.query_opt(job, &[]).await.unwrap().map(|job| assert_eq!(job.get::<_, i32>(0), 2))
    })
    .await;
}

fn worker(board: &Board) -> Process {
    let mut command = command::worker(&board.database.url, ["run"]);
    let config = board.store.config();
    command
        .env("LOG_FORMAT", "json")
        .env("S3_ENDPOINT", config.endpoint.unwrap())
        .env("S3_BUCKET", config.bucket.unwrap())
        .env("S3_ACCESS_KEY", config.access_key.unwrap())
        .env("S3_SECRET_KEY", config.secret_key.unwrap())
        .env("S3_USE_PATH_STYLE", "true");
    Process::spawn(&mut command)
}
