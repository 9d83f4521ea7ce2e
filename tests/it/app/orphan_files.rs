//! The orphan cleanup against a real S3 server: what is not carried any more goes, and nothing else,
//! however the store fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::object_store::Point;
use crate::support::tablo_fixture::{JOB, NO_GRACE, TabloFixture, in_batches_of, settings};
use crate::support::wait::within;
use postrider::app::jobs::orphan_file_cleanup::{CleanupError, CutShort};

const SOON: Duration = Duration::from_mins(2);

#[tokio::test]
async fn of_5000_files_the_2500_orphans_go_by_the_thousand_and_the_others_stay() {
    let fixture = TabloFixture::new().await;
    for _ in 0..5 {
        let gone = fixture.tablo_with(500).await;
        fixture.tablo_with(500).await;
        fixture.delete(gone, NO_GRACE).await;
    }
    assert_eq!(fixture.store.objects().len(), 5000);

    let report = fixture.clean().await;

    assert_eq!((report.marked, report.deleted, report.failed), (2500, 2500, 0));
    assert_eq!((fixture.store.delete_requests(), fixture.store.largest_delete()), (3, 1000));
    assert_eq!(fixture.store.objects().len(), 2500);
    fixture.assert_all_is_tidy().await;
    report.verdict().unwrap();
}

#[tokio::test]
async fn keys_that_the_store_refuses_inside_a_200_are_passed_by_counted_and_tried_again() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(2500).await;
    fixture.tablo_with(10).await;
    fixture.delete(tablo, NO_GRACE).await;
    let mut number = 0;
    fixture.store.refuse_keys(move |_| {
        number += 1;
        number % 10 == 0
    });

    let report = fixture.clean().await;

    assert_eq!((report.deleted, report.failed, report.cut_short), (2250, 250, None));
    assert_eq!(fixture.store.objects().len(), 250 + 10);
    fixture.assert_nothing_is_lost().await;
    let error = report.verdict().unwrap_err();
    assert!(matches!(error, CleanupError::Failures { deleted: 2250, failed: 250, .. }), "{error:?}");
    assert!(error.to_string().contains("AccessDenied: not this one"), "{error}");

    fixture.store.heal();
    let report = fixture.clean().await;
    assert_eq!((report.deleted, report.failed), (250, 0));
    fixture.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_store_that_fails_every_tenth_delete_is_asked_again() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(250).await;
    fixture.delete(tablo, NO_GRACE).await;
    fixture.store.fail_every(10);

    let report = fixture.clean_with(&fixture.client, in_batches_of(10)).await.unwrap();

    assert_eq!((report.deleted, report.failed), (250, 0));
    assert!(fixture.store.delete_requests() > 25, "some were asked twice");
    fixture.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_store_whose_every_tenth_delete_always_fails_loses_the_rest_and_the_run_fails() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(250).await;
    fixture.delete(tablo, NO_GRACE).await;
    fixture.store.fail_every(10);

    let report = fixture.clean_with(&fixture.store.impatient_client(), in_batches_of(10)).await.unwrap();

    assert_eq!((report.deleted, report.failed, report.cut_short), (230, 20, None));
    fixture.assert_nothing_is_lost().await;
    assert!(report.verdict().unwrap_err().to_string().contains("out of order"));

    // Released by the one, free for another at once.
    fixture.store.heal();
    assert_eq!(fixture.clean_with(&fixture.client, settings(JOB + 1)).await.unwrap().deleted, 20);
    fixture.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_store_that_is_down_ends_the_run_in_an_error_and_keeps_every_row() {
    let mut fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(100).await;
    fixture.delete(tablo, NO_GRACE).await;
    fixture.store.go_down().await;

    let report = fixture.clean_with(&fixture.store.impatient_client(), in_batches_of(10)).await.unwrap();

    assert_eq!((report.deleted, report.failed, report.cut_short), (0, 30, Some(CutShort::StoreDown)));
    assert_eq!(fixture.rows("state = 'deleting'").await, 100);
    assert!(matches!(report.verdict(), Err(CleanupError::StoreDown { failed: 30, .. })));

    fixture.store.come_up().await;
    assert_eq!(fixture.clean().await.deleted, 100);
    fixture.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_store_that_stalls_is_given_up() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(1).await;
    fixture.delete(tablo, NO_GRACE).await;
    fixture.store.stall_at(Point::BeforeDelete);

    let report =
        within("the end", SOON, fixture.clean_with(&fixture.store.impatient_client(), settings(JOB))).await.unwrap();

    assert_eq!((report.deleted, report.failed), (0, 1));
    fixture.store.heal();
    assert_eq!(fixture.clean().await.deleted, 1);
}

#[tokio::test]
async fn an_unusable_store_is_an_error_that_says_what_to_set() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(1).await;
    fixture.delete(tablo, NO_GRACE).await;
    let nowhere = postrider::app::ObjectStore::new(postrider::app::ObjectStoreConfig::default());
    let error = fixture.clean_with(&nowhere, settings(JOB)).await.unwrap_err();
    assert!(error.to_string().contains("S3_BUCKET"), "{error}");
    assert_eq!(fixture.clean().await.deleted, 1);
}

#[tokio::test]
async fn memory_and_requests_are_bounded_by_the_batch() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(100).await;
    fixture.delete(tablo, NO_GRACE).await;
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    fixture.store.refuse_keys(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        true
    });

    let report = fixture.clean_with(&fixture.client, in_batches_of(7)).await.unwrap();

    // All refused, and yet each key was tried just once and the run ended.
    assert_eq!((report.deleted, report.failed), (0, 100));
    assert_eq!((refused.load(Ordering::SeqCst), fixture.store.largest_delete()), (100, 7));
}
