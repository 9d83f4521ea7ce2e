//! The orphan cleanup against a real S3 server: what is not carried any more goes, and nothing else,
//! however the store fails.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use postrider::app::jobs::orphan_file_cleanup::{CleanupError, CutShort};
use support::board::{Board, JOB, NO_GRACE, in_batches_of, settings};
use support::object_store::Point;
use support::wait::within;

const SOON: Duration = Duration::from_secs(30);

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

    let report =
        within("the end", SOON, board.clean_with(&board.store.impatient_client(), settings(JOB))).await.unwrap();

    assert_eq!((report.deleted, report.failed), (0, 1));
    board.store.heal();
    assert_eq!(board.clean().await.deleted, 1);
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
