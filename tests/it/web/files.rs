//! Tablos and their files over HTTP, against the real `web`, a real Postgres and a real S3 server.

use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::object_store::TestObjectStore;
use crate::support::wait::until;
use crate::support::web::{Answer, WebService, web_command};
use futures_util::StreamExt;
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_mins(1);
const NO_TABLO: &str = "0191e4f0-0000-7000-8000-000000000000";

async fn start() -> (TestDatabase, TestObjectStore, WebService) {
    let database = TestDatabase::new().await;
    let store = TestObjectStore::start().await;
    let mut command = web_command(&database.url);
    command.envs(store.env());
    let web = WebService::from(&mut command).await;
    (database, store, web)
}

async fn tablo(web: &WebService) -> String {
    let tablo = web.post("/tablos", &json!({"name": "plans"})).await.json(201);
    tablo["id"].as_str().unwrap().to_owned()
}

async fn put(web: &WebService, path: &str, body: impl Into<Body>) -> Answer {
    Answer::of(web.request(Method::PUT, path).body(body)).await
}

#[tokio::test]
async fn a_tablo_is_created_shown_with_its_files_and_deleted() {
    let (database, _store, web) = start().await;
    let created = web.post("/tablos", &json!({"name": "plans ü"})).await;
    let made = created.json(201);
    let path = created.header("location").unwrap().to_owned();
    assert_eq!(path, format!("/tablos/{}", made["id"].as_str().unwrap()));
    assert_eq!(made["name"], "plans ü");

    let file = put(&web, &format!("{path}/files/b.txt"), "bytes").await.json(201);
    assert_eq!((&file["name"], &file["size"], &file["tablo_id"]), (&json!("b.txt"), &json!(5), &made["id"]));
    let empty = web.request(Method::PUT, &format!("{path}/files/a.txt")).header("content-length", 0);
    assert_eq!(Answer::of(empty).await.json(201)["size"], 0);
    let shown = web.get(&path).await.json(200);
    let names: Vec<&str> =
        shown["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a.txt", "b.txt"]);
    assert_eq!(shown["files"][1], file);

    let deleted = web.delete(&path).await;
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    assert_eq!(database.count("postrider.job WHERE kind = 'orphan_file_cleanup'").await, 1);
    web.get(&path).await.problem(404);
    web.delete(&path).await.problem(404);
    web.get(&format!("{path}/files/b.txt")).await.problem(404);
    put(&web, &format!("{path}/files/c"), "x").await.problem(404);
}

#[tokio::test]
async fn a_file_comes_back_as_it_was_sent_and_is_replaced_by_name() {
    let (_database, _store, web) = start().await;
    let id = tablo(&web).await;
    let path = format!("/tablos/{id}/files/r%C3%A9sum%C3%A9%20%2525%3F.pdf");
    let created = put(&web, &path, "first").await;
    assert_eq!(created.json(201)["name"], "résumé %25?.pdf");
    assert_eq!(created.header("location"), Some(path.as_str()));

    let found = web.get(&path).await;
    assert_eq!((found.status, found.body.as_str()), (200, "first"));
    assert_eq!(found.header("content-type"), Some("application/octet-stream"));
    assert_eq!(found.header("content-length"), Some("5"));
    assert_eq!(found.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(
        found.header("content-disposition"),
        Some("attachment; filename*=UTF-8''r%C3%A9sum%C3%A9%20%2525%3F.pdf")
    );

    put(&web, &path, "second").await.json(201);
    assert_eq!(web.get(&path).await.body, "second");
    let shown = web.get(&format!("/tablos/{id}")).await.json(200);
    assert_eq!(shown["files"].as_array().unwrap().len(), 1);
    let head = Answer::of(web.request(Method::HEAD, &path)).await;
    assert_eq!((head.status, head.header("content-length"), head.body.as_str()), (200, Some("6"), ""));
}

#[tokio::test]
async fn bad_tablos_and_names_are_refused_and_nothing_is_written() {
    let (database, store, web) = start().await;
    for (field, body) in [
        ("name", json!({})),
        ("name", json!({"name": null})),
        ("name", json!({"name": 1})),
        ("name", json!({"name": ["a"]})),
        ("name", json!({"name": ""})),
        ("name", json!({"name": "a\0b"})),
        ("name", json!({"name": "a\nb"})),
        ("name", json!({"name": "x".repeat(1025)})),
        ("name", json!({"name": "x".repeat(1_000_000)})),
        ("names", json!({"name": "a", "names": "b"})),
    ] {
        assert_eq!(web.post("/tablos", &body).await.problem(400)["field"], field, "{:.100}", body.to_string());
    }
    for body in [&b""[..], b"[]", b"{", b"{\"name\": \"\xff\"}", br#"{"name": "a", "name": "b"}"#] {
        web.post_bytes("/tablos", body).await.problem(400);
    }
    assert_eq!(database.count("tablos").await, 0);

    for id in ["x", "1", "%00", &"0".repeat(100)] {
        assert_eq!(web.get(&format!("/tablos/{id}")).await.problem(400)["field"], "id");
        assert_eq!(web.delete(&format!("/tablos/{id}")).await.problem(400)["field"], "id");
        assert_eq!(put(&web, &format!("/tablos/{id}/files/a"), "x").await.problem(400)["field"], "id");
    }
    let id = tablo(&web).await;
    for name in ["%00", "a%0Ab", "a%2Fb", &"x".repeat(256)] {
        let path = format!("/tablos/{id}/files/{name}");
        assert_eq!(put(&web, &path, "x").await.problem(400)["field"], "name", "{name:.50}");
    }
    put(&web, &format!("/tablos/{id}/files/%ff"), "x").await.problem(400);
    web.get(&format!("/tablos/{id}/files/%ff")).await.problem(400);
    web.get(&format!("/tablos/{id}/files/none")).await.problem(404);
    put(&web, &format!("/tablos/{NO_TABLO}/files/a"), "x").await.problem(404);
    assert_eq!(database.count("tablo_files").await, 0);
    assert!(store.objects().is_empty());
}

#[tokio::test]
async fn an_upload_must_say_its_length_and_keep_to_it() {
    let (_database, _store, web) = start().await;
    let id = tablo(&web).await;
    let path = format!("/tablos/{id}/files/a");

    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>("chunk")]);
    put(&web, &path, Body::wrap_stream(chunks)).await.problem(411);
    for length in ["5368709121", "9223372036854775807"] {
        let head = format!("PUT {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
        let answer = web.raw(head.as_bytes(), SOON).await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("application/problem+json"), "{answer}");
    }
    // Fewer bytes than were said: the client is gone, or will not send more.
    let mut stream = TcpStream::connect(&web.addr).await.unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nten bytes.");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the connection ends");
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    web.get(&path).await.problem(404);
    assert_eq!(web.get(&format!("/tablos/{id}")).await.json(200)["files"], json!([]));
}

/// The most memory that a process has had, in KiB.
fn peak_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn large_files_pass_through_in_little_memory() {
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 2048;
    let (_database, _store, web) = start().await;
    let path = format!("/tablos/{}/files/large", tablo(&web).await);
    put(&web, &path, "warm").await.json(201);
    let before = peak_kib(web.process.id());

    let chunk = |n: usize| vec![u8::try_from(n % 251).unwrap(); CHUNK];
    let chunks = futures_util::stream::iter((0..CHUNKS).map(move |n| Ok::<_, std::io::Error>(chunk(n))));
    let request = web.request(Method::PUT, &path).header("content-length", CHUNK * CHUNKS);
    let file = Answer::of(request.body(Body::wrap_stream(chunks))).await.json(201);
    assert_eq!(file["size"], CHUNK * CHUNKS);

    let mut body = web.request(Method::GET, &path).send().await.unwrap().bytes_stream();
    let mut received = 0;
    while let Some(bytes) = body.next().await {
        for byte in bytes.unwrap() {
            assert_eq!(usize::from(byte), received / CHUNK % 251);
            received += 1;
        }
    }
    assert_eq!(received, CHUNK * CHUNKS);
    let grown = peak_kib(web.process.id()) - before;
    assert!(grown < 48 * 1024, "{grown} KiB for a file of {} KiB", CHUNK * CHUNKS / 1024);
}

#[tokio::test]
async fn a_reader_that_disconnects_affects_no_other_request() {
    let (_database, _store, web) = start().await;
    let path = format!("/tablos/{}/files/a", tablo(&web).await);
    put(&web, &path, vec![7; 8 * 1024 * 1024]).await.json(201);
    for _ in 0..70 {
        // More than may move at once: each gives its place back.
        let response = web.request(Method::GET, &path).send().await.unwrap();
        drop(response);
    }
    let whole = async || Some(web.get(&path).await).filter(|answer| answer.status == 200);
    let answer = until("places are free again", SOON, whole).await;
    assert_eq!(answer.body.len(), 8 * 1024 * 1024);
}

#[tokio::test]
async fn a_store_that_is_down_is_503() {
    let database = TestDatabase::new().await;
    let mut command = web_command(&database.url);
    for (name, value) in [
        ("S3_ENDPOINT", "http://127.0.0.1:1"),
        ("S3_BUCKET", "files"),
        ("S3_ACCESS_KEY", "test-key"),
        ("S3_SECRET_KEY", "test-secret"),
        ("S3_USE_PATH_STYLE", "true"),
    ] {
        command.env(name, value);
    }
    let web = WebService::from(&mut command).await;
    let id = tablo(&web).await;
    let problem: Value = put(&web, &format!("/tablos/{id}/files/a"), "x").await.problem(503);
    assert!(!problem.to_string().contains("127.0.0.1"), "{problem}");
    web.process.wait_for_event("request failed", SOON).await;
    web.get("/readyz").await.json(200);
    assert_eq!(web.get(&format!("/tablos/{id}")).await.json(200)["files"], json!([]));
}
