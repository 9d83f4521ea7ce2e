//! Object stores that differ from S3 itself, and how they are named.

use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::object_store::TestObjectStore;
use crate::support::process::Process;
use crate::support::tablo_fixture::{NO_GRACE, TabloFixture};
use crate::support::wait::PATIENCE;
use crate::support::web::{Answer, WebService, web_command};
use postrider::app::{ObjectStore, ObjectStoreConfig, tablos};
use reqwest::Method;
use s3s::S3ErrorCode;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

async fn web(
    database: &TestDatabase,
    store: &TestObjectStore,
    set: impl FnOnce(&mut std::process::Command),
) -> WebService {
    let mut command = web_command(&database.url);
    command.envs(store.env());
    set(&mut command);
    WebService::from(&mut command).await
}

#[tokio::test]
async fn where_many_objects_cannot_be_deleted_at_once_they_are_one_by_one() {
    let codes = [
        S3ErrorCode::NotImplemented,
        S3ErrorCode::MethodNotAllowed,
        S3ErrorCode::InvalidRequest,
        S3ErrorCode::Custom("MissingContentMD5".into()),
    ];
    for code in codes {
        let fixture = TabloFixture::new().await;
        let tablo = fixture.tablo().await;
        for name in ["a", "b", "c"] {
            fixture.upload(tablo, name, b"bytes").await.expect("stored");
        }
        fixture.store.lack_delete_objects(code.clone());
        let mut refused = 0;
        fixture.store.refuse_keys(move |_| std::mem::replace(&mut refused, 1) == 0);
        tablos::delete(&fixture.database.database, tablo, NO_GRACE).await.expect("deleted");
        // One is refused: the others go all the same, and the job fails for it.
        let report = fixture.clean().await;
        assert_eq!((report.failed, report.deleted), (1, 2), "{report:?}");
        assert_eq!(fixture.store.objects().len(), 1, "{code:?}");
        let asked = fixture.store.delete_requests();
        assert_eq!(fixture.clean().await.failed, 0);
        assert_eq!(fixture.store.objects().len(), 0, "{code:?}");
        assert_eq!((fixture.store.delete_requests(), fixture.store.single_deletes()), (asked, 4), "learnt once");
    }
}

#[tokio::test]
async fn an_upload_may_pause_for_longer_than_a_few_seconds() {
    let (database, store) = (TestDatabase::new().await, TestObjectStore::start().await);
    let web = web(&database, &store, |_| {}).await;
    let tablo = web.post("/tablos", &json!({"name": "t"})).await.json(201);
    let path = format!("/tablos/{}/files/slow", tablo["id"].as_str().unwrap());
    let mut stream = TcpStream::connect(&web.addr).await.unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 400000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'a'; 200_000]).await.unwrap();
    // The pause is what is tested.
    tokio::time::sleep(Duration::from_secs(12)).await;
    stream.write_all(&vec![b'b'; 200_000]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(web.get(&path).await.body.len(), 400_000);
}

#[tokio::test]
async fn a_download_can_be_resumed_and_its_head_leaves_the_object_alone() {
    let (database, store) = (TestDatabase::new().await, TestObjectStore::start().await);
    let web = web(&database, &store, |_| {}).await;
    let tablo = web.post("/tablos", &json!({"name": "t"})).await.json(201);
    let path = format!("/tablos/{}/files/a", tablo["id"].as_str().unwrap());
    let whole = "0123456789";
    assert_eq!(Answer::of(web.request(Method::PUT, &path).body(whole)).await.status, 201);
    let get = async |headers: &[(&str, &str)]| {
        let request = headers
            .iter()
            .fold(web.request(Method::GET, &path), |request, (name, value)| request.header(*name, *value));
        Answer::of(request).await
    };
    let full = get(&[]).await;
    assert_eq!((full.status, full.header("accept-ranges"), full.body.as_str()), (200, Some("bytes"), whole));
    let tag = full.header("etag").unwrap().to_owned();
    for (range, body, said) in [
        ("bytes=3-", "3456789", "bytes 3-9/10"),
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=3-99", "3456789", "bytes 3-9/10"),
        ("bytes=-10", whole, "bytes 0-9/10"),
        ("bytes=-11", whole, "bytes 0-9/10"),
    ] {
        let part = get(&[("range", range), ("if-range", &tag)]).await;
        assert_eq!((part.status, part.body.as_str(), part.header("content-range")), (206, body, Some(said)), "{range}");
        assert_eq!(part.header("content-length"), Some(body.len().to_string().as_str()));
    }
    // Several, nonsense, and parts of what has been replaced: the whole.
    for headers in [
        &[("range", "bytes=0-1,3-4")][..],
        &[("range", "lines=1-2")],
        &[("range", "bytes=x")],
        &[("range", "bytes=3-"), ("if-range", "\"another\"")],
    ] {
        let answer = get(headers).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, whole), "{headers:?}");
    }
    let beyond = get(&[("range", "bytes=10-")]).await;
    beyond.problem(416);
    assert_eq!(beyond.header("content-range"), Some("bytes */10"));

    let key = store.objects().into_iter().next().unwrap();
    store.lose(&key);
    let head = Answer::of(web.request(Method::HEAD, &path)).await;
    assert_eq!(
        (head.status, head.header("content-length"), head.header("etag")),
        (200, Some("10"), Some(tag.as_str()))
    );
    let unknown = Answer::of(web.request(Method::HEAD, &format!("{path}-other"))).await;
    assert_eq!(unknown.status, 404);
    for name in [".", "..", "%2e", "%2E%2e"] {
        let bad = path.replace("/files/a", &format!("/files/{name}"));
        let raw = format!("PUT {bad} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx");
        let answer = web.raw(raw.as_bytes(), Duration::from_secs(20)).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{name}: {answer}");
    }
}

#[tokio::test]
async fn an_empty_file_is_whole_whatever_part_of_it_is_asked_for() {
    let (database, store) = (TestDatabase::new().await, TestObjectStore::start().await);
    let web = web(&database, &store, |_| {}).await;
    let tablo = web.post("/tablos", &json!({"name": "t"})).await.json(201);
    let path = format!("/tablos/{}/files/empty", tablo["id"].as_str().unwrap());
    let upload = web.request(Method::PUT, &path).header("content-length", 0);
    assert_eq!(Answer::of(upload).await.status, 201);
    for range in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=5-", "bytes=0-9"] {
        let answer = Answer::of(web.request(Method::GET, &path).header("range", range)).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{range}");
        assert_eq!(answer.header("content-length"), Some("0"), "{range}");
    }
}

/// The path of the first request that an endpoint gets.
async fn asked_for(endpoint_path: &str, use_path_style: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let store = ObjectStore::new(ObjectStoreConfig {
        endpoint: Some(format!("http://localhost:{}{endpoint_path}", address.port())),
        bucket: Some("bucket".to_owned()),
        access_key: Some("key".to_owned()),
        secret_key: Some("secret".to_owned()),
        use_path_style,
        ..ObjectStoreConfig::default()
    });
    let asking = tokio::spawn(async move { store.check().await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut line = String::new();
    BufReader::new(&mut stream).read_line(&mut line).await.unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
    let _ = asking.await;
    line.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn the_path_of_an_endpoint_is_kept() {
    assert_eq!(asked_for("", true).await.trim_end_matches('/'), "/bucket");
    assert_eq!(asked_for("/", true).await.trim_end_matches('/'), "/bucket");
    for path in ["/store", "/store/"] {
        assert_eq!(asked_for(path, true).await.trim_end_matches('/'), "/store/bucket", "{path}");
    }
    assert_eq!(asked_for("/deep/store", true).await.trim_end_matches('/'), "/deep/store/bucket");
}

#[tokio::test]
async fn line_breaks_around_settings_do_not_count() {
    let (database, store) = (TestDatabase::new().await, TestObjectStore::start().await);
    let config = store.config();
    let web = web(&database, &store, |command| {
        command
            .env("S3_ENDPOINT", format!(" {}\n", config.endpoint.unwrap()))
            .env("S3_BUCKET", format!("{}\n", config.bucket.unwrap()))
            .env("S3_REGION", "us-east-1\r\n")
            .env("S3_ACCESS_KEY", format!("{}\n", config.access_key.unwrap()))
            .env("S3_SECRET_KEY", format!("{}\n", config.secret_key.unwrap()))
            .env("S3_USE_PATH_STYLE", "True\n");
    })
    .await;
    let tablo = web.post("/tablos", &json!({"name": "t"})).await.json(201);
    let path = format!("/tablos/{}/files/a", tablo["id"].as_str().unwrap());
    assert_eq!(Answer::of(web.request(Method::PUT, &path).body("x")).await.status, 201);
}

/// As secrets are mounted.
#[tokio::test]
async fn line_breaks_around_the_keys_of_the_default_chain_do_not_count() {
    let (database, store) = (TestDatabase::new().await, TestObjectStore::start().await);
    let config = store.config();
    let web = web(&database, &store, |command| {
        command
            .env_remove("S3_ACCESS_KEY")
            .env_remove("S3_SECRET_KEY")
            .env("AWS_ACCESS_KEY_ID", format!("{}\n", config.access_key.unwrap()))
            .env("AWS_SECRET_ACCESS_KEY", format!(" {}\r\n", config.secret_key.unwrap()))
            .env("AWS_SESSION_TOKEN", " \n")
            .env("AWS_REGION", "us-east-1\n")
            .env("AWS_DEFAULT_REGION", "us-east-1\n");
    })
    .await;
    let tablo = web.post("/tablos", &json!({"name": "t"})).await.json(201);
    let path = format!("/tablos/{}/files/a", tablo["id"].as_str().unwrap());
    assert_eq!(Answer::of(web.request(Method::PUT, &path).body("x")).await.status, 201, "{}", web.process.log());
    assert_eq!(web.get(&path).await.body, "x");
}

#[tokio::test]
async fn a_key_of_the_default_chain_that_no_header_holds_is_refused_at_the_start() {
    let database = TestDatabase::new().await;
    for (name, value) in
        [("AWS_ACCESS_KEY_ID", "a\nb"), ("AWS_SECRET_ACCESS_KEY", "a\nb"), ("AWS_SESSION_TOKEN", "a\nb")]
    {
        let mut command = web_command(&database.url);
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret").env(name, value);
        let mut process = Process::spawn(&mut command);
        let status = process.wait_for_exit(PATIENCE).await;
        assert_eq!(status.code(), Some(2), "{name}: {}", process.log());
        assert!(process.log().contains(name), "{}", process.log());
    }
}

/// As `ALTER ROLE … SET search_path` leaves it.
#[tokio::test]
async fn whatever_the_search_path_files_and_idempotency_keys_work() {
    let (database, store) = (TestDatabase::new().await, TestObjectStore::start().await);
    database.set("search_path = ''").await;
    let web = web(&database, &store, |_| {}).await;
    let tablo = web.post("/tablos", &json!({"name": "t"})).await.json(201);
    let tablo = format!("/tablos/{}", tablo["id"].as_str().unwrap());
    let file = format!("{tablo}/files/a");
    assert_eq!(Answer::of(web.request(Method::PUT, &file).body("x")).await.status, 201);
    assert_eq!(web.get(&file).await.body, "x");
    web.get(&tablo).await.json(200);
    for _ in 0..2 {
        let request = web.request(Method::POST, "/jobs").header("Idempotency-Key", "k").json(&json!({"kind": "k"}));
        Answer::of(request).await.json(201);
    }
    assert_eq!(web.delete(&tablo).await.status, 204);
    let fixture = TabloFixture::of(database, store).await;
    assert_eq!(fixture.clean().await.failed, 0);
    assert_eq!(fixture.store.objects().len(), 0);
}
