//! The orphan cleanup against a real S3 server: everything that is not carried any more goes, and
//! nothing else, whatever fails and whoever dies in between.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use postrider::app::jobs::orphan_file_cleanup::{self, CleanupError, CutShort, Settings};
use postrider::app::{AppError, tablos};
use support::board::{Board, JOB, NO_GRACE, in_batches_of, settings};
use support::interruption::{eventually, poll_at_most, soon};
use support::object_store::Point;

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn of_5000_files_the_2500_orphans_go_by_the_thousand_and_the_others_stay() {
    let board = Board::new().await;
    for _ in 0..5 {
        let gone = board.tablo_with(500).await;
        board.tablo_with(500).await;
        board.delete(gone, NO_GRACE).await;
    }
    assert_eq!(board.store.objects().len(), 5000);

    let report = board.clean().await;

    assert_eq!((report.marked, report.deleted, report.failed), (2500, 2500, 0));
    assert_eq!((board.store.delete_requests(), board.store.largest_delete()), (3, 1000));
    assert_eq!(board.store.objects().len(), 2500);
    board.assert_all_is_tidy().await;
    report.verdict().unwrap();
}

#[tokio::test]
async fn keys_that_the_store_refuses_inside_a_200_are_passed_by_counted_and_tried_again() {
    let board = Board::new().await;
    let tablo = board.tablo_with(2500).await;
    board.tablo_with(10).await;
    board.delete(tablo, NO_GRACE).await;
    let mut number = 0;
    board.store.refuse_keys(move |_| {
        number += 1;
        number % 10 == 0
    });

    let report = board.clean().await;

    assert_eq!((report.deleted, report.failed, report.cut_short), (2250, 250, None));
    assert_eq!(board.store.objects().len(), 250 + 10);
    board.assert_nothing_is_lost().await;
    let error = report.verdict().unwrap_err();
    assert!(matches!(error, CleanupError::Failures { deleted: 2250, failed: 250, .. }), "{error:?}");
    assert!(error.to_string().contains("AccessDenied: not this one"), "{error}");

    board.store.heal();
    let report = board.clean().await;
    assert_eq!((report.deleted, report.failed), (250, 0));
    board.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_store_that_fails_every_tenth_delete_is_asked_again() {
    let board = Board::new().await;
    let tablo = board.tablo_with(250).await;
    board.delete(tablo, NO_GRACE).await;
    board.store.fail_every(10);

    let report = board.clean_with(&board.client, in_batches_of(10)).await.unwrap();

    assert_eq!((report.deleted, report.failed), (250, 0));
    assert!(board.store.delete_requests() > 25, "some were asked twice");
    board.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_store_whose_every_tenth_delete_fails_for_good_loses_the_rest_and_the_run_fails() {
    let board = Board::new().await;
    let tablo = board.tablo_with(250).await;
    board.delete(tablo, NO_GRACE).await;
    board.store.fail_every(10);

    let report = board.clean_with(&board.store.impatient_client(), in_batches_of(10)).await.unwrap();

    assert_eq!((report.deleted, report.failed, report.cut_short), (230, 20, None));
    board.assert_nothing_is_lost().await;
    assert!(report.verdict().unwrap_err().to_string().contains("out of order"));

    // Given up by the one, free for another at once.
    board.store.heal();
    assert_eq!(board.clean_with(&board.client, settings(JOB + 1)).await.unwrap().deleted, 20);
    board.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_store_that_is_down_ends_the_run_in_an_error_and_keeps_every_row() {
    let mut board = Board::new().await;
    let tablo = board.tablo_with(100).await;
    board.delete(tablo, NO_GRACE).await;
    board.store.go_down().await;

    let report = board.clean_with(&board.store.impatient_client(), in_batches_of(10)).await.unwrap();

    assert_eq!((report.deleted, report.failed, report.cut_short), (0, 30, Some(CutShort::StoreDown)));
    assert_eq!(board.rows("state = 'deleting'").await, 100);
    assert!(matches!(report.verdict(), Err(CleanupError::StoreDown { failed: 30, .. })));

    board.store.come_up().await;
    assert_eq!(board.clean().await.deleted, 100);
    board.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_store_that_stalls_is_given_up() {
    let board = Board::new().await;
    let tablo = board.tablo_with(1).await;
    board.delete(tablo, NO_GRACE).await;
    board.store.stall_at(Point::BeforeDelete);

    let report = soon("the end", board.clean_with(&board.store.impatient_client(), settings(JOB))).await.unwrap();

    assert_eq!((report.deleted, report.failed), (0, 1));
    board.store.heal();
    assert_eq!(board.clean().await.deleted, 1);
}

#[tokio::test]
async fn a_cleanup_that_dies_at_the_store_is_taken_up_by_the_next_attempt_of_its_job() {
    for point in [Point::BeforeDelete, Point::MidDelete, Point::AfterDelete] {
        let board = Board::new().await;
        let tablo = board.tablo_with(30).await;
        board.tablo_with(3).await;
        board.delete(tablo, NO_GRACE).await;
        board.store.stall_at(point);
        {
            let dying = board.clean_with(&board.client, in_batches_of(10));
            tokio::select! {
                _ = dying => panic!("{point:?}: not stalled"),
                () = board.store.stalled() => {}
            }
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
    tokio::select! {
        _ = board.clean_with(&board.client, in_batches_of(10)) => panic!("not stalled"),
        () = board.store.stalled() => {}
    }
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
    tokio::select! {
        _ = board.upload(tablo, "a", b"lost") => panic!("not stalled"),
        () = board.store.stalled() => {}
    }
    board.age("61 minutes").await;
    board.store.stall_at(Point::AfterDelete);
    let mut first = Box::pin(board.clean());
    tokio::select! {
        _ = &mut first => panic!("not stalled"),
        () = board.store.stalled() => {}
    }
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
async fn within_the_grace_nothing_is_deleted_and_the_tablo_comes_back_whole() {
    let board = Board::new().await;
    let tablo = board.tablo_with(5).await;
    board.delete(tablo, HOUR).await;
    assert_eq!(board.served(tablo, "0").await, None);

    assert_eq!(board.clean().await.deleted, 0);
    let restored = tablos::restore(&board.database.database, tablo, "back again").await.unwrap();

    assert_eq!((restored.id, restored.name.as_str()), (tablo, "back again"));
    assert_eq!(board.served(tablo, "0").await.as_deref(), Some(&b"file"[..]));
    board.age("2 hours").await;
    let report = board.clean().await;
    assert_eq!((report.marked, report.deleted), (0, 0));
    assert_eq!(tablos::find(&board.database.database, tablo).await.unwrap().unwrap().files.len(), 5);

    let again = tablos::restore(&board.database.database, tablo, "twice").await;
    assert!(matches!(again, Err(AppError::TabloExists(_))), "{again:?}");
}

#[tokio::test]
async fn after_the_grace_the_files_go() {
    let board = Board::new().await;
    let tablo = board.tablo_with(5).await;
    board.delete(tablo, HOUR).await;
    board.age("59 minutes").await;
    assert_eq!(board.clean().await.deleted, 0);
    board.age("1 minute").await;
    assert_eq!(board.clean().await.deleted, 5);
    board.assert_all_is_tidy().await;
}

#[tokio::test]
async fn in_the_middle_of_a_cleanup_a_tablo_is_refused_to_come_back() {
    let board = Board::new().await;
    let (first, second) = (board.tablo_with(25).await, board.tablo_with(3).await);
    board.delete(first, NO_GRACE).await;
    board.delete(second, HOUR).await;
    board.store.stall_at(Point::AfterDelete);
    let mut cleanup = Box::pin(board.clean_with(&board.client, in_batches_of(10)));
    tokio::select! {
        _ = &mut cleanup => panic!("not stalled"),
        () = board.store.stalled() => {}
    }

    let refused = tablos::restore(&board.database.database, first, "back").await;
    assert!(matches!(refused, Err(AppError::FilesBeingDeleted(id)) if id == first), "{refused:?}");
    assert!(tablos::find(&board.database.database, first).await.unwrap().is_none(), "nothing was written");
    tablos::restore(&board.database.database, second, "back").await.unwrap();

    board.store.go_on();
    assert_eq!(cleanup.await.unwrap().deleted, 25);
    assert_eq!(board.served(second, "2").await.as_deref(), Some(&b"file"[..]));
    board.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_tablo_that_comes_back_while_a_cleanup_begins_comes_back_whole_or_not_at_all() {
    let board = Board::new().await;
    let mut came_back = 0;
    for round in 0..40_u64 {
        let tablo = board.tablo_with(7).await;
        board.delete(tablo, NO_GRACE).await;
        let restore = async {
            tokio::time::sleep(Duration::from_micros(round * 400)).await;
            tablos::restore(&board.database.database, tablo, "back").await
        };
        let (cleaned, restored) = tokio::join!(board.clean_with(&board.client, in_batches_of(2)), restore);
        cleaned.unwrap();
        let files = tablos::find(&board.database.database, tablo).await.unwrap().map(|tablo| tablo.files.len());
        match restored {
            Ok(_) => {
                // Empty: the cleanup was through before.
                assert!(files == Some(7) || files == Some(0), "half of it: {files:?}");
                came_back += i32::from(files == Some(7));
            }
            Err(AppError::FilesBeingDeleted(_)) => assert_eq!(files, None),
            Err(error) => panic!("{error}"),
        }
        board.assert_all_is_tidy().await;
    }
    println!("{came_back} of 40 came back");
}

#[tokio::test]
async fn the_full_cleanup_stamps_what_nobody_stamped_and_a_requested_one_does_not() {
    let board = Board::new().await;
    let tablo = board.tablo_with(3).await;
    board.tablo_with(3).await;
    board.sql.execute("DELETE FROM tablos WHERE id = $1", &[&tablo]).await.unwrap();
    assert_eq!(board.served(tablo, "0").await, None, "not served without its tablo");

    let requested = Settings { stamped_only: true, ..settings(JOB) };
    let report = board.clean_with(&board.client, requested).await.unwrap();
    assert_eq!((report.stamped, report.deleted), (0, 0));

    let with_grace = Settings { grace: HOUR, ..settings(JOB) };
    let report = board.clean_with(&board.client, with_grace).await.unwrap();
    assert_eq!((report.stamped, report.deleted), (3, 0));

    board.age("1 hour").await;
    assert_eq!(board.clean_with(&board.client, requested).await.unwrap().deleted, 3);
    board.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_tablo_put_back_by_hand_keeps_its_files() {
    let board = Board::new().await;
    let tablo = board.tablo_with(3).await;
    board.delete(tablo, NO_GRACE).await;
    board.sql.execute("INSERT INTO tablos (id, name) VALUES ($1, 'by hand')", &[&tablo]).await.unwrap();

    let report = board.clean().await;

    assert_eq!((report.kept, report.deleted), (3, 0));
    assert_eq!(board.served(tablo, "1").await.as_deref(), Some(&b"file"[..]));
}

#[tokio::test]
async fn a_burst_of_a_thousand_deletions_asks_for_a_cleanup_a_second() {
    let board = Board::new().await;
    let mut tablos = Vec::new();
    for _ in 0..1000 {
        tablos.push(board.tablo().await);
    }
    let begun = std::time::Instant::now();
    for tablo in tablos {
        board.delete(tablo, HOUR).await;
    }
    let seconds = begun.elapsed().as_secs() + 2;
    let cleanups: i64 = board
        .sql
        .query_one("SELECT count(*) FROM postrider.jobs WHERE kind = 'orphan_file_cleanup'", &[])
        .await
        .unwrap()
        .get(0);
    assert!(cleanups >= 1 && cleanups.unsigned_abs() <= seconds, "{cleanups} in {seconds} s");
}

#[tokio::test]
async fn a_requested_cleanup_is_due_after_the_grace_and_looks_only_at_stamped_files() {
    let board = Board::new().await;
    let tablo = board.tablo_with(1).await;
    board.delete(tablo, HOUR).await;
    let job = board
        .sql
        .query_one(
            "SELECT j.args::text, j.run_at >= f.delete_after AND j.run_at <= f.delete_after + interval '1 second'
             FROM postrider.jobs AS j, tablo_files AS f",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(job.get::<_, &str>(0), r#"{"stamped_only": true}"#);
    assert!(job.get::<_, bool>(1), "due within the second after the grace");
}

#[tokio::test]
async fn a_deletion_never_takes_a_cleanup_under_way_for_its_own() {
    let board = Board::new().await;
    let (first, second) = (board.tablo_with(1).await, board.tablo_with(1).await);
    board.delete(first, NO_GRACE).await;
    board.store.stall_at(Point::BeforeDelete);
    let mut under_way = Box::pin(board.clean());
    tokio::select! {
        _ = &mut under_way => panic!("not stalled"),
        () = board.store.stalled() => {}
    }

    board.delete(second, NO_GRACE).await;

    // The keys differ in their generation, so they do also where the second is the same.
    let generations = "SELECT split_part(unique_key, '/', 2) FROM postrider.job ORDER BY id";
    let keys: Vec<String> = board.sql.query(generations, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(keys, ["0", "1"]);
    board.store.go_on();
    under_way.await;
}

#[tokio::test]
async fn a_cleanup_waits_for_deletions_that_share_its_generation() {
    let board = Board::new().await;
    let tablo = board.tablo_with(4).await;
    let mut slow = board.database.connect().await;
    let deletion = slow.transaction().await.unwrap();
    deletion.execute("DELETE FROM tablos WHERE id = $1", &[&tablo]).await.unwrap();
    deletion
        .execute(
            "UPDATE tablo_files SET orphaned_at = now(), orphan_cause = 'tablo_deleted', delete_after = now()
             WHERE tablo_id = $1",
            &[&tablo],
        )
        .await
        .unwrap();
    deletion.query("SELECT generation FROM orphan_cleanup FOR SHARE", &[]).await.unwrap();

    let requested = Settings { stamped_only: true, ..settings(JOB) };
    let cleanup = board.clean_with(&board.client, requested);
    let commit = async {
        eventually("a cleanup that waits", || async {
            let waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%generation + 1%'";
            !board.sql.query(waits, &[]).await.unwrap().is_empty()
        })
        .await;
        deletion.commit().await.unwrap();
    };
    let (report, ()) = tokio::join!(cleanup, commit);

    assert_eq!(report.unwrap().deleted, 4);
}

#[tokio::test]
async fn an_unusable_store_is_an_error_that_says_what_to_set() {
    let board = Board::new().await;
    let tablo = board.tablo_with(1).await;
    board.delete(tablo, NO_GRACE).await;
    let nowhere = postrider::app::ObjectStore::new(postrider::app::ObjectStoreConfig::default());
    let error = board.clean_with(&nowhere, settings(JOB)).await.unwrap_err();
    assert!(error.to_string().contains("S3_BUCKET"), "{error}");
    assert_eq!(board.clean().await.deleted, 1);
}

#[tokio::test]
async fn memory_and_requests_are_bounded_by_the_batch() {
    let board = Board::new().await;
    let tablo = board.tablo_with(100).await;
    board.delete(tablo, NO_GRACE).await;
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    board.store.refuse_keys(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        true
    });

    let report = board.clean_with(&board.client, in_batches_of(7)).await.unwrap();

    // All refused, and yet each key was tried just once and the run ended.
    assert_eq!((report.deleted, report.failed), (0, 100));
    assert_eq!((refused.load(Ordering::SeqCst), board.store.largest_delete()), (100, 7));
}

/// The statements of a requested cleanup, each with the types and values of its parameters.
const REQUESTED: [(&str, &str, &str, &str); 5] = [
    ("mark_abandoned", include_str!("../sql/queries/app/mark_abandoned.sql"), "bigint", "1000"),
    (
        "mark_orphans",
        include_str!("../sql/queries/app/mark_orphans.sql"),
        "float8, timestamptz, uuid, bigint",
        "0, '1970-01-01', '00000000-0000-0000-0000-000000000000', 1000",
    ),
    (
        "claim_marked",
        include_str!("../sql/queries/app/claim_marked.sql"),
        "bigint, uuid, bigint",
        "1, '00000000-0000-0000-0000-000000000000', 1000",
    ),
    ("settle_deleted", include_str!("../sql/queries/app/settle_deleted.sql"), "uuid[]", "array[gen_random_uuid()]"),
    (
        "release_claims",
        include_str!("../sql/queries/app/release_claims.sql"),
        "uuid[], bigint",
        "array[gen_random_uuid()], 1",
    ),
];

#[tokio::test]
async fn a_requested_cleanup_never_scans_the_files_that_are_carried() {
    let board = Board::new().await;
    board
        .sql
        .batch_execute(
            "INSERT INTO tablos (id, name) SELECT gen_random_uuid(), 'live' FROM generate_series(1, 200);
             INSERT INTO tablo_files (id, tablo_id, name, s3_key, size, state)
             SELECT gen_random_uuid(), t.id, n::text, 'k', 1, 'ready' FROM tablos AS t, generate_series(1, 100) AS n;
             ANALYZE tablo_files;",
        )
        .await
        .unwrap();
    for (name, text, types, values) in REQUESTED {
        board.sql.batch_execute(&format!("PREPARE {name} ({types}) AS {text}")).await.unwrap();
        let plan: Vec<String> = board
            .sql
            .query(&format!("EXPLAIN EXECUTE {name} ({values})"), &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        assert!(!plan.iter().any(|line| line.contains("Seq Scan on tablo")), "{name}:\n{}", plan.join("\n"));
    }
}
