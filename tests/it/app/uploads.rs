//! Uploads and downloads against a real S3 server: what is served is whole, and whatever an upload
//! leaves behind, however it ended, is found in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::support::interruption::{poll_at_most, run_until_stalled};
use crate::support::object_store::Point;
use crate::support::tablo_fixture::{NO_GRACE, TabloFixture, upload_with};
use crate::support::wait::within;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use postrider::app::object_store::Limits;
use postrider::app::{AppError, ObjectStoreConfig, files, tablos};
use uuid::Uuid;

const SOON: Duration = Duration::from_mins(2);

type Chunk = Result<Bytes, std::io::Error>;

#[tokio::test]
async fn what_was_stored_is_served() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo().await;
    for (name, bytes) in [("empty", &b""[..]), ("one", b"1"), ("ä b?&#%.txt", b"odd name"), ("...", b"dots")] {
        let record = fixture.upload(tablo, name, bytes).await.unwrap();
        assert_eq!((record.tablo_id, record.name.as_str(), record.size), (tablo, name, bytes.len() as u64));
        assert_eq!(fixture.served(tablo, name).await.as_deref(), Some(bytes), "{name}");
    }
    let found = tablos::find(&fixture.database.database, tablo).await.unwrap().unwrap();
    let mut names: Vec<&str> = found.files.iter().map(|file| file.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["...", "empty", "one", "ä b?&#%.txt"]);
    assert!(fixture.store.objects().iter().all(|key| key.starts_with(&format!("tablos/{tablo}/"))));
    assert_eq!(fixture.served(tablo, "other").await, None);
    assert_eq!(fixture.served(Uuid::nil(), "one").await, None);
    fixture.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_large_file_goes_through_in_chunks() {
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 512;
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo().await;
    let chunks = stream::iter(0..CHUNKS).map(|n| Chunk::Ok(Bytes::from(vec![u8::try_from(n % 251).unwrap(); CHUNK])));

    let size = (CHUNK * CHUNKS) as u64;
    files::upload(&fixture.database.database, &fixture.client, tablo, "large", size, chunks).await.unwrap();

    let download =
        files::download(&fixture.database.database, &fixture.client, tablo, "large", |_| None).await.unwrap().unwrap();
    assert_eq!(download.record.size, size);
    let (mut at, mut body) = (0, download.body);
    while let Some(chunk) = body.try_next().await.unwrap() {
        assert!(chunk.iter().enumerate().all(|(n, byte)| usize::from(*byte) == (at + n) / CHUNK % 251), "at {at}");
        at += chunk.len();
    }
    assert_eq!(at as u64, size);
}

#[tokio::test]
async fn a_body_is_read_no_faster_than_the_store_takes_it() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo().await;
    fixture.store.stall_at(Point::BeforePut);
    let read = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&read);
    let size = 5 * 1024 * 1024 * 1024;
    let chunk = Bytes::from(vec![7; 64 * 1024]);
    let endless = stream::repeat_with(move || {
        count.fetch_add(chunk.len() as u64, Ordering::SeqCst);
        Chunk::Ok(chunk.clone())
    });

    let upload = files::upload(&fixture.database.database, &fixture.client, tablo, "huge", size, endless);
    let full = async {
        fixture.store.stalled().await;
        within("a reader that waits", SOON, async {
            let mut before = 0;
            loop {
                // Long enough for a reader that does not wait to read on.
                tokio::time::sleep(Duration::from_millis(200)).await;
                let now = read.load(Ordering::SeqCst);
                if now > 0 && std::mem::replace(&mut before, now) == now {
                    break;
                }
            }
        })
        .await;
    };
    tokio::select! {
        _ = upload => panic!("the store took it"),
        () = full => {}
    }
    let read = read.load(Ordering::SeqCst);
    assert!(read < 32 * 1024 * 1024, "{read} bytes were read ahead");
}

#[tokio::test]
async fn a_name_used_again_goes_over_to_the_new_file_and_the_old_object_goes() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo().await;
    let old = fixture.upload(tablo, "report", b"old").await.unwrap();
    let new = fixture.upload(tablo, "report", b"new one").await.unwrap();

    assert_ne!(old.id, new.id);
    assert_eq!(fixture.served(tablo, "report").await.as_deref(), Some(&b"new one"[..]));
    assert_eq!(fixture.rows("orphan_cause = 'superseded'").await, 1);
    let enqueued = "SELECT FROM postrider.jobs WHERE kind = 'orphan_file_cleanup'";
    assert_eq!(fixture.sql.query(enqueued, &[]).await.unwrap().len(), 1, "one cleanup, for the second only");

    assert_eq!(fixture.clean().await.deleted, 1);
    fixture.assert_all_is_tidy().await;
    assert_eq!(tablos::find(&fixture.database.database, tablo).await.unwrap().unwrap().files.len(), 1);
}

#[tokio::test]
async fn a_replaced_file_does_not_come_back_with_its_tablo() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo().await;
    fixture.upload(tablo, "report", b"old").await.unwrap();
    fixture.upload(tablo, "report", b"new").await.unwrap();
    fixture.delete(tablo, Duration::from_hours(1)).await;
    tablos::restore(&fixture.database.database, tablo, "back").await.unwrap();
    assert_eq!(fixture.served(tablo, "report").await.as_deref(), Some(&b"new"[..]));
    assert_eq!(fixture.clean().await.deleted, 1);
    fixture.assert_all_is_tidy().await;
}

#[tokio::test]
async fn uploads_of_one_name_at_once_leave_one_file() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo().await;
    let uploads = (0..8).map(|_| fixture.upload(tablo, "same", b"bytes"));
    for result in futures_util::future::join_all(uploads).await {
        result.unwrap();
    }
    assert_eq!(fixture.clean().await.deleted, 7);
    assert_eq!(fixture.served(tablo, "same").await.as_deref(), Some(&b"bytes"[..]));
    fixture.assert_all_is_tidy().await;
}

#[tokio::test]
async fn what_is_not_allowed_writes_nothing() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo().await;
    for name in ["", "a/b", "../up", "nul\0", "line\n", &"x".repeat(256)] {
        let refused = fixture.upload(tablo, name, b"x").await;
        assert!(matches!(refused, Err(AppError::Invalid { field: "name", .. })), "{name:?}: {refused:?}");
    }
    let unknown = Uuid::now_v7();
    let refused = fixture.upload(unknown, "a", b"x").await;
    assert!(matches!(refused, Err(AppError::TabloNotFound(id)) if id == unknown), "{refused:?}");
    let body = stream::empty::<Chunk>();
    let too_large = files::MAX_FILE_BYTES + 1;
    let refused = files::upload(&fixture.database.database, &fixture.client, tablo, "a", too_large, body).await;
    assert!(matches!(refused, Err(AppError::TooLarge { .. })), "{refused:?}");
    for name in ["", "a\0", &"x".repeat(1025)] {
        assert!(matches!(
            tablos::create(&fixture.database.database, name).await,
            Err(AppError::Invalid { field: "name", .. })
        ));
    }
    assert_eq!((fixture.rows("true").await, fixture.store.objects().len()), (0, 0));
}

#[tokio::test]
async fn a_body_that_breaks_off_or_has_another_length_is_not_served_and_goes_in_the_end() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo().await;
    let database = &fixture.database.database;
    let chunk = || Chunk::Ok(Bytes::from_static(b"12345"));

    let short = files::upload(database, &fixture.client, tablo, "a", 6, stream::iter([chunk()])).await;
    assert!(matches!(short, Err(AppError::LengthMismatch { declared: 6, received: 5 })), "{short:?}");
    let long = files::upload(database, &fixture.client, tablo, "a", 4, stream::iter([chunk()])).await;
    assert!(matches!(long, Err(AppError::LengthMismatch { declared: 4, received: 5 })), "{long:?}");
    let later = stream::iter([chunk(), chunk()]);
    let long = files::upload(database, &fixture.client, tablo, "a", 5, later).await;
    assert!(matches!(long, Err(AppError::LengthMismatch { declared: 5, received: 10 })), "{long:?}");
    let broken = stream::iter([chunk(), Err(std::io::Error::other("hung up"))]);
    let broken = files::upload(database, &fixture.client, tablo, "a", 10, broken).await;
    assert!(matches!(&broken, Err(AppError::Body(problem)) if problem == "hung up"), "{broken:?}");

    assert_eq!(fixture.served(tablo, "a").await, None);
    assert_eq!(fixture.rows("state = 'pending'").await, 4);
    days_pass(&fixture).await;
    fixture.assert_all_is_tidy().await;
}

/// All that is left to the sweeps after an hour and after a day.
async fn days_pass(fixture: &TabloFixture) {
    fixture.age("61 minutes").await;
    fixture.clean().await.verdict().unwrap();
    fixture.age("25 hours").await;
    fixture.clean().await.verdict().unwrap();
}

#[tokio::test]
async fn an_upload_that_dies_at_the_store_is_swept_after_an_hour_and_once_more_a_day_later() {
    for point in [Point::BeforePut, Point::AfterPut] {
        let fixture = TabloFixture::new().await;
        let tablo = fixture.tablo().await;
        fixture.upload(tablo, "other", b"stays").await.unwrap();
        fixture.store.stall_at(point);
        run_until_stalled(&fixture.store, &mut Box::pin(fixture.upload(tablo, "a", b"lost"))).await;
        fixture.store.go_on();
        assert_eq!(fixture.served(tablo, "a").await, None, "{point:?}");
        fixture.assert_nothing_is_lost().await;

        // Not before the hour is over: it might still be under way.
        fixture.age("59 minutes").await;
        assert_eq!(fixture.clean().await.abandoned, 0, "{point:?}");
        fixture.age("2 minutes").await;
        let report = fixture.clean().await;
        assert_eq!((report.abandoned, report.deleted), (1, 1), "{point:?}");

        // And here it comes, late.
        let key: String =
            fixture.sql.query_one("SELECT s3_key FROM tablo_files WHERE state = 'deleting'", &[]).await.unwrap().get(0);
        assert!(!fixture.store.objects().contains(&key), "{point:?}");
        fixture.store.land(&key, b"lost");
        assert_eq!(fixture.served(tablo, "a").await, None, "{point:?}");
        assert_eq!(fixture.clean().await.deleted, 0, "{point:?}");
        fixture.assert_nothing_is_lost().await;

        fixture.age("1 day").await;
        assert_eq!(fixture.clean().await.deleted, 1, "{point:?}");
        fixture.assert_all_is_tidy().await;
        assert_eq!(fixture.served(tablo, "other").await.as_deref(), Some(&b"stays"[..]));
    }
}

#[tokio::test]
async fn an_upload_may_die_at_any_instant() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo().await;
    fixture.upload(tablo, "a", b"the first").await.unwrap();
    let mut polls = 0;
    loop {
        polls += 1;
        let whole = poll_at_most(polls, fixture.upload(tablo, "a", b"the second")).await;
        fixture.assert_nothing_is_lost().await;
        let served = fixture.served(tablo, "a").await.expect("one or the other");
        match &whole {
            Some(result) => {
                result.as_ref().unwrap();
                assert_eq!(served, b"the second");
                break;
            }
            None => assert!(served == b"the first" || served == b"the second", "{served:?}"),
        }
    }
    // One each for the row that announces it, the object, and the row that makes it the file's. How many more
    // there are is the machine's affair: what has come meanwhile needs no poll of its own.
    assert!(polls > 3, "{polls} polls are too few to have been everywhere");
    days_pass(&fixture).await;
    fixture.assert_all_is_tidy().await;
    assert_eq!(fixture.served(tablo, "a").await.as_deref(), Some(&b"the second"[..]));
}

#[tokio::test]
async fn a_tablo_deleted_during_an_upload_takes_the_file_with_it() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo().await;
    fixture.store.stall_at(Point::BeforePut);
    let mut upload = Box::pin(fixture.upload(tablo, "a", b"late"));
    run_until_stalled(&fixture.store, &mut upload).await;
    fixture.delete(tablo, NO_GRACE).await;
    // The object is not there yet, so its row must not go either.
    assert_eq!(fixture.clean().await.deleted, 0);
    fixture.store.go_on();

    let refused = upload.await;

    assert!(matches!(refused, Err(AppError::TabloNotFound(id)) if id == tablo), "{refused:?}");
    fixture.assert_nothing_is_lost().await;
    let requested = "SELECT FROM postrider.jobs WHERE kind = 'orphan_file_cleanup'";
    assert_eq!(fixture.sql.query(requested, &[]).await.unwrap().len(), 2, "one for the tablo, one for the upload");
    assert_eq!(fixture.clean().await.deleted, 1);
    fixture.assert_all_is_tidy().await;
}

#[tokio::test]
async fn an_upload_that_was_taken_for_abandoned_fails_and_leaves_nothing() {
    // After the first look the row still stands for the key, after the second there is none.
    for row_is_gone in [false, true] {
        let fixture = TabloFixture::new().await;
        let tablo = fixture.tablo().await;
        fixture.upload(tablo, "a", b"the first").await.unwrap();
        fixture.store.stall_at(Point::AfterPut);
        let mut upload = Box::pin(fixture.upload(tablo, "a", b"stopped for hours"));
        run_until_stalled(&fixture.store, &mut upload).await;
        fixture.age("61 minutes").await;
        assert_eq!(fixture.clean().await.abandoned, 1);
        if row_is_gone {
            days_pass(&fixture).await;
        }
        fixture.store.go_on();

        let refused = upload.await;

        assert!(matches!(refused, Err(AppError::UploadTimedOut(_))), "{refused:?}");
        assert_eq!(fixture.served(tablo, "a").await.as_deref(), Some(&b"the first"[..]));
        fixture.assert_nothing_is_lost().await;
        days_pass(&fixture).await;
        fixture.assert_all_is_tidy().await;
    }
}

#[tokio::test]
async fn an_upload_to_a_store_that_stalls_or_is_down_ends() {
    let mut fixture = TabloFixture::new().await;
    let tablo = fixture.tablo().await;
    let short = Limits { upload: Duration::from_millis(300), ..Limits::default() };
    let hasty = fixture.store.client_with(short);
    fixture.store.stall_at(Point::BeforePut);
    let result = within("an end", SOON, upload_with(&fixture.database, &hasty, tablo, "a", b"x")).await;
    assert!(matches!(result, Err(AppError::UploadTimedOut(_) | AppError::Storage { .. })), "{result:?}");
    fixture.store.go_on();

    fixture.store.go_down().await;
    let result = within("an end", SOON, fixture.upload(tablo, "a", b"x")).await;
    assert!(matches!(result, Err(AppError::Storage { .. })), "{result:?}");
    fixture.store.come_up().await;
    days_pass(&fixture).await;
    fixture.assert_all_is_tidy().await;
}

#[tokio::test]
async fn an_object_that_is_gone_or_of_another_size_is_an_error_and_not_served() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo().await;
    let record = fixture.upload(tablo, "a", b"bytes").await.unwrap();
    let key = format!("tablos/{tablo}/{}", record.id);
    fixture.store.land(&key, b"cut");
    let result = files::download(&fixture.database.database, &fixture.client, tablo, "a", |_| None).await;
    assert!(matches!(result, Err(AppError::Storage { .. })), "another size");
    fixture.store.lose(&key);
    let result = files::download(&fixture.database.database, &fixture.client, tablo, "a", |_| None).await;
    assert!(matches!(result, Err(AppError::ObjectMissing(id)) if id == record.id), "gone");
}

#[tokio::test]
async fn the_check_reports_whether_the_store_answers_and_has_the_bucket() {
    let mut fixture = TabloFixture::new().await;
    fixture.client.check().await.unwrap();

    let elsewhere = ObjectStoreConfig { bucket: Some("nowhere".to_owned()), ..fixture.store.config() };
    postrider::app::ObjectStore::new(elsewhere).check().await.unwrap_err();

    let wrong_key = ObjectStoreConfig { secret_key: Some("wrong-secret".to_owned()), ..fixture.store.config() };
    let error = postrider::app::ObjectStore::new(wrong_key).check().await.unwrap_err();
    assert!(!error.to_string().contains("wrong-secret"), "{error}");

    fixture.store.go_down().await;
    within("an answer", SOON, fixture.client.check()).await.unwrap_err();
}
