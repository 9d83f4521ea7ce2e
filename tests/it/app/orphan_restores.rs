//! Tablos that come back, in time or too late, and orphans without a stamp.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::support::interruption::run_until_stalled;
use crate::support::object_store::Point;
use crate::support::tablo_fixture::{JOB, NO_GRACE, TabloFixture, in_batches_of, settings};
use postrider::app::jobs::orphan_file_cleanup::{self, Settings};
use postrider::app::{AppError, tablos};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn within_the_grace_nothing_is_deleted_and_the_tablo_comes_back_whole() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(5).await;
    fixture.delete(tablo, HOUR).await;
    assert_eq!(fixture.served(tablo, "0").await, None);

    assert_eq!(fixture.clean().await.deleted, 0);
    let restored = tablos::restore(&fixture.database.database, tablo, "back again").await.unwrap();

    assert_eq!((restored.id, restored.name.as_str()), (tablo, "back again"));
    assert_eq!(fixture.served(tablo, "0").await.as_deref(), Some(&b"file"[..]));
    fixture.age("2 hours").await;
    let report = fixture.clean().await;
    assert_eq!((report.marked, report.deleted), (0, 0));
    assert_eq!(tablos::find(&fixture.database.database, tablo).await.unwrap().unwrap().files.len(), 5);

    let again = tablos::restore(&fixture.database.database, tablo, "twice").await;
    assert!(matches!(again, Err(AppError::TabloExists(_))), "{again:?}");
}

#[tokio::test]
async fn after_the_grace_the_files_go() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(5).await;
    fixture.delete(tablo, HOUR).await;
    fixture.age("59 minutes").await;
    assert_eq!(fixture.clean().await.deleted, 0);
    fixture.age("1 minute").await;
    assert_eq!(fixture.clean().await.deleted, 5);
    fixture.assert_all_is_tidy().await;
}

#[tokio::test]
async fn in_the_middle_of_a_cleanup_a_tablo_is_refused_to_come_back() {
    let fixture = TabloFixture::new().await;
    let (first, second) = (fixture.tablo_with(25).await, fixture.tablo_with(3).await);
    fixture.delete(first, NO_GRACE).await;
    fixture.delete(second, HOUR).await;
    fixture.store.stall_at(Point::AfterDelete);
    let mut cleanup = Box::pin(fixture.clean_with(&fixture.client, in_batches_of(10)));
    run_until_stalled(&fixture.store, &mut cleanup).await;

    let refused = tablos::restore(&fixture.database.database, first, "back").await;
    assert!(matches!(refused, Err(AppError::FilesBeingDeleted(id)) if id == first), "{refused:?}");
    assert!(tablos::find(&fixture.database.database, first).await.unwrap().is_none(), "nothing was written");
    tablos::restore(&fixture.database.database, second, "back").await.unwrap();

    fixture.store.go_on();
    assert_eq!(cleanup.await.unwrap().deleted, 25);
    assert_eq!(fixture.served(second, "2").await.as_deref(), Some(&b"file"[..]));
    fixture.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_tablo_that_comes_back_while_a_cleanup_begins_comes_back_whole_or_not_at_all() {
    let fixture = TabloFixture::new().await;
    let mut came_back = 0;
    for round in 0..40_u64 {
        let tablo = fixture.tablo_with(7).await;
        fixture.delete(tablo, NO_GRACE).await;
        let restore = async {
            tokio::time::sleep(Duration::from_micros(round * 400)).await;
            tablos::restore(&fixture.database.database, tablo, "back").await
        };
        let (cleaned, restored) = tokio::join!(fixture.clean_with(&fixture.client, in_batches_of(2)), restore);
        cleaned.unwrap();
        let files = tablos::find(&fixture.database.database, tablo).await.unwrap().map(|tablo| tablo.files.len());
        match restored {
            Ok(_) => {
                // Empty: the cleanup was through before.
                assert!(files == Some(7) || files == Some(0), "half of it: {files:?}");
                came_back += i32::from(files == Some(7));
            }
            Err(AppError::FilesBeingDeleted(_)) => assert_eq!(files, None),
            Err(error) => panic!("{error}"),
        }
        fixture.assert_all_is_tidy().await;
    }
    println!("{came_back} of 40 came back");
}

#[tokio::test]
async fn the_full_cleanup_stamps_unstamped_orphans_and_a_requested_one_does_not() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(3).await;
    fixture.tablo_with(3).await;
    fixture.sql.execute("DELETE FROM tablos WHERE id = $1", &[&tablo]).await.unwrap();
    assert_eq!(fixture.served(tablo, "0").await, None, "not served without its tablo");

    let requested = Settings { stamped_only: true, ..settings(JOB) };
    let report = fixture.clean_with(&fixture.client, requested).await.unwrap();
    assert_eq!((report.stamped, report.deleted), (0, 0));

    let with_grace = Settings { grace: HOUR, ..settings(JOB) };
    let report = fixture.clean_with(&fixture.client, with_grace).await.unwrap();
    assert_eq!((report.stamped, report.deleted), (3, 0));

    fixture.age("1 hour").await;
    assert_eq!(fixture.clean_with(&fixture.client, requested).await.unwrap().deleted, 3);
    fixture.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_tablo_put_back_by_hand_keeps_its_files() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(3).await;
    fixture.delete(tablo, NO_GRACE).await;
    fixture.sql.execute("INSERT INTO tablos (id, name) VALUES ($1, 'by hand')", &[&tablo]).await.unwrap();

    let report = fixture.clean().await;

    assert_eq!((report.kept, report.deleted), (3, 0));
    assert_eq!(fixture.served(tablo, "1").await.as_deref(), Some(&b"file"[..]));
}

#[tokio::test]
async fn a_tablo_is_marked_whole_so_that_it_never_comes_back_by_half() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(7).await;
    fixture.delete(tablo, NO_GRACE).await;
    // Asked before the uploads, before the first page of orphans, and before the second.
    let asked = AtomicU32::new(0);
    let pages_of_two = Settings { stamped_only: true, ..in_batches_of(2) };
    let cancelled = || asked.fetch_add(1, Ordering::SeqCst) == 2;
    orphan_file_cleanup::run(&fixture.database.database, &fixture.client, &pages_of_two, cancelled).await.unwrap();

    assert_eq!(fixture.rows("state = 'deleting'").await, 7);
}

#[tokio::test]
async fn a_cleanup_waits_for_a_tablo_that_is_just_coming_back() {
    for stamped in [true, false] {
        let fixture = TabloFixture::new().await;
        let tablo = fixture.tablo_with(3).await;
        if stamped {
            fixture.delete(tablo, NO_GRACE).await;
        } else {
            fixture.sql.execute("DELETE FROM tablos WHERE id = $1", &[&tablo]).await.unwrap();
        }
        let mut slow = fixture.database.connect().await;
        let restoring = slow.transaction().await.unwrap();
        restoring.batch_execute(include_str!("../../../sql/queries/app/decide_alone.sql")).await.unwrap();
        restoring.execute("INSERT INTO tablos (id, name) VALUES ($1, 'back')", &[&tablo]).await.unwrap();

        let commit = async {
            fixture.until_somebody_waits("pg_advisory_xact_lock").await;
            restoring.commit().await.unwrap();
        };
        // To mark is the one decision, to stamp is the other.
        let cleanup = if stamped {
            Settings { stamped_only: true, ..settings(JOB) }
        } else {
            Settings { grace: HOUR, ..settings(JOB) }
        };
        let (report, ()) = tokio::join!(fixture.clean_with(&fixture.client, cleanup), commit);

        let report = report.unwrap();
        assert_eq!((report.stamped, report.marked), (0, 0), "stamped before: {stamped}");
        assert_eq!(fixture.served(tablo, "1").await.as_deref(), Some(&b"file"[..]));
    }
}
