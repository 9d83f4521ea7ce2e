//! What `web` refuses, bounds and survives: tokens, unknown routes, slow and broken clients,
//! shutdown, a wrong environment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::database::TestDatabase;
use crate::support::process::{Process, Signal};
use crate::support::timing::takes_less_than;
use crate::support::wait::until;
use crate::support::web::{Answer, WebService, web_command};
use postrider::Shutdown;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_mins(1);

async fn start() -> (TestDatabase, WebService) {
    let database = TestDatabase::new().await;
    let web = WebService::start(&database).await;
    (database, web)
}

#[tokio::test]
async fn unknown_paths_methods_and_media_types_are_problems() {
    let (_database, web) = start().await;
    for path in ["/", "/job", "/jobs/", "/jobs/1/2/3", "/%00", "//jobs", "/jobs%2F1"] {
        web.get(path).await.problem(404);
    }
    for (method, path, allowed) in [
        (Method::PUT, "/jobs", "GET,HEAD,POST"),
        (Method::POST, "/jobs/1", "GET,HEAD"),
        (Method::GET, "/jobs/1/retry", "POST"),
        (Method::from_bytes(b"BREW").unwrap(), "/tablos", "POST"),
        (Method::PATCH, "/tablos/0191e4f0-0000-7000-8000-000000000000/files/a", "GET,HEAD,PUT"),
    ] {
        let answer = Answer::of(web.request(method, path)).await;
        answer.problem(405);
        let mut found: Vec<&str> = answer.header("allow").unwrap_or_default().split([',', ' ']).collect();
        found.retain(|method| !method.is_empty());
        found.sort_unstable();
        assert_eq!(found.join(","), allowed, "{path}");
    }
    for path in ["/jobs", "/tablos"] {
        for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
            let request = web.request(Method::POST, path).header("content-type", media_type);
            Answer::of(request.body(r#"{"kind": "k"}"#)).await.problem(415);
        }
        web.act(path).await.problem(415);
    }
    let request = web.request(Method::POST, "/jobs").header("content-type", "Application/JSON; charset=utf-8");
    Answer::of(request.body(r#"{"kind": "k"}"#)).await.json(201);
}

#[tokio::test]
async fn the_description_names_exactly_what_is_answered() {
    let (_database, web) = start().await;
    let description = web.get("/openapi.json").await.json(200);
    assert_eq!(description["openapi"], "3.1.0");
    for (path, item) in description["paths"].as_object().unwrap() {
        let concrete = path
            .replace("/jobs/{id}", "/jobs/1")
            .replace("{id}", "0191e4f0-0000-7000-8000-000000000000")
            .replace("{name}", "x");
        for method in ["get", "put", "post", "delete", "patch"] {
            let answer = Answer::of(web.request(method.to_uppercase().parse().unwrap(), &concrete)).await;
            match item.get(method) {
                Some(operation) => {
                    let status = answer.status.to_string();
                    assert!(
                        operation["responses"].get(&status).is_some(),
                        "{method} {path}: {status} is not described"
                    );
                }
                None => drop(answer.problem(405)),
            }
        }
    }
    all_references_lead_somewhere(&description, &description);
}

fn all_references_lead_somewhere(whole: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref") {
                let pointer = reference.as_str().unwrap().trim_start_matches('#');
                assert!(whole.pointer(pointer).is_some(), "{pointer}");
            }
            fields.values().for_each(|field| all_references_lead_somewhere(whole, field));
        }
        Value::Array(items) => items.iter().for_each(|item| all_references_lead_somewhere(whole, item)),
        _ => {}
    }
}

#[tokio::test]
async fn a_job_has_exactly_the_described_fields() {
    let (_database, web) = start().await;
    let description = web.get("/openapi.json").await.json(200);
    let job = web.post("/jobs", &json!({"kind": "k"})).await.json(201);
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(names(&job), names(&description["components"]["schemas"]["Job"]["properties"]));
    let page = web.get("/jobs").await.json(200);
    assert_eq!(names(&page), names(&description["components"]["schemas"]["JobPage"]["properties"]));
}

#[tokio::test]
async fn with_a_token_every_request_but_the_probes_needs_it() {
    let database = TestDatabase::new().await;
    let web = WebService::from(web_command(&database.url).env("WEB_TOKEN", "s3cret-t0ken")).await;
    web.get("/healthz").await.json(200);
    web.get("/readyz").await.json(200);
    for path in ["/jobs", "/jobs/1", "/metrics", "/openapi.json", "/nowhere", "/healthz/", "/readyz/../jobs"] {
        let answer = web.get(path).await;
        answer.problem(401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{path}");
    }
    for value in [
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer s3cret-t0ke",
        "Bearer s3cret-t0ken2",
        "s3cret-t0ken",
        "Basic s3cret-t0ken",
    ] {
        let request = web.request(Method::GET, "/jobs").header("authorization", value);
        Answer::of(request).await.problem(401);
    }
    for value in ["Bearer s3cret-t0ken", "bearer s3cret-t0ken"] {
        Answer::of(web.request(Method::GET, "/jobs").header("authorization", value)).await.json(200);
    }
    Answer::of(web.request(Method::GET, "/jobs?state=s3cret-query").bearer_auth("s3cret-t0ken")).await.problem(400);
    web.process.wait_for_line(|line| line.contains(r#""status":400"#), SOON).await;
    assert!(!web.process.log().contains("s3cret"), "{}", web.process.log());
}

#[tokio::test]
async fn each_request_is_one_event() {
    let (_database, web) = start().await;
    // Of the path without its query, which may hold what is not for the log.
    web.get("/jobs/17?wait=7ms").await.problem(404);
    let event = web.process.wait_for_event("request", SOON).await;
    assert_eq!((&event["method"], &event["path"], &event["status"]), (&json!("GET"), &json!("/jobs/17"), &json!(404)));
    assert!(event["latency_ms"].is_u64(), "{event}");
    assert_eq!(web.process.events("request").len(), 1);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whether_or_not_it_says_so() {
    let (database, web) = start().await;
    let large = vec![b' '; 3 * 1024 * 1024];
    web.post_bytes("/jobs", large.clone()).await.problem(413);
    let chunks = futures_util::stream::iter(
        large.chunks(64 * 1024).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>(),
    );
    let request = web.request(Method::POST, "/jobs").header("content-type", "application/json");
    Answer::of(request.body(reqwest::Body::wrap_stream(chunks))).await.problem(413);
    // One that only says so is refused before it is sent.
    let head = "POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9000000000\r\n\r\n";
    assert!(web.raw(head.as_bytes(), SOON).await.starts_with("HTTP/1.1 413 "));
    assert_eq!(database.count("postrider.jobs").await, 0);
}

#[tokio::test]
async fn a_client_that_is_still_sending_gets_its_answer() {
    let (_database, web) = start().await;
    let mut stream = TcpStream::connect(&web.addr).await.unwrap();
    let head =
        "POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 3000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    tokio::time::timeout(SOON, stream.read_exact(&mut start)).await.expect("an answer at once").unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    stream.write_all(&vec![b' '; 3_000_000]).await.expect("the service listens on for a while");
    let mut rest = String::new();
    tokio::time::timeout(SOON, stream.read_to_string(&mut rest)).await.expect("the end").unwrap();
    assert!(rest.contains("connection: close") && rest.ends_with('}'), "{rest}");
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_affects_no_other_request() {
    let (_database, web) = start().await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "a: b\r\n".repeat(200));
    for bytes in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"GET /jobs\0 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /jobs?\xff HTTP/1.1\r\nhost: \xff\r\n\r\n",
        b"POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST /jobs HTTP/1.1\r\nhost: localhost\r\nx: a\0b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        long.as_bytes(),
        many.as_bytes(),
    ] {
        let answer = web.raw(bytes, SOON).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer:?} to {:.60}", String::from_utf8_lossy(bytes));
    }
    web.get("/healthz").await.json(200);
}

#[tokio::test]
async fn a_body_that_ends_early_writes_nothing() {
    let (database, web) = start().await;
    let mut stream = TcpStream::connect(&web.addr).await.unwrap();
    let head =
        "POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n";
    stream.write_all(format!("{head}{}", r#"{"kind": "k"}"#).as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the connection ends");
    assert_eq!(database.count("postrider.jobs").await, 0);
}

#[tokio::test]
async fn clients_that_never_finish_their_head_are_cut_off() {
    let (_database, web) = start().await;
    let began = Instant::now();
    let mut silent = Vec::new();
    for n in 0..50 {
        let mut stream = TcpStream::connect(&web.addr).await.unwrap();
        if n % 2 == 0 {
            stream.write_all(b"GET /jobs HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await.unwrap();
        }
        silent.push(stream);
    }
    web.get("/healthz").await.json(200);
    // Nothing else would ever end them.
    for mut stream in silent {
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await.expect("cut off");
    }
    assert!(began.elapsed() > Duration::from_secs(5), "a slow client has some time");
}

#[tokio::test]
async fn metrics_show_requests_and_queues() {
    let (_database, web) = start().await;
    let id = web.post("/jobs", &json!({"kind": "k", "queue": "mail"})).await.json(201)["id"].clone();
    web.get(&format!("/jobs/{id}")).await.json(200);
    web.get("/nowhere").await.problem(404);
    let metrics = web.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    for line in [
        r#"postrider_http_requests_total{method="GET",route="/jobs/{id}",status="200"} 1"#,
        r#"postrider_http_requests_total{method="POST",route="/jobs",status="201"} 1"#,
        r#"postrider_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"postrider_http_request_duration_seconds_count{method="POST",route="/jobs"} 1"#,
        r#"postrider_queue_jobs{queue="mail",state="available"} 1"#,
        r#"postrider_queue_jobs{queue="mail",state="running"} 0"#,
        r#"postrider_queue_paused{queue="mail"} 0"#,
        "postrider_queue_figures_up 1",
        "# EOF",
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line} is missing in\n{}", metrics.body);
    }
}

/// Sends a job that cannot be stored before the lock is let go, and returns once it waits.
async fn held_request(web: &WebService, database: &TestDatabase) -> (tokio_postgres::Client, TcpStream) {
    let holder = database.connect().await;
    holder.batch_execute("BEGIN; LOCK TABLE postrider.job IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut stream = TcpStream::connect(&web.addr).await.unwrap();
    let body = r#"{"kind": "k"}"#;
    let head = format!(
        "POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    database.until_blocked().await;
    (holder, stream)
}

#[tokio::test]
async fn a_shutdown_lets_requests_end_and_takes_no_more() {
    for signal in [Signal::Interrupt, Signal::Terminate] {
        let (database, mut web) = start().await;
        let _idle = web.get("/healthz").await;
        let (holder, mut stream) = held_request(&web, &database).await;
        web.process.signal(signal);
        web.process.wait_for_event("shutting down", SOON).await;
        let connect = async || TcpStream::connect(&web.addr).await.err();
        until("connections are refused", SOON, connect).await;

        holder.batch_execute("COMMIT").await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the answer").unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 201 "), "{}", String::from_utf8_lossy(&answer));
        let event = web.process.wait_for_event("shutdown complete", SOON).await;
        assert_eq!((&event["completed"], &event["abandoned"]), (&json!(1), &json!(0)));
        assert_eq!(web.process.wait_for_exit(SOON).await.code(), Some(0));
    }
}

#[tokio::test]
async fn an_idle_service_says_that_it_shuts_down_and_does() {
    let (_database, mut web) = start().await;
    let _kept_alive = web.get("/healthz").await;
    web.process.signal(Signal::Interrupt);
    assert_eq!(web.process.wait_for_exit(SOON).await.code(), Some(0));
    let log = web.process.log();
    let said =
        |message: &str| log.find(&format!(r#""message":"{message}""#)).unwrap_or_else(|| panic!("{message}: {log}"));
    assert!(said("shutting down") < said("shutdown complete"), "{log}");
}

#[tokio::test]
async fn a_second_signal_cuts_requests_off() {
    // The first one leaves requests ten seconds.
    takes_less_than(Duration::from_secs(5), "to cut a request off", async || {
        let (database, mut web) = start().await;
        let (_holder, _stream) = held_request(&web, &database).await;
        web.process.signal(Signal::Terminate);
        web.process.wait_for_event("shutting down", SOON).await;
        let began = Instant::now();
        web.process.signal(Signal::Terminate);
        let event = web.process.wait_for_event("shutdown complete", SOON).await;
        assert_eq!(event["abandoned"], 1);
        assert_eq!(web.process.wait_for_exit(SOON).await.code(), Some(1));
        began.elapsed()
    })
    .await;
}

async fn failed_start(command: &mut std::process::Command, code: i32) -> String {
    let mut process = Process::spawn(command);
    let status = process.wait_for_exit(SOON).await;
    assert_eq!(status.code(), Some(code), "{}", process.log());
    process.log()
}

/// As when a compose file names a variable without a value, or a secret is mounted with a line break.
#[tokio::test]
async fn blank_variables_count_as_unset_and_white_space_around_values_does_not_count() {
    let database = TestDatabase::empty().await;
    let mut command = web_command(&format!(" {}\n", database.url));
    for blank in ["DATABASE_LISTEN_URL", "WEB_TOKEN", "WEB_HOSTS", "S3_ENDPOINT", "S3_ACCESS_KEY", "RUST_LOG"] {
        command.env(blank, " \n");
    }
    for empty in ["S3_SECRET_KEY", "S3_REGION", "S3_BUCKET", "S3_USE_PATH_STYLE"] {
        command.env(empty, "");
    }
    command.env("WEB_BIND", " 127.0.0.1:0\n").env("WEB_MIGRATE", "Yes\n").env("LOG_FORMAT", "json\n");
    let mut web = WebService::from(&mut command).await;
    assert_eq!(web.get("/jobs").await.status, 200);
    web.process.signal(Signal::HangUp);
    assert_eq!(web.process.wait_for_exit(SOON).await.code(), Some(0));
    for blank in ["", " \n"] {
        let message = failed_start(&mut web_command(blank), 2).await;
        assert!(message.contains("DATABASE_URL is not set"), "{message}");
    }
}

#[tokio::test]
async fn a_wrong_environment_is_named() {
    let url = "postgres://postgres@127.0.0.1:1/none";
    let message = failed_start(web_command(url).env_remove("DATABASE_URL"), 2).await;
    assert!(message.contains("DATABASE_URL") && message.contains("scripts/dev"), "{message}");
    for (name, value, named) in [
        ("WEB_BIND", "0.0.0.0:0", "WEB_TOKEN"),
        ("WEB_BIND", "[::]:0", "WEB_TOKEN"),
        ("WEB_BIND", "nowhere", "--bind"),
        ("WEB_TOKEN", "a b", "WEB_TOKEN"),
        ("WEB_MIGRATE", "maybe", "--migrate"),
        ("S3_USE_PATH_STYLE", "maybe", "S3_USE_PATH_STYLE"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT"),
    ] {
        let message = failed_start(web_command(url).env(name, value), 2).await;
        assert!(message.contains(named), "{name}={value}: {message}");
    }
    failed_start(web_command(url).arg("--nonsense"), 2).await;
    let message = failed_start(&mut web_command(url), 1).await;
    assert!(message.contains("127.0.0.1"), "{message}");
}

#[tokio::test]
async fn the_token_is_not_in_the_help() {
    let mut process = Process::spawn(web_command("postgres://u:s3cret@h/d").env("WEB_TOKEN", "s3cret").arg("--help"));
    assert_eq!(process.wait_for_exit(SOON).await.code(), Some(0));
    let help = process.output().join("\n");
    assert!(help.contains("WEB_TOKEN") && help.contains("--migrate") && !help.contains("s3cret"), "{help}");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let (database, web) = start().await;
    let message = failed_start(web_command(&database.url).args(["--bind", &web.addr]), 1).await;
    assert!(message.contains(&web.addr) && message.contains("--bind"), "{message}");
}

#[tokio::test]
async fn an_old_schema_is_refused_unless_it_may_migrate() {
    let database = TestDatabase::empty().await;
    let message = failed_start(&mut web_command(&database.url), 1).await;
    assert!(message.contains("worker migrate") && message.contains("--migrate"), "{message}");
    let web = WebService::from(web_command(&database.url).arg("--migrate")).await;
    web.get("/readyz").await.json(200);
    web.post("/jobs", &json!({"kind": "k"})).await.json(201);
}

#[tokio::test]
async fn beside_a_worker_there_are_probes_and_metrics_and_nothing_else() {
    let database = TestDatabase::new().await;
    let (shutdown, metrics) = (Shutdown::new(), Arc::new(postrider::worker::Metrics::default()));
    let health = postrider::web::health::serve(
        "127.0.0.1:0".parse().unwrap(),
        database.database.clone(),
        Some(metrics),
        shutdown.clone(),
    )
    .await
    .unwrap();
    let get = async |path: &str| Answer::of(reqwest::Client::new().get(format!("http://{}{path}", health.addr))).await;
    assert_eq!(get("/healthz").await.json(200), json!({"status": "ok"}));
    assert_eq!(get("/readyz").await.json(200), json!({"status": "ready"}));
    let text = get("/metrics").await.body;
    assert!(
        text.contains("postrider_worker_claimed_total 0") && text.contains("postrider_queue_figures_up 1"),
        "{text}"
    );
    get("/jobs").await.problem(404);
    shutdown.begin();
    tokio::time::timeout(SOON, health.task).await.expect("it ends").unwrap();
}
