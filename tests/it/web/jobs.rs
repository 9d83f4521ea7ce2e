//! Jobs over HTTP, against the real `web` and a real Postgres.

use crate::support::database::TestDatabase;
use crate::support::notifications::NotificationProbe;
use crate::support::web::{Answer, WebService};
use futures_util::future::join_all;
use postrider::job::MAX_ARGS_BYTES;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

async fn start() -> (TestDatabase, WebService) {
    let database = TestDatabase::new().await;
    let web = WebService::start(&database).await;
    (database, web)
}

async fn run_sql(database: &TestDatabase, statements: &str) {
    database.connect().await.batch_execute(statements).await.unwrap();
}

#[tokio::test]
async fn a_job_is_there_once_the_answer_is() {
    let (database, web) = start().await;
    let answer = web.post("/jobs", &json!({"kind": "mail", "args": {"to": "ada"}})).await;
    let job = answer.json(201);
    assert_eq!(answer.header("location"), Some(format!("/jobs/{}", job["id"]).as_str()));
    assert_eq!(job["kind"], "mail");
    assert_eq!(job["args"], json!({"to": "ada"}));
    assert_eq!((&job["queue"], &job["priority"], &job["max_attempts"]), (&json!("default"), &json!(2), &json!(25)));
    assert_eq!((&job["state"], &job["attempt"], &job["errors"]), (&json!("available"), &json!(0), &json!([])));
    for unset in ["attempted_at", "attempted_by", "finished_at", "error"] {
        assert!(job[unset].is_null() && job.get(unset).is_some(), "{unset}: {job}");
    }
    assert_eq!(database.count("postrider.job").await, 1);
    assert_eq!(web.get(answer.header("location").unwrap()).await.json(200), job);
}

#[tokio::test]
async fn every_field_is_taken() {
    let (_database, web) = start().await;
    let body = json!({
        "kind": "a/b.c-d", "args": [1, null, "ü"], "queue": "mail/urgent", "priority": 1,
        "run_at": "2999-12-31T23:30:00+01:00", "max_attempts": 3, "unique_key": "once"
    });
    let job = web.post("/jobs", &body).await.json(201);
    for field in ["kind", "args", "queue", "priority", "max_attempts"] {
        assert_eq!(job[field], body[field], "{field}");
    }
    assert_eq!((&job["run_at"], &job["state"]), (&json!("2999-12-31T22:30:00Z"), &json!("scheduled")));

    let again = web.post("/jobs", &json!({"kind": "other", "unique_key": "once"})).await;
    assert_eq!(again.json(200), job, "the key is held by an unfinished job");
    assert_eq!(again.header("location"), Some(format!("/jobs/{}", job["id"]).as_str()));
}

#[tokio::test]
async fn a_posted_job_notifies_the_listeners() {
    let (database, web) = start().await;
    let mut probe = NotificationProbe::new(&database).await;
    for key in [None, Some("k")] {
        let mut request = web.request(Method::POST, "/jobs").json(&json!({"kind": "k", "queue": "q"}));
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        Answer::of(request).await.json(201);
        assert_eq!(probe.all().await, ["wake q"], "with key {key:?}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_overlap() {
    let (_database, web) = start().await;
    let mut ids = Vec::new();
    for n in 0..7 {
        let queue = if n % 2 == 0 { "even" } else { "odd" };
        ids.push(web.post("/jobs", &json!({"kind": "k", "queue": queue})).await.json(201)["id"].clone());
    }
    ids.reverse();
    let (mut seen, mut path) = (Vec::new(), "/jobs?limit=3".to_owned());
    loop {
        let page = web.get(&path).await.json(200);
        let jobs = page["jobs"].as_array().unwrap();
        assert!(jobs.len() <= 3);
        seen.extend(jobs.iter().map(|job| job["id"].clone()));
        match page["next"].as_str() {
            Some(next) => path = format!("/jobs?limit=3&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    let exact = web.get("/jobs?limit=7").await.json(200);
    assert_eq!((exact["jobs"].as_array().unwrap().len(), &exact["next"]), (7, &Value::Null));

    for (query, found) in [
        ("queue=even", 4),
        ("queue=odd&kind=k&state=available", 3),
        ("state=running", 0),
        ("kind=other", 0),
        ("state=&kind=&queue=&limit=&after=", 7),
    ] {
        let page = web.get(&format!("/jobs?{query}")).await.json(200);
        assert_eq!(page["jobs"].as_array().unwrap().len(), found, "{query}");
    }
}

#[tokio::test]
async fn a_page_of_huge_jobs_ends_early_and_goes_on() {
    let (_database, web) = start().await;
    let args = "x".repeat(MAX_ARGS_BYTES - 2);
    for _ in 0..20 {
        web.post("/jobs", &json!({"kind": "k", "args": args})).await.json(201);
    }
    let (mut seen, mut path) = (0, "/jobs".to_owned());
    loop {
        let answer = web.get(&path).await;
        assert!(answer.body.len() < 12 * 1024 * 1024, "{} bytes", answer.body.len());
        let page = answer.json(200);
        seen += page["jobs"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => path = format!("/jobs?after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, 20);
}

#[tokio::test]
async fn jobs_are_cancelled_and_retried_where_their_state_allows_it() {
    let (database, web) = start().await;
    let id = web.post("/jobs", &json!({"kind": "k", "unique_key": "u"})).await.json(201)["id"].clone();
    assert_eq!(web.act(&format!("/jobs/{id}/cancel")).await.json(200)["state"], "cancelled");
    let refused = web.act(&format!("/jobs/{id}/cancel")).await.problem(409);
    assert!(refused["detail"].as_str().unwrap().contains("cancelled"), "{refused}");

    web.post("/jobs", &json!({"kind": "k", "unique_key": "u"})).await.json(201);
    web.act(&format!("/jobs/{id}/retry")).await.problem(409);
    run_sql(&database, "DELETE FROM postrider.job").await;
    assert_eq!(web.act(&format!("/jobs/{id}/retry")).await.json(200)["state"], "available");
    run_sql(&database, "UPDATE postrider.job SET running = true").await;
    web.act(&format!("/jobs/{id}/retry")).await.problem(409);
    assert_eq!(web.act(&format!("/jobs/{id}/cancel")).await.json(200)["state"], "running");

    for path in ["/jobs/999999", "/jobs/0", "/jobs/-1"] {
        web.get(path).await.problem(404);
    }
    for verb in ["retry", "cancel"] {
        web.act(&format!("/jobs/999999/{verb}")).await.problem(404);
    }
    for id in ["x", "1.5", "99999999999999999999", "%00", "1%20"] {
        let path = format!("/jobs/{id}");
        assert_eq!(web.get(&path).await.problem(400)["field"], "id", "{path}");
        assert_eq!(web.act(&format!("{path}/retry")).await.problem(400)["field"], "id", "{path}");
    }
    let undecodable = web.get("/jobs/%ff").await.problem(400);
    assert!(undecodable["detail"].as_str().unwrap().contains("path"), "{undecodable}");
}

#[tokio::test]
async fn queues_are_paused_and_resumed() {
    let (database, web) = start().await;
    for _ in 0..2 {
        let paused = web.act("/queues/mail%2Furgent/pause").await.json(200);
        assert_eq!(paused, json!({"queue": "mail/urgent", "paused": true}));
    }
    assert_eq!(database.count("postrider.queue WHERE name = 'mail/urgent' AND paused_at IS NOT NULL").await, 1);
    let resumed = web.act("/queues/mail%2Furgent/resume").await.json(200);
    assert_eq!(resumed, json!({"queue": "mail/urgent", "paused": false}));
    assert_eq!(database.count("postrider.queue WHERE paused_at IS NOT NULL").await, 0);
    for bad in ["a%00b", "a%20b", "-x", &"q".repeat(65), "a%2Cb"] {
        assert_eq!(web.act(&format!("/queues/{bad}/pause")).await.problem(400)["field"], "queue", "{bad}");
    }
    web.act("/queues/%ff/pause").await.problem(400);
    assert_eq!(database.count("postrider.queue WHERE paused_at IS NOT NULL").await, 0);
}

#[tokio::test]
async fn bad_bodies_are_refused_by_field_and_nothing_is_written() {
    let (database, web) = start().await;
    let text = |len: usize| "x".repeat(len);
    let wrong_for_text = [json!(1), json!(true), json!([]), json!({})];
    let wrong_for_number = [json!("1"), json!(true), json!([]), json!({}), json!(1.5), json!(1e300)];
    let mut cases: Vec<(&str, Value)> = vec![
        ("kind", json!({})),
        ("kind", json!({"kind": null})),
        ("kind", json!({"kind": ""})),
        ("kind", json!({"kind": "a b"})),
        ("kind", json!({"kind": "a\0b"})),
        ("kind", json!({"kind": text(129)})),
        ("kind", json!({"kind": text(500_000)})),
        ("args", json!({"kind": "k", "args": "a\0b"})),
        ("args", json!({"kind": "k", "args": {"a\0b": 1}})),
        ("args", json!({"kind": "k", "args": text(MAX_ARGS_BYTES - 1)})),
        ("queue", json!({"kind": "k", "queue": ""})),
        ("queue", json!({"kind": "k", "queue": "a,b"})),
        ("queue", json!({"kind": "k", "queue": "a\0"})),
        ("queue", json!({"kind": "k", "queue": text(65)})),
        ("priority", json!({"kind": "k", "priority": 0})),
        ("priority", json!({"kind": "k", "priority": 5})),
        ("priority", json!({"kind": "k", "priority": -1})),
        ("priority", json!({"kind": "k", "priority": i64::MAX})),
        ("max_attempts", json!({"kind": "k", "max_attempts": 0})),
        ("max_attempts", json!({"kind": "k", "max_attempts": -1})),
        ("max_attempts", json!({"kind": "k", "max_attempts": 10_001})),
        ("max_attempts", json!({"kind": "k", "max_attempts": 4_294_967_297_i64})),
        ("run_at", json!({"kind": "k", "run_at": ""})),
        ("run_at", json!({"kind": "k", "run_at": "tomorrow"})),
        ("run_at", json!({"kind": "k", "run_at": "2030-01-01T00:00:00"})),
        ("run_at", json!({"kind": "k", "run_at": "1969-12-31T23:59:59Z"})),
        ("run_at", json!({"kind": "k", "run_at": "+10000-01-01T00:00:00Z"})),
        ("unique_key", json!({"kind": "k", "unique_key": ""})),
        ("unique_key", json!({"kind": "k", "unique_key": "a\0b"})),
        ("unique_key", json!({"kind": "k", "unique_key": text(513)})),
        ("Kind", json!({"kind": "k", "Kind": "k"})),
        ("état", json!({"kind": "k", "état": 1})),
    ];
    for field in ["kind", "queue", "run_at", "unique_key"] {
        cases.extend(wrong_for_text.iter().map(|wrong| {
            let mut body = json!({"kind": "k"});
            body[field] = wrong.clone();
            (field, body)
        }));
    }
    for field in ["priority", "max_attempts"] {
        cases.extend(wrong_for_number.iter().map(|wrong| {
            let mut body = json!({"kind": "k"});
            body[field] = wrong.clone();
            (field, body)
        }));
    }
    for (field, body) in cases {
        let body = body.to_string();
        let problem = web.post_bytes("/jobs", body.as_bytes()).await.problem(400);
        assert_eq!(problem["field"], field, "{problem} for {body:.200}");
        assert!(problem["detail"].as_str().unwrap().starts_with(field), "{problem}");
        assert!(problem.to_string().len() < 8000, "a problem does not repeat what was sent");
    }

    let nested = |depth: usize| format!(r#"{{"kind": "k", "args": {}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    for (field, body) in [
        ("kind", r#"{"kind": "k", "kind": "l"}"#.to_owned()),
        ("kind", r#"{"kind": "\ud800"}"#.to_owned()),
        ("args", r#"{"kind": "k", "args": "\ud800"}"#.to_owned()),
        ("args", r#"{"kind": "k", "args": 1e200000}"#.to_owned()),
        ("args", nested(300)),
        ("args", nested(200_000)),
        ("x".repeat(100).as_str(), format!(r#"{{"kind": "k", "{}": 1}}"#, "x".repeat(100))),
    ] {
        assert_eq!(web.post_bytes("/jobs", body.as_bytes()).await.problem(400)["field"], field, "{body:.200}");
    }
    for body in [
        &b""[..],
        b"null",
        b"[]",
        b"\"k\"",
        b"{",
        b"{\"kind\": \"k\"",
        b"{\"kind\": \"k\"} {}",
        b"{kind: 1}",
        b"{\"kind\": \"\xff\"}",
        b"\xef\xbb\xbf{\"kind\": \"k\"}",
        b"{\"kind\": \"k\",}",
        b"\0",
    ] {
        web.post_bytes("/jobs", body).await.problem(400);
    }
    assert_eq!(database.count("postrider.jobs").await, 0);
    // Only after all of these: a good one still goes through.
    web.post("/jobs", &json!({"kind": "k", "args": text(MAX_ARGS_BYTES - 2)})).await.json(201);
}

#[tokio::test]
async fn bad_queries_are_refused_by_name() {
    let (_database, web) = start().await;
    for (field, query) in [
        ("state", "state=done"),
        ("state", "state=%00"),
        ("state", "state=%ff"),
        ("kind", "kind=a%00b"),
        ("kind", "kind=%ff"),
        ("queue", "queue=a+b"),
        ("limit", "limit=0"),
        ("limit", "limit=1001"),
        ("limit", "limit=-1"),
        ("limit", "limit=ten"),
        ("limit", "limit=99999999999999999999"),
        ("after", "after=x"),
        ("after", "after=1&after=2"),
        ("States", "States=running"),
        ("%", "%25=1"),
    ] {
        assert_eq!(web.get(&format!("/jobs?{query}")).await.problem(400)["field"], field, "{query}");
    }
    web.get("/jobs?%ff=1").await.problem(400);
}

async fn post_with_key(web: &WebService, key: &str, body: &Value) -> Answer {
    Answer::of(web.request(Method::POST, "/jobs").header("Idempotency-Key", key).json(body)).await
}

#[tokio::test]
async fn twenty_clients_with_one_idempotency_key_add_one_job() {
    let (database, web) = start().await;
    let body = json!({"kind": "k", "args": {"zeta": 1, "alpha": [1.10, "é\u{1}"]}});
    let answers = join_all((0..20).map(|_| post_with_key(&web, "order-17", &body))).await;
    let first = &answers[0];
    first.json(201);
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (201, &first.body));
        assert_eq!(answer.header("location"), first.header("location"));
    }
    assert_eq!(database.count("postrider.jobs").await, 1);
    assert_eq!(database.count("idempotency_keys").await, 1);
}

#[tokio::test]
async fn an_idempotency_key_gives_the_first_answer_also_after_the_job_has_finished() {
    let (database, web) = start().await;
    let body = json!({"kind": "k"});
    let first = post_with_key(&web, "a", &body).await;
    let id = first.json(201)["id"].clone();
    web.act(&format!("/jobs/{id}/cancel")).await.json(200);
    let again = post_with_key(&web, "a", &body).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("location"), first.header("location"));

    // Also the answer that an unfinished job holds the unique key.
    let body = json!({"kind": "k", "unique_key": "u"});
    let held = web.post("/jobs", &body).await.json(201);
    let existing = post_with_key(&web, "c", &body).await;
    assert_eq!(existing.json(200), held);
    web.act(&format!("/jobs/{}/cancel", held["id"])).await.json(200);
    let again = post_with_key(&web, "c", &body).await;
    assert_eq!((again.status, &again.body), (200, &existing.body));

    let refused = post_with_key(&web, "a", &json!({"kind": "k", "priority": 1})).await.problem(422);
    assert_eq!(refused["field"], "Idempotency-Key");
    assert_ne!(post_with_key(&web, "b", &body).await.json(201)["id"], id);
    assert_eq!(database.count("postrider.jobs").await, 3);
}

#[tokio::test]
async fn idempotency_keys_expire_after_a_day_and_are_cleaned_up() {
    let (database, web) = start().await;
    let body = json!({"kind": "k"});
    let first = post_with_key(&web, "mine", &body).await.json(201);
    run_sql(
        &database,
        "UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second';
         INSERT INTO idempotency_keys (key, request_hash, created_at)
         SELECT 'old-' || n, '\\x00', now() - interval '25 hours' FROM generate_series(1, 150) AS n",
    )
    .await;
    let second = post_with_key(&web, "mine", &json!({"kind": "other"})).await.json(201);
    assert_ne!(first["id"], second["id"]);
    assert_eq!(database.count("idempotency_keys").await, 51, "a hundred old ones went with it");
    post_with_key(&web, "new", &body).await.json(201);
    assert_eq!(database.count("idempotency_keys").await, 2);
}

#[tokio::test]
async fn bad_idempotency_keys_are_refused_and_bad_bodies_use_none_up() {
    let (database, web) = start().await;
    let body = json!({"kind": "k"});
    for key in ["", " ", "a b", "é", &"k".repeat(256)] {
        assert_eq!(post_with_key(&web, key, &body).await.problem(400)["field"], "Idempotency-Key", "{key:?}");
    }
    let twice = web.request(Method::POST, "/jobs").header("Idempotency-Key", "a").header("Idempotency-Key", "a");
    assert_eq!(Answer::of(twice.json(&body)).await.problem(400)["field"], "Idempotency-Key");
    assert_eq!(database.count("postrider.jobs").await, 0);

    post_with_key(&web, "k", &json!({"kind": ""})).await.problem(400);
    post_with_key(&web, "k", &body).await.json(201);
    post_with_key(&web, &"~".repeat(255), &body).await.json(201);
}

#[tokio::test]
async fn a_request_that_waits_for_a_key_gets_it_when_the_first_one_fails() {
    let (database, web) = start().await;
    // Another transaction has the key, and will roll back.
    let mut other = database.connect().await;
    let tx = other.transaction().await.unwrap();
    tx.execute("INSERT INTO idempotency_keys (key, request_hash) VALUES ('k', '\\x00')", &[]).await.unwrap();
    let body = json!({"kind": "k"});
    let waiting = post_with_key(&web, "k", &body);
    let give_up = async {
        database.until_blocked().await;
        tx.rollback().await.unwrap();
    };
    let (answer, ()) = tokio::join!(waiting, give_up);
    answer.json(201);
}

#[tokio::test]
async fn a_lost_database_is_503_and_its_cause_is_only_in_the_log() {
    let (database, web) = start().await;
    web.get("/readyz").await.json(200);
    let name = database.url.rsplit_once('/').unwrap().1;
    let admin_url = std::env::var("TEST_DATABASE_URL").unwrap();
    let (admin, connection) = tokio_postgres::connect(&admin_url, NoTls).await.unwrap();
    tokio::spawn(connection);
    admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();

    for answer in [web.post("/jobs", &json!({"kind": "k"})).await, web.get("/jobs").await, web.get("/readyz").await] {
        let problem = answer.problem(503).to_string();
        assert!(!problem.contains(name) && !problem.contains("SQLSTATE"), "{problem}");
        assert!(answer.header("retry-after").is_some());
    }
    assert!(!web.process.events("request failed").is_empty());
    web.get("/healthz").await.json(200);
    let metrics = web.get("/metrics").await;
    assert!(metrics.body.contains("postrider_queue_figures_up 0"), "{}", metrics.body);
}
