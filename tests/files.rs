//! Uploads and downloads against a real S3 server: what is served is whole, and whatever an upload
//! leaves behind, however it ended, is found in the end.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use postrider::app::object_store::Limits;
use postrider::app::{AppError, ObjectStoreConfig, files, tablos};
use support::board::{Board, NO_GRACE, upload_with};
use support::interruption::{poll_at_most, run_until_stalled};
use support::object_store::Point;
use support::wait::within;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(30);

type Chunk = Result<Bytes, std::io::Error>;

#[tokio::test]
async fn what_was_stored_is_served() {
    let board = Board::new().await;
    let tablo = board.tablo().await;
    for (name, bytes) in [("empty", &b""[..]), ("one", b"1"), ("ä b?&#%.txt", b"odd name"), ("..", b"dots")] {
        let record = board.upload(tablo, name, bytes).await.unwrap();
        assert_eq!((record.tablo_id, record.name.as_str(), record.size), (tablo, name, bytes.len() as u64));
        assert_eq!(board.served(tablo, name).await.as_deref(), Some(bytes), "{name}");
    }
    let found = tablos::find(&board.database.database, tablo).await.unwrap().unwrap();
    let mut names: Vec<&str> = found.files.iter().map(|file| file.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["..", "empty", "one", "ä b?&#%.txt"]);
    assert!(board.store.objects().iter().all(|key| key.starts_with(&format!("tablos/{tablo}/"))));
    assert_eq!(board.served(tablo, "other").await, None);
    assert_eq!(board.served(Uuid::nil(), "one").await, None);
    board.assert_all_is_tidy().await;
}

#[tokio::test]
async fn a_large_file_goes_through_in_chunks() {
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 512;
    let board = Board::new().await;
    let tablo = board.tablo().await;
    let chunks = stream::iter(0..CHUNKS).map(|n| Chunk::Ok(Bytes::from(vec![u8::try_from(n % 251).unwrap(); CHUNK])));

    let size = (CHUNK * CHUNKS) as u64;
    files::upload(&board.database.database, &board.client, tablo, "large", size, chunks).await.unwrap();

    let download = files::download(&board.database.database, &board.client, tablo, "large").await.unwrap().unwrap();
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
    let board = Board::new().await;
    let tablo = board.tablo().await;
    board.store.stall_at(Point::BeforePut);
    let read = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&read);
    let size = 5 * 1024 * 1024 * 1024;
    let chunk = Bytes::from(vec![7; 64 * 1024]);
    let endless = stream::repeat_with(move || {
        count.fetch_add(chunk.len() as u64, Ordering::SeqCst);
        Chunk::Ok(chunk.clone())
    });

    let upload = files::upload(&board.database.database, &board.client, tablo, "huge", size, endless);
    let full = async {
        board.store.stalled().await;
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
    let board = Board::new().await;
    let tablo = board.tablo().await;
    let old = board.upload(tablo, "report", b"old").await.unwrap();
    let new = board.upload(tablo, "report", b"new one").await.unwrap();

    assert_ne!(old.id, new.id);
    assert_eq!(board.served(tablo, "report").await.as_deref(), Some(&b"new one"[..]));
    assert_eq!(board.rows("orphan_cause = 'superseded'").await, 1);
    let enqueued = "SELECT FROM postrider.jobs WHERE kind = 'orphan_file_cleanup'";
    assert_eq!(board.sql.query(enqueued, &[]).await.unwrap().len(), 1, "one cleanup, for the second only");

    assert_eq!(board.clean().await.deleted, 1);
    board.assert_all_is_tidy().await;
    assert_eq!(tablos::find(&board.database.database, tablo).await.unwrap().unwrap().files.len(), 1);
}

#[tokio::test]
async fn a_replaced_file_does_not_come_back_with_its_tablo() {
    let board = Board::new().await;
    let tablo = board.tablo().await;
    board.upload(tablo, "report", b"old").await.unwrap();
    board.upload(tablo, "report", b"new").await.unwrap();
    board.delete(tablo, Duration::from_hours(1)).await;
    tablos::restore(&board.database.database, tablo, "back").await.unwrap();
    assert_eq!(board.served(tablo, "report").await.as_deref(), Some(&b"new"[..]));
    assert_eq!(board.clean().await.deleted, 1);
    board.assert_all_is_tidy().await;
}

#[tokio::test]
async fn uploads_of_one_name_at_once_leave_one_file() {
    let board = Board::new().await;
    let tablo = board.tablo().await;
    let uploads = (0..8).map(|_| board.upload(tablo, "same", b"bytes"));
    for result in futures_util::future::join_all(uploads).await {
        result.unwrap();
    }
    assert_eq!(board.clean().await.deleted, 7);
    assert_eq!(board.served(tablo, "same").await.as_deref(), Some(&b"bytes"[..]));
    board.assert_all_is_tidy().await;
}

#[tokio::test]
async fn what_is_not_allowed_writes_nothing() {
    let board = Board::new().await;
    let tablo = board.tablo().await;
    for name in ["", "a/b", "../up", "nul\0", "line\n", &"x".repeat(256)] {
        let refused = board.upload(tablo, name, b"x").await;
        assert!(matches!(refused, Err(AppError::Invalid { field: "name", .. })), "{name:?}: {refused:?}");
    }
    let unknown = Uuid::now_v7();
    let refused = board.upload(unknown, "a", b"x").await;
    assert!(matches!(refused, Err(AppError::TabloNotFound(id)) if id == unknown), "{refused:?}");
    let body = stream::empty::<Chunk>();
    let too_large = files::MAX_FILE_BYTES + 1;
    let refused = files::upload(&board.database.database, &board.client, tablo, "a", too_large, body).await;
    assert!(matches!(refused, Err(AppError::TooLarge { .. })), "{refused:?}");
    for name in ["", "a\0", &"x".repeat(1025)] {
        assert!(matches!(
            tablos::create(&board.database.database, name).await,
            Err(AppError::Invalid { field: "name", .. })
        ));
    }
    assert_eq!((board.rows("true").await, board.store.objects().len()), (0, 0));
}

#[tokio::test]
async fn a_body_that_breaks_off_or_has_another_length_is_not_served_and_goes_in_the_end() {
    let board = Board::new().await;
    let tablo = board.tablo().await;
    let database = &board.database.database;
    let chunk = || Chunk::Ok(Bytes::from_static(b"12345"));

    let short = files::upload(database, &board.client, tablo, "a", 6, stream::iter([chunk()])).await;
    assert!(matches!(short, Err(AppError::LengthMismatch { declared: 6, received: 5 })), "{short:?}");
    let long = files::upload(database, &board.client, tablo, "a", 4, stream::iter([chunk()])).await;
    assert!(matches!(long, Err(AppError::LengthMismatch { declared: 4, received: 5 })), "{long:?}");
    let later = stream::iter([chunk(), chunk()]);
    let long = files::upload(database, &board.client, tablo, "a", 5, later).await;
    assert!(matches!(long, Err(AppError::LengthMismatch { declared: 5, received: 10 })), "{long:?}");
    let broken = stream::iter([chunk(), Err(std::io::Error::other("hung up"))]);
    let broken = files::upload(database, &board.client, tablo, "a", 10, broken).await;
    assert!(matches!(&broken, Err(AppError::Body(problem)) if problem == "hung up"), "{broken:?}");

    assert_eq!(board.served(tablo, "a").await, None);
    assert_eq!(board.rows("state = 'pending'").await, 4);
    days_pass(&board).await;
    board.assert_all_is_tidy().await;
}

/// All that is left to the sweeps after an hour and after a day.
async fn days_pass(board: &Board) {
    board.age("61 minutes").await;
    board.clean().await.verdict().unwrap();
    board.age("25 hours").await;
    board.clean().await.verdict().unwrap();
}

#[tokio::test]
async fn an_upload_that_dies_at_the_store_is_swept_after_an_hour_and_once_more_a_day_later() {
    for point in [Point::BeforePut, Point::AfterPut] {
        let board = Board::new().await;
        let tablo = board.tablo().await;
        board.upload(tablo, "other", b"stays").await.unwrap();
        board.store.stall_at(point);
        run_until_stalled(&board.store, &mut Box::pin(board.upload(tablo, "a", b"lost"))).await;
        board.store.go_on();
        assert_eq!(board.served(tablo, "a").await, None, "{point:?}");
        board.assert_nothing_is_lost().await;

        // Not before the hour is over: it might still be under way.
        board.age("59 minutes").await;
        assert_eq!(board.clean().await.abandoned, 0, "{point:?}");
        board.age("2 minutes").await;
        let report = board.clean().await;
        assert_eq!((report.abandoned, report.deleted), (1, 1), "{point:?}");

        // And here it comes, late.
        let key: String =
            board.sql.query_one("SELECT s3_key FROM tablo_files WHERE state = 'deleting'", &[]).await.unwrap().get(0);
        assert!(!board.store.objects().contains(&key), "{point:?}");
        board.store.land(&key, b"lost");
        assert_eq!(board.served(tablo, "a").await, None, "{point:?}");
        assert_eq!(board.clean().await.deleted, 0, "{point:?}");
        board.assert_nothing_is_lost().await;

        board.age("1 day").await;
        assert_eq!(board.clean().await.deleted, 1, "{point:?}");
        board.assert_all_is_tidy().await;
        assert_eq!(board.served(tablo, "other").await.as_deref(), Some(&b"stays"[..]));
    }
}

#[tokio::test]
async fn an_upload_may_die_at_any_instant() {
    let board = Board::new().await;
    let tablo = board.tablo().await;
    board.upload(tablo, "a", b"the first").await.unwrap();
    let mut polls = 0;
    loop {
        polls += 1;
        let whole = poll_at_most(polls, board.upload(tablo, "a", b"the second")).await;
        board.assert_nothing_is_lost().await;
        let served = board.served(tablo, "a").await.expect("one or the other");
        match &whole {
            Some(result) => {
                result.as_ref().unwrap();
                assert_eq!(served, b"the second");
                break;
            }
            None => assert!(served == b"the first" || served == b"the second", "{served:?}"),
        }
    }
    assert!(polls > 10, "{polls} polls are too few to have been everywhere");
    days_pass(&board).await;
    board.assert_all_is_tidy().await;
    assert_eq!(board.served(tablo, "a").await.as_deref(), Some(&b"the second"[..]));
}

#[tokio::test]
async fn a_tablo_deleted_during_an_upload_takes_the_file_with_it() {
    let board = Board::new().await;
    let tablo = board.tablo().await;
    board.store.stall_at(Point::BeforePut);
    let mut upload = Box::pin(board.upload(tablo, "a", b"late"));
    run_until_stalled(&board.store, &mut upload).await;
    board.delete(tablo, NO_GRACE).await;
    // The object is not there yet, so its row must not go either.
    assert_eq!(board.clean().await.deleted, 0);
    board.store.go_on();

    let refused = upload.await;

    assert!(matches!(refused, Err(AppError::TabloNotFound(id)) if id == tablo), "{refused:?}");
    board.assert_nothing_is_lost().await;
    let requested = "SELECT FROM postrider.jobs WHERE kind = 'orphan_file_cleanup'";
    assert_eq!(board.sql.query(requested, &[]).await.unwrap().len(), 2, "one for the tablo, one for the upload");
    assert_eq!(board.clean().await.deleted, 1);
    board.assert_all_is_tidy().await;
}

#[tokio::test]
async fn an_upload_that_was_taken_for_abandoned_fails_and_leaves_nothing() {
    // After the first look the row still stands for the key, after the second there is none.
    for row_is_gone in [false, true] {
        let board = Board::new().await;
        let tablo = board.tablo().await;
        board.upload(tablo, "a", b"the first").await.unwrap();
        board.store.stall_at(Point::AfterPut);
        let mut upload = Box::pin(board.upload(tablo, "a", b"stopped for hours"));
        run_until_stalled(&board.store, &mut upload).await;
        board.age("61 minutes").await;
        assert_eq!(board.clean().await.abandoned, 1);
        if row_is_gone {
            days_pass(&board).await;
        }
        board.store.go_on();

        let refused = upload.await;

        assert!(matches!(refused, Err(AppError::UploadTimedOut(_))), "{refused:?}");
        assert_eq!(board.served(tablo, "a").await.as_deref(), Some(&b"the first"[..]));
        board.assert_nothing_is_lost().await;
        days_pass(&board).await;
        board.assert_all_is_tidy().await;
    }
}

#[tokio::test]
async fn an_upload_to_a_store_that_stalls_or_is_down_ends() {
    let mut board = Board::new().await;
    let tablo = board.tablo().await;
    let short = Limits { upload: Duration::from_millis(300), ..Limits::default() };
    let hasty = board.store.client_with(short);
    board.store.stall_at(Point::BeforePut);
    let result = within("an end", SOON, upload_with(&board.database, &hasty, tablo, "a", b"x")).await;
    assert!(matches!(result, Err(AppError::UploadTimedOut(_) | AppError::Storage { .. })), "{result:?}");
    board.store.go_on();

    board.store.go_down().await;
    let result = within("an end", SOON, board.upload(tablo, "a", b"x")).await;
    assert!(matches!(result, Err(AppError::Storage { .. })), "{result:?}");
    board.store.come_up().await;
    days_pass(&board).await;
    board.assert_all_is_tidy().await;
}

#[tokio::test]
async fn an_object_that_is_gone_or_of_another_size_is_an_error_and_not_served() {
    let board = Board::new().await;
    let tablo = board.tablo().await;
    let record = board.upload(tablo, "a", b"bytes").await.unwrap();
    let key = format!("tablos/{tablo}/{}", record.id);
    board.store.land(&key, b"cut");
    let result = files::download(&board.database.database, &board.client, tablo, "a").await;
    assert!(matches!(result, Err(AppError::Storage { .. })), "another size");
    board.store.lose(&key);
    let result = files::download(&board.database.database, &board.client, tablo, "a").await;
    assert!(matches!(result, Err(AppError::ObjectMissing(id)) if id == record.id), "gone");
}

#[tokio::test]
async fn the_check_tells_whether_the_store_answers_and_has_the_bucket() {
    let mut board = Board::new().await;
    board.client.check().await.unwrap();

    let elsewhere = ObjectStoreConfig { bucket: Some("nowhere".to_owned()), ..board.store.config() };
    postrider::app::ObjectStore::new(elsewhere).check().await.unwrap_err();

    let wrong_key = ObjectStoreConfig { secret_key: Some("wrong-secret".to_owned()), ..board.store.config() };
    let error = postrider::app::ObjectStore::new(wrong_key).check().await.unwrap_err();
    assert!(!error.to_string().contains("wrong-secret"), "{error}");

    board.store.go_down().await;
    within("an answer", SOON, board.client.check()).await.unwrap_err();
}
