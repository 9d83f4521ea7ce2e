//! Cleanups that die, stop, or run twice at once: whatever the instant, nothing is lost and the next
//! one does the rest.

use std::time::Duration;

use crate::support::command;
use crate::support::interruption::{poll_at_most, run_until_stalled};
use crate::support::object_store::Point;
use crate::support::process::{Process, Signal};
use crate::support::tablo_fixture::{JOB, NO_GRACE, TabloFixture, in_batches_of, settings};
use crate::support::wait::until;
use postrider::app::jobs::orphan_file_cleanup::{self, CleanupError, CutShort, Settings};

const SOON: Duration = Duration::from_mins(2);

#[tokio::test]
async fn a_cleanup_that_dies_at_the_store_is_taken_up_by_the_next_attempt_of_its_job() {
    for point in [Point::BeforeDelete, Point::MidDelete, Point::AfterDelete] {
        let fixture = TabloFixture::new().await;
        let tablo = fixture.tablo_with(30).await;
        fixture.tablo_with(3).await;
        fixture.delete(tablo, NO_GRACE).await;
        fixture.store.stall_at(point);
        {
            let mut dying = Box::pin(fixture.clean_with(&fixture.client, in_batches_of(10)));
            run_until_stalled(&fixture.store, &mut dying).await;
        }
        fixture.assert_nothing_is_lost().await;
        assert_eq!(fixture.rows("state = 'deleting'").await, 30, "{point:?}");
        fixture.store.go_on();

        let report = fixture.clean().await;

        assert_eq!(report.deleted, 30, "{point:?}");
        fixture.assert_all_is_tidy().await;
    }
}

#[tokio::test]
async fn another_cleanup_leaves_the_claims_of_a_dead_one_alone_for_three_minutes() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(30).await;
    fixture.delete(tablo, NO_GRACE).await;
    fixture.store.stall_at(Point::BeforeDelete);
    run_until_stalled(&fixture.store, &mut Box::pin(fixture.clean_with(&fixture.client, in_batches_of(10)))).await;
    fixture.store.go_on();

    let other = settings(JOB + 1);
    assert_eq!(fixture.clean_with(&fixture.client, other).await.unwrap().deleted, 20);
    fixture.age("3 minutes").await;
    assert_eq!(fixture.clean_with(&fixture.client, other).await.unwrap().deleted, 10);
    fixture.assert_all_is_tidy().await;
}

#[tokio::test]
async fn two_cleanups_of_one_abandoned_upload_leave_its_row_for_the_second_pass() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo().await;
    fixture.store.stall_at(Point::BeforePut);
    run_until_stalled(&fixture.store, &mut Box::pin(fixture.upload(tablo, "a", b"lost"))).await;
    fixture.age("61 minutes").await;
    fixture.store.stall_at(Point::AfterDelete);
    let mut first = Box::pin(fixture.clean());
    run_until_stalled(&fixture.store, &mut first).await;
    fixture.store.go_on();

    // As after a rescue: another attempt of the job runs while the first is not quite dead.
    assert_eq!(fixture.clean().await.deleted, 1);
    first.await;

    assert_eq!(fixture.rows("state = 'deleting' AND swept_at IS NOT NULL").await, 1);
}

#[tokio::test]
async fn a_cleanup_may_die_at_any_instant() {
    let fixture = TabloFixture::new().await;
    fixture.tablo_with(3).await;
    let mut polls = 0;
    loop {
        polls += 1;
        let (deleted, unstamped) = (fixture.tablo_with(5).await, fixture.tablo_with(2).await);
        fixture.delete(deleted, NO_GRACE).await;
        fixture.sql.execute("DELETE FROM tablos WHERE id = $1", &[&unstamped]).await.unwrap();

        let whole = poll_at_most(polls, fixture.clean_with(&fixture.client, in_batches_of(3))).await;

        fixture.assert_nothing_is_lost().await;
        fixture.clean().await.verdict().unwrap();
        fixture.assert_all_is_tidy().await;
        if whole.is_some() {
            break;
        }
    }
    assert!(polls > 15, "{polls} polls are too few to have been everywhere");
}

#[tokio::test]
async fn a_cleanup_asked_to_stop_ends_between_batches_and_says_so() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(30).await;
    fixture.delete(tablo, NO_GRACE).await;

    let report = orphan_file_cleanup::run(&fixture.database.database, &fixture.client, &in_batches_of(10), || {
        fixture.store.delete_requests() > 0
    })
    .await
    .unwrap();

    assert_eq!((report.deleted, report.cut_short), (10, Some(CutShort::Cancelled)));
    assert!(matches!(report.verdict(), Err(CleanupError::Cancelled { deleted: 10 })));
    assert_eq!(fixture.clean().await.deleted, 20);
}

#[tokio::test]
async fn two_cleanups_at_once_share_the_work() {
    let fixture = TabloFixture::new().await;
    for _ in 0..10 {
        let tablo = fixture.tablo_with(100).await;
        fixture.delete(tablo, NO_GRACE).await;
    }
    let (one, other) = (in_batches_of(20), Settings { job_id: JOB + 1, ..in_batches_of(20) });

    let (one, other) =
        tokio::join!(fixture.clean_with(&fixture.client, one), fixture.clean_with(&fixture.client, other));

    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.deleted + other.deleted, 1000, "each file once");
    fixture.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_of_a_cleanup_is_followed_by_one_that_does_the_rest() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(300).await;
    fixture.tablo_with(3).await;
    fixture.store.stall_at(Point::MidDelete);
    let first = worker(&fixture);
    first.wait_for_event("worker ready", SOON).await;

    fixture.delete(tablo, NO_GRACE).await;
    fixture.store.stalled().await;
    first.signal(Signal::Kill);
    drop(first);
    fixture.assert_nothing_is_lost().await;
    assert_eq!(fixture.store.objects().len(), 150 + 3, "half of the objects are gone");
    assert_eq!(fixture.rows("state = 'deleting'").await, 300, "and none of the rows");
    fixture.store.go_on();

    let second = worker(&fixture);
    second.wait_for_event("orphan cleanup done", SOON).await;
    fixture.assert_all_is_tidy().await;
    until("the job is completed", SOON, || async {
        let job = "SELECT attempt FROM postrider.jobs WHERE kind = 'orphan_file_cleanup' AND state = 'completed'";
        fixture.sql.query_opt(job, &[]).await.unwrap().map(|job| assert_eq!(job.get::<_, i32>(0), 2))
    })
    .await;
}

fn worker(fixture: &TabloFixture) -> Process {
    let mut command = command::worker(&fixture.database.url, ["run"]);
    command.env("LOG_FORMAT", "json").envs(fixture.store.env());
    Process::spawn(&mut command)
}
