//! Requests and their database: others' transactions, clients that hang up, a schema that is gone.

use std::time::Duration;

use crate::postgres::pooler::assert_sessions_are_as_new;
use crate::support::database::TestDatabase;
use crate::support::login::Login;
use crate::support::pooler::Pooler;
use crate::support::wait::{PATIENCE, until};
use crate::support::web::{Answer, WebService, web_command};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

async fn start() -> (TestDatabase, WebService) {
    let database = TestDatabase::new().await;
    let web = WebService::start(&database).await;
    (database, web)
}

const WAITING: &str = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_for_an_open_transaction_hold_up_no_others() {
    let (database, web) = start().await;
    let holder = database.connect().await;
    holder.batch_execute("BEGIN; SELECT postrider.enqueue('k', unique_key => 'held')").await.unwrap();
    let body = json!({"kind": "k", "unique_key": "held"});
    let blocked = join_all((0..20).map(|_| web.post("/jobs", &body)));
    let others = async {
        until("some wait for it", PATIENCE, async || (database.count(WAITING).await > 0).then_some(())).await;
        for _ in 0..10 {
            web.get("/readyz").await.json(200);
            web.get("/jobs").await.json(200);
            web.post("/jobs", &json!({"kind": "free"})).await.json(201);
        }
    };
    let (blocked, ()) = tokio::join!(blocked, others);
    for answer in blocked {
        answer.problem(503);
        assert!(answer.header("retry-after").is_some());
    }
    // The server has ended them, too.
    until("nobody waits any more", PATIENCE, async || (database.count(WAITING).await == 0).then_some(())).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    web.post("/jobs", &body).await.json(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_read_and_wait_for_a_locked_table_hold_up_no_probe() {
    let (database, web) = start().await;
    let holder = database.connect().await;
    holder.batch_execute("BEGIN; LOCK TABLE postrider.job IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let blocked = join_all((0..40).map(|_| web.get("/jobs")));
    let probes = async {
        until("some wait for it", PATIENCE, async || (database.count(WAITING).await > 0).then_some(())).await;
        for _ in 0..10 {
            web.get("/readyz").await.json(200);
        }
    };
    let (blocked, ()) = tokio::join!(blocked, probes);
    for answer in blocked {
        answer.problem(503);
    }
    holder.batch_execute("ROLLBACK").await.unwrap();
    web.get("/jobs").await.json(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_wait_for_an_open_transaction_hold_up_nothing_but_files() {
    let (database, web) = start().await;
    let tablo = web.post("/tablos", &json!({"name": "t"})).await.json(201)["id"].as_str().unwrap().to_owned();
    let holder = database.connect().await;
    holder.batch_execute("BEGIN; LOCK TABLE public.tablo_files IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let path = format!("/tablos/{tablo}/files/a");
    let blocked = join_all((0..30).map(|_| Answer::of(web.request(Method::PUT, &path).body("1"))));
    let others = async {
        until("some wait for it", PATIENCE, async || (database.count(WAITING).await > 0).then_some(())).await;
        for _ in 0..10 {
            web.get("/readyz").await.json(200);
            web.get("/jobs").await.json(200);
            web.post("/jobs", &json!({"kind": "free"})).await.json(201);
        }
    };
    let (blocked, ()) = tokio::join!(blocked, others);
    for answer in blocked {
        answer.problem(503);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_pooler_the_service_has_its_limits_and_leaves_nothing_in_sessions() {
    let database = TestDatabase::empty().await;
    let pooler = Pooler::start(&database, 2).await;
    let mut command = web_command(&pooler.url);
    let web = WebService::from(command.arg("--migrate").env("DATABASE_LISTEN_URL", &database.url)).await;
    web.post("/jobs", &json!({"kind": "k"})).await.json(201);
    let holder = database.connect().await;
    holder.batch_execute("BEGIN; SELECT postrider.enqueue('k', unique_key => 'held')").await.unwrap();
    let body = json!({"kind": "k", "unique_key": "held"});
    // One has its limit, the other its client hang up.
    web.post("/jobs", &body).await.problem(503);
    let hung_up = web.request(Method::POST, "/jobs").json(&body).timeout(Duration::from_millis(300));
    hung_up.send().await.expect_err("the client has hung up");
    until("nobody waits any more", PATIENCE, async || (database.count(WAITING).await == 0).then_some(())).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(web.get("/jobs").await.status, 200, "{}", web.process.log());
    drop(web);
    assert_sessions_are_as_new(&pooler).await;
}

#[tokio::test]
async fn what_the_worker_waits_for_is_worth_another_try_over_http() {
    let (database, web) = start().await;
    let client = database.connect().await;
    for state in ["53100", "53200", "57P01", "40001", "25006", "55006"] {
        client
            .batch_execute(&format!(
                "CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
                     $$ BEGIN RAISE 'no' USING ERRCODE = '{state}'; END $$;
                 CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON postrider.job
                     FOR EACH ROW EXECUTE FUNCTION public.refuse()"
            ))
            .await
            .unwrap();
        let answer = web.post("/jobs", &json!({"kind": "k"})).await;
        answer.problem(503);
        assert_eq!(answer.header("retry-after"), Some("1"), "{state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_leaves_no_busy_connection_behind() {
    let (database, web) = start().await;
    let holder = database.connect().await;
    let id = holder.query_one("SELECT postrider.enqueue('k')", &[]).await.unwrap().get::<_, i64>(0);
    holder.batch_execute("BEGIN; LOCK TABLE postrider.job IN ACCESS EXCLUSIVE MODE").await.unwrap();
    for _ in 0..10 {
        let request = web.request(Method::GET, &format!("/jobs/{id}")).timeout(Duration::from_millis(300));
        request.send().await.expect_err("the client has hung up");
    }
    holder.batch_execute("ROLLBACK").await.unwrap();
    // Whatever is still waiting on the server is not handed to others.
    let answers = join_all((0..10).map(|_| web.get("/jobs"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    until("nobody waits any more", PATIENCE, async || (database.count(WAITING).await == 0).then_some(())).await;
}

#[tokio::test]
async fn a_missing_schema_is_reported_by_the_probe_and_by_every_request() {
    let (database, web) = start().await;
    let client = database.connect().await;
    client.batch_execute("DROP SCHEMA postrider CASCADE").await.unwrap();
    for path in ["/readyz", "/jobs"] {
        let problem = web.get(path).await.problem(503);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("worker migrate")), "{problem}");
    }
    web.post("/jobs", &json!({"kind": "k"})).await.problem(503);
    database.database.migrate(postrider::schema::MigrationSet::Queue).await.expect("made anew");
    web.get("/readyz").await.json(200);
    client.batch_execute("DROP TABLE tablo_files, tablos CASCADE").await.unwrap();
    web.get("/readyz").await.problem(503);
}

#[tokio::test]
async fn a_service_that_lacks_one_of_its_tables_is_not_ready() {
    let (database, web) = start().await;
    let client = database.connect().await;
    for (schema, table) in [
        ("postrider", "job"),
        ("postrider", "job_history"),
        ("postrider", "queue"),
        ("postrider", "worker"),
        ("postrider", "periodic"),
        ("postrider", "jobs"),
        ("public", "tablo_files"),
        ("public", "orphan_cleanup"),
        ("public", "idempotency_keys"),
    ] {
        let rename = |from: &str, to: &str| format!("ALTER TABLE {schema}.{from} RENAME TO {to}");
        client.batch_execute(&rename(table, "gone")).await.expect(table);
        web.get("/readyz").await.problem(503);
        client.batch_execute(&rename("gone", table)).await.expect(table);
        web.get("/readyz").await.json(200);
    }
    client.batch_execute("DROP TABLE postrider.job_history CASCADE").await.unwrap();
    for path in ["/readyz", "/jobs"] {
        let problem = web.get(path).await.problem(503);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("worker migrate")), "{problem}");
    }
}

#[tokio::test]
async fn a_missing_right_is_named_by_the_probe_and_reported_by_every_request() {
    let database = TestDatabase::new().await;
    let admin = database.connect().await;
    let login = Login::new(&database, "").await;
    let name = &login.name;
    let grant = format!(
        "GRANT USAGE ON SCHEMA postrider TO {name};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA postrider, public TO {name};
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA postrider TO {name}"
    );
    admin.batch_execute(&grant).await.unwrap();
    let web = WebService::from(&mut web_command(&login.url)).await;
    let detail = async |path: &str| web.get(path).await.problem(503)["detail"].as_str().unwrap().to_owned();
    for (right, table) in [
        ("SELECT", "postrider.job"),
        ("DELETE", "postrider.job_history"),
        ("INSERT", "postrider.queue"),
        ("SELECT", "postrider.jobs"),
        ("SELECT", "postrider.schema_version"),
        ("UPDATE", "public.tablo_files"),
        ("SELECT", "public.postrider_app_migrations"),
    ] {
        admin.batch_execute(&format!("REVOKE {right} ON {table} FROM {name}")).await.unwrap();
        let detail = detail("/readyz").await;
        assert!(detail.contains(&format!("{right} on {table}")), "{detail}");
        admin.batch_execute(&grant).await.unwrap();
        web.get("/readyz").await.json(200);
    }
    admin.batch_execute(&format!("REVOKE SELECT, INSERT ON postrider.job FROM {name}")).await.unwrap();
    let answers = [web.get("/jobs").await, web.post("/jobs", &json!({"kind": "k"})).await];
    for answer in &answers {
        let problem = answer.problem(503);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("worker roles")), "{problem}");
        assert!(answer.header("retry-after").is_some());
    }
    admin.batch_execute(&format!("REVOKE USAGE ON SCHEMA postrider FROM {name}")).await.unwrap();
    for path in ["/readyz", "/jobs"] {
        let detail = detail(path).await;
        assert!(detail.contains("worker roles"), "{path}: {detail}");
    }
}

#[tokio::test]
async fn numbers_in_args_are_those_that_were_sent() {
    let (database, web) = start().await;
    let client = database.connect().await;
    for (number, printed) in [
        ("18446744073709551616", "18446744073709551616"),
        ("12345678901234.567891", "12345678901234.567891"),
        ("-0.10", "-0.10"),
        ("1e-30", "0.000000000000000000000000000001"),
        ("1e40", "10000000000000000000000000000000000000000"),
    ] {
        for key in [None, Some(format!("key-{number}"))] {
            let body = format!(r#"{{"kind": "k", "args": {{"n": {number}}}}}"#);
            let mut request = web.request(Method::POST, "/jobs").header("content-type", "application/json").body(body);
            if let Some(key) = key {
                request = request.header("Idempotency-Key", key);
            }
            let answer = Answer::of(request).await;
            assert_eq!(answer.status, 201, "{}", answer.body);
            let args = format!(r#""args":{{"n": {printed}}}"#);
            assert!(answer.body.contains(&args), "{args} in {}", answer.body);
        }
        let stored = client.query_one("SELECT args ->> 'n' FROM postrider.job ORDER BY id DESC LIMIT 1", &[]).await;
        assert_eq!(stored.unwrap().get::<_, &str>(0), printed);
    }
    let tiny = r#"{"kind": "k", "args": 1e-400}"#;
    assert!(web.post_bytes("/jobs", tiny).await.body.contains(&format!(r#""args":0.{}1"#, "0".repeat(399))));
    web.post_bytes("/jobs", r#"{"kind": "k", "args": 1e200000}"#).await.problem(400);
}

#[tokio::test]
async fn a_repeated_request_may_be_written_otherwise() {
    let (database, web) = start().await;
    let send = async |body: &str| {
        let request = web.request(Method::POST, "/jobs").header("content-type", "application/json");
        Answer::of(request.header("Idempotency-Key", "one").body(body.to_owned())).await
    };
    let first = send(r#"{"kind": "k", "args": {"a": 1, "b": 18446744073709551616}}"#).await;
    assert_eq!(first.status, 201);
    let again = send("{\"args\":{\"b\":18446744073709551616,\n\"a\":1},\"kind\":\"\\u006b\"}").await;
    assert_eq!((again.status, again.body), (201, first.body));
    send(r#"{"kind": "k", "args": {"a": 1, "b": 18446744073709551617}}"#).await.problem(422);
    assert_eq!(database.count("postrider.job").await, 1);
}

#[tokio::test]
async fn names_written_by_hand_leave_the_metrics_readable() {
    let (database, web) = start().await;
    let client = database.connect().await;
    for name in ["a\"b", "line\nbreak", "back\\slash", "\\\"\n"] {
        client.execute("INSERT INTO postrider.queue (name, paused_at) VALUES ($1, now())", &[&name]).await.unwrap();
    }
    let text = web.get("/metrics").await.body;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(is_a_sample(line), "{line:?}");
    }
    for line in [
        r#"postrider_queue_paused{queue="a\"b"} 1"#,
        r#"postrider_queue_paused{queue="line\nbreak"} 1"#,
        r#"postrider_queue_paused{queue="back\\slash"} 1"#,
        r#"postrider_queue_paused{queue="\\\"\n"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
}

/// `name{label="value",…} number`, as the exposition format has it.
fn is_a_sample(line: &str) -> bool {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let Some((name, mut rest)) = line.split_once(['{', ' ']) else { return false };
    if line.as_bytes()[name.len()] == b'{' {
        loop {
            let Some((label, value)) = rest.split_once("=\"") else { return false };
            let (mut escaped, mut is_well_escaped) = (false, true);
            let Some(end) = value.find(|c| {
                let ends = c == '"' && !escaped;
                is_well_escaped &= !escaped || matches!(c, '"' | '\\' | 'n');
                escaped = c == '\\' && !escaped;
                ends
            }) else {
                return false;
            };
            if !is_name(label) || !is_well_escaped {
                return false;
            }
            rest = &value[end + 1..];
            if let Some(after) = rest.strip_prefix("} ") {
                rest = after;
                break;
            }
            let Some(next) = rest.strip_prefix(',') else { return false };
            rest = next;
        }
    }
    is_name(name) && rest.parse::<f64>().is_ok()
}
