//! Secrets are put into every setting, and then searched for in all output.

use std::process::Command;
use std::time::Duration;

use crate::support::command::{run, worker as worker_command};
use crate::support::database::TestDatabase;
use crate::support::login::Login;
use crate::support::object_store::TestObjectStore;
use crate::support::process::{Process, Signal};
use crate::support::web::{Answer, WebService, web_command};
use postrider::app::object_store::{ObjectStore, ObjectStoreConfig};
use postrider::schema::MigrationSet;
use postrider::{Database, Shutdown};
use reqwest::Method;
use serde_json::json;

const PASSWORD: &str = "planted-database-password";
const ACCESS_KEY: &str = "planted-access-key";
const SECRET_KEY: &str = "planted-secret-key";
const TOKEN: &str = "planted-token";
/// What all of them, and nothing else, hold.
const PLANTED: &str = "planted-";
const SOON: Duration = Duration::from_mins(2);

/// All that our own modules can say.
const EVERYTHING: &str = "info,postrider=trace,worker=trace,web=trace";

#[track_caller]
fn holds_no_secret(what: &str, text: &str) {
    if let Some(line) = text.lines().find(|line| line.contains(PLANTED)) {
        panic!("{what} tells a secret: {line}");
    }
}

/// A superuser with the planted password.
async fn administrator(db: &TestDatabase) -> Login {
    Login::with_password(db, "SUPERUSER", PASSWORD).await
}

fn with_secrets<'c>(command: &'c mut Command, s3_endpoint: &str, format: &str) -> &'c mut Command {
    command
        .env("S3_ENDPOINT", s3_endpoint)
        .env("S3_BUCKET", "files")
        .env("S3_USE_PATH_STYLE", "true")
        .env("S3_ACCESS_KEY", ACCESS_KEY)
        .env("S3_SECRET_KEY", SECRET_KEY)
        .env("WEB_TOKEN", TOKEN)
        .env("LOG_FORMAT", format)
        .env("RUST_LOG", EVERYTHING)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_worker_logs_no_secret_in_either_format_whatever_fails() {
    let db = TestDatabase::new().await;
    let admin = administrator(&db).await;
    let admin_client = admin.connect().await;
    // A store that knows other keys: each use of it fails.
    let store = TestObjectStore::start().await;
    let endpoint = store.config().endpoint.unwrap();
    for format in ["json", "pretty"] {
        let mut command = worker_command(&admin.url, ["run", "--health", "127.0.0.1:0", "--shutdown-timeout", "1s"]);
        let mut process = Process::spawn(with_secrets(&mut command, &endpoint, format));
        process.wait_for_line(|line| line.contains("worker ready"), SOON).await;
        for args in [r#"{"panic": "on purpose"}"#, r#"{"fail": "on purpose"}"#] {
            run(worker_command(&admin.url, ["enqueue", "probe", args])).done();
        }
        run(worker_command(&admin.url, ["enqueue", "orphan_file_cleanup", "{}"])).done();
        for message in ["job panicked", "job failed", "worker heartbeat"] {
            process.wait_for_line(|line| line.contains(message), SOON).await;
        }
        // Its connections are cut: it logs why, and reconnects.
        crate::support::rows::terminate_backends(&admin_client, "postrider %").await;
        process.wait_for_line(|line| line.contains("listener restored"), SOON).await;
        process.signal(Signal::Terminate);
        process.wait_for_exit(SOON).await;
        holds_no_secret("its log", &process.log());
        holds_no_secret("its output", &process.output().join("\n"));
        assert!(process.log().contains("DEBUG") || process.log().contains("TRACE"), "nothing more was asked for");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn web_shows_no_secret_in_its_log_its_metrics_its_description_or_its_problems() {
    let db = TestDatabase::new().await;
    let admin = administrator(&db).await;
    let store = TestObjectStore::start().await;
    let mut command = web_command(&admin.url);
    let web = WebService::from(with_secrets(&mut command, &store.config().endpoint.unwrap(), "json")).await;
    let with_token = |method: Method, path: &str| web.request(method, path).bearer_auth(TOKEN);
    let mut answers = Vec::new();
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/jobs", "/nowhere", "/jobs/x", "/jobs?after=x"] {
        answers.push(Answer::of(with_token(Method::GET, path)).await);
        answers.push(web.get(path).await);
        answers.push(Answer::of(web.request(Method::GET, path).bearer_auth("planted-token-but-wrong")).await);
    }
    let tablo = Answer::of(with_token(Method::POST, "/tablos").json(&json!({"name": "t"}))).await.json(201);
    let file = format!("/tablos/{}/files/a", tablo["id"].as_str().unwrap());
    // The store refuses the keys.
    let refused = Answer::of(with_token(Method::PUT, &file).body("bytes")).await;
    refused.problem(503);
    answers.push(refused);
    db.connect()
        .await
        .batch_execute("ALTER TABLE postrider.job ADD CONSTRAINT nothing_more CHECK (false) NOT VALID")
        .await
        .unwrap();
    let failed = Answer::of(with_token(Method::POST, "/jobs").json(&json!({"kind": "k"}))).await;
    failed.problem(500);
    answers.push(failed);
    for answer in &answers {
        holds_no_secret("an answer", &format!("{:?}\n{}", answer.headers, answer.body));
    }
    web.process.wait_for_line(|line| line.contains(r#""status":500"#), SOON).await;
    holds_no_secret("its log", &web.process.log());
    holds_no_secret("its output", &web.process.output().join("\n"));
}

#[tokio::test]
async fn every_command_reports_a_wrong_configuration_without_its_secrets() {
    let db = TestDatabase::new().await;
    let (_, place) = db.url.rsplit_once('@').unwrap();
    let (address, _) = place.split_once('/').unwrap();
    let urls = [
        format!("postgres://postgres:{PASSWORD}@{place}"),
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:1/nowhere?connect_timeout=1"),
        format!("postgres://postgres:{PASSWORD}@{address}/no_such_database"),
        format!("postgres://postgres:{PASSWORD}@{place}?sslmode=verify-full&sslrootcert=/no/such/file"),
        format!("postgres://postgres:{PASSWORD}@{place}?sslmode=perhaps"),
        format!("postgres://postgres:{PASSWORD}/x@{place}"),
        format!("postgres:{PASSWORD}@{place}"),
        format!("host=127.0.0.1 port=x user=postgres password={PASSWORD}"),
        format!("host=127.0.0.1 password = '{PASSWORD}"),
    ];
    for url in &urls {
        let mut commands: Vec<Command> = [&["list"][..], &["migrate"], &["run"]]
            .iter()
            .map(|args| worker_command(url, args.iter().copied()))
            .collect();
        commands.push(web_command(url));
        for mut command in commands {
            with_secrets(&mut command, "http://127.0.0.1:1", "pretty");
            let ran = run(command);
            assert_ne!(ran.status, 0, "{url}");
            assert!(!ran.stderr.is_empty(), "{url}");
            holds_no_secret("a command", &format!("{}{}", ran.stdout, ran.stderr));
        }
    }
    // Half of the keys, and a token that no header can carry.
    for (name, value) in [
        ("S3_ACCESS_KEY", ""),
        ("S3_ENDPOINT", "ftp://x"),
        ("S3_USE_PATH_STYLE", "perhaps"),
        ("WEB_TOKEN", "planted-token with a space"),
        ("WEB_TOKEN", "planted-tökén"),
        ("RUST_LOG", "a=b=c"),
    ] {
        let mut command = web_command(&db.url);
        with_secrets(&mut command, "http://127.0.0.1:1", "json").env(name, value);
        let ran = run(command);
        assert_ne!(ran.status, 0, "{name}");
        holds_no_secret(name, &format!("{}{}", ran.stdout, ran.stderr));
    }
}

#[tokio::test]
async fn no_debug_form_of_a_public_type_holds_a_secret() {
    let database = Database::from_url(&format!("postgres://ada:{PASSWORD}@127.0.0.1:1/x?connect_timeout=1")).unwrap();
    let database = database.with_listen_url(&format!("host=127.0.0.1 port=1 password={PASSWORD}")).unwrap();
    let config = ObjectStoreConfig {
        access_key: Some(ACCESS_KEY.into()),
        secret_key: Some(SECRET_KEY.into()),
        ..ObjectStoreConfig::default()
    };
    holds_no_secret("the pool", &format!("{:?}", database.pool()));
    holds_no_secret("the settings of the store", &format!("{config:?}"));
    holds_no_secret("the store", &format!("{:?}", ObjectStore::new(config)));
    let errors = [
        database.client().await.map(drop).unwrap_err(),
        database.migrate(MigrationSet::Queue).await.unwrap_err(),
        postrider::Worker::new(database.clone(), ())
            .queue("default", 1)
            .handle(|_: crate::support::worker::Task, _: postrider::Context<()>| async { Ok(()) })
            .run(Shutdown::new())
            .await
            .unwrap_err(),
    ];
    for error in &errors {
        let (mut told, mut next) = (Vec::new(), Some(error as &(dyn std::error::Error + 'static)));
        while let Some(cause) = next {
            told.push(format!("{cause} {cause:?}"));
            next = cause.source();
        }
        assert!(told.len() > 1, "the cause of {error} is kept");
        holds_no_secret("an error", &told.join("\n"));
    }
}

/// Args are data: they are in lists and answers, and never in a log.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_args_is_in_no_line_of_the_log() {
    let db = TestDatabase::new().await;
    let mut command = worker_command(&db.url, ["run", "--shutdown-timeout", "1s"]);
    let mut process = Process::spawn(command.env("LOG_FORMAT", "json").env("RUST_LOG", "info"));
    process.wait_for_event("worker ready", SOON).await;
    let web = WebService::start(&db).await;
    for (number, args) in [
        json!({"sleep_ms": 0, "hold": true}),
        json!({"sleep_ms": 0, "fail": "no luck", "fail_times": 1}),
        json!({"panic": "at the disco", "sleep_ms": 1}),
        json!({"planted-name": 1}),
        json!({"sleep_ms": "planted-value"}),
    ]
    .into_iter()
    .enumerate()
    {
        let job = json!({"kind": "probe", "args": args, "unique_key": format!("planted-key-{number}")});
        web.post("/jobs", &job).await.json(201);
    }
    web.post("/jobs", &json!({"kind": "unknown", "args": {"card": "planted-number"}})).await.json(201);
    web.post("/jobs", &json!({"kind": "planted-no name", "args": {"card": "planted-number"}})).await.problem(400);
    process.wait_for_nth_event("job failed", 3, SOON).await;
    process.wait_for_event("job panicked", SOON).await;
    process.signal(Signal::Terminate);
    process.wait_for_exit(SOON).await;
    assert_eq!(web.get("/jobs?kind=unknown").await.json(200)["jobs"][0]["args"]["card"], "planted-number");
    holds_no_secret("the worker's log", &process.log());
    holds_no_secret("the log of web", &web.process.log());
}
