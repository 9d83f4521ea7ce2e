//! The commands of `worker` as an operator types them, against a real database.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use crate::support::command::{bash, end, run, run_with_input, worker};
use crate::support::database::TestDatabase;
use crate::support::jobs;
use crate::support::process::Process;
use crate::support::wait::PATIENCE;
use postrider::{State, admin};
use serde_json::{Value, json};

/// The keys of a job in JSON, in the order of the contract.
const KEYS: [&str; 16] = [
    "id",
    "kind",
    "queue",
    "priority",
    "state",
    "args",
    "attempt",
    "max_attempts",
    "run_at",
    "created_at",
    "attempted_at",
    "attempted_by",
    "finished_at",
    "error",
    "errors",
    "output",
];

#[tokio::test]
async fn enqueue_prints_the_id_of_the_job_that_it_added() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let plain = run(worker(&database.url, ["enqueue", "mail"])).done();
    let id: i64 = plain.stdout.trim_end().parse().unwrap();
    let job = admin::find(&client, id).await.unwrap().unwrap();
    assert_eq!(
        (job.kind.as_str(), job.queue.as_str(), job.priority, job.max_attempts, job.args.get(), job.state),
        ("mail", "default", 2, 25, "{}", State::Available)
    );

    let flags = "--queue slow --priority 1 --at 2033-01-31T09:00:00+02:00 --max-attempts 3 --unique-key welcome/7";
    let full = ["enqueue", "mail", r#"{"to": "ada"}"#].into_iter().chain(flags.split(' '));
    let id: i64 = run(worker(&database.url, full)).done().stdout.trim_end().parse().unwrap();
    let job = admin::find(&client, id).await.unwrap().unwrap();
    assert_eq!(
        (job.queue.as_str(), job.priority, job.max_attempts, job.args.get(), job.state),
        ("slow", 1, 3, r#"{"to": "ada"}"#, State::Scheduled)
    );
    assert_eq!(job.run_at.to_rfc3339(), "2033-01-31T07:00:00+00:00");
    let again = run(worker(&database.url, ["enqueue", "mail", "--unique-key", "welcome/7"])).done();
    assert_eq!(again.stdout, format!("{id}\n"), "the holder of the key");

    let later = run(worker(&database.url, ["enqueue", "mail", "--in", "2h"])).done();
    let job = admin::find(&client, later.stdout.trim_end().parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((job.run_at - job.created_at).num_minutes(), 120);
}

#[tokio::test]
async fn enqueue_reads_flags_from_the_environment_and_args_from_standard_input() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let mut command = worker(&database.url, ["enqueue", "mail", "-", "--priority", "4"]);
    command.env("WORKER_QUEUE", "slow").env("WORKER_PRIORITY", "1").env("WORKER_MAX_ATTEMPTS", "7");
    let ran = run_with_input(command, b" {\"n\":\n 1} ").done();
    let job = admin::find(&client, ran.stdout.trim_end().parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((job.queue.as_str(), job.priority, job.max_attempts, job.args.get()), ("slow", 4, 7, r#"{"n": 1}"#));
}

#[tokio::test]
async fn failed_in_json_is_read_by_jq() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let first = jobs::retryable(&client, "probe", "first").await;
    let second = jobs::finished(&client, "probe", "discarded").await;
    jobs::waiting(&client, "probe").await;
    let ran = run(bash(&database.url, "worker failed --json | jq -r .id")).done();
    assert_eq!((ran.stdout, ran.stderr), (format!("{second}\n{first}\n"), String::new()));
}

#[tokio::test]
async fn a_job_in_json_has_the_keys_of_the_contract_and_times_in_utc() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let id = jobs::retryable(&client, "probe", "boom").await.to_string();
    for args in [vec!["failed", "--json"], vec!["list", "--json"], vec!["show", &id, "--json"]] {
        let ran = run(worker(&database.url, &args)).done();
        assert_eq!(ran.stderr, "");
        assert_eq!(ran.stdout.lines().count(), 1, "{args:?}");
        let job = &ran.json()[0];
        let keys: BTreeSet<&str> = job.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, BTreeSet::from(KEYS), "{args:?}");
        assert_eq!(
            (&job["kind"], &job["state"], &job["attempt"], &job["error"], &job["finished_at"]),
            (&json!("probe"), &json!("retryable"), &json!(1), &json!("boom"), &Value::Null)
        );
        assert!(job["id"].is_number() && job["attempted_by"].is_string() && job["args"].is_object());
        let failure = &job["errors"][0];
        assert_eq!((&failure["attempt"], &failure["trace"]), (&json!(1), &json!("the trace")));
        for time in [&job["run_at"], &job["created_at"], &job["attempted_at"], &failure["at"]] {
            let time = time.as_str().unwrap();
            assert!(time.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
        }
    }
}

#[tokio::test]
async fn no_rows_in_json_is_no_output_and_done() {
    let database = TestDatabase::new().await;
    for args in
        [["failed", "--json"], ["list", "--json"], ["stats", "--json"], ["queues", "--json"], ["workers", "--json"]]
    {
        let ran = run(worker(&database.url, args)).done();
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""), "{args:?}");
    }
    let ran = run(worker(&database.url, ["failed"])).done();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", "worker: no failed jobs\n"));
}

#[tokio::test]
async fn tables_fit_eighty_columns_and_send_no_control_characters() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let hidden: String = HIDDEN.iter().collect();
    let hostile = "\u{1b}[31mred\u{1b}]0;title\u{7}\u{9b}2J\u{202e}wide 世界 🐘\r\nsecond line".repeat(20);
    let hostile = hostile + &hidden;
    jobs::retryable(&client, &"k".repeat(128), &hostile).await;
    jobs::retryable(&client, "short", "connection refused").await;
    client.execute("UPDATE postrider.job SET queue = repeat('q', 64)", &[]).await.unwrap();
    let registered = "INSERT INTO postrider.worker (id, lock_key, lease_ms, pid, host, version, queues, concurrency)
                      VALUES (gen_random_uuid(), 1, 15000, 4194304, $1, $1, ARRAY[repeat('q', 64)], '{10000}')";
    client.execute(registered, &[&hostile]).await.unwrap();
    for args in
        [vec!["failed"], vec!["list"], vec!["stats"], vec!["queues"], vec!["workers"], vec!["migrate", "--status"]]
    {
        let mut command = worker(&database.url, &args);
        command.env("COLUMNS", "80");
        let ran = run(command).done();
        assert!(ran.stdout.lines().count() >= 2, "{ran:?}");
        for line in ran.stdout.lines() {
            assert!(width(line) <= 80, "{} columns: {line}", width(line));
            assert!(!line.contains(char::is_control) && !line.contains(HIDDEN), "{line:?}");
        }
    }
    let failed = run(worker(&database.url, ["failed"])).done().stdout;
    let heads: Vec<&str> = failed.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heads, ["ID", "KIND", "QUEUE", "STATE", "ATTEMPT", "WHEN", "ERROR"]);
    assert!(failed.contains("in 59m") || failed.contains("in 60m"), "{failed}");
    assert!(failed.contains("\\u{1b}[31mred"), "{failed}");
    assert!(!failed.contains("second line"), "{failed}");
    let json = run(worker(&database.url, ["failed", "--json"])).done();
    assert!(json.stdout.lines().all(|line| !line.contains(char::is_control) && !line.contains(HIDDEN)));
    assert_eq!(json.json()[1]["error"], json!(hostile));

    let late = jobs::retryable(&client, "late", &format!("\n \r\nsaid late{hidden}")).await;
    let failed = run(worker(&database.url, ["failed", "--kind", "late"])).done().stdout;
    assert!(failed.contains("said late\\u{61c}\\u{200b}") && !failed.contains(HIDDEN), "{failed:?}");
    let shown = run(worker(&database.url, ["show", &late.to_string()])).done().stdout;
    assert!(shown.contains("said late\\u{61c}\\u{200b}") && !shown.contains(HIDDEN), "{shown:?}");
}

/// They turn the order of reading around, or show nothing.
const HIDDEN: [char; 9] =
    ['\u{61c}', '\u{200b}', '\u{2060}', '\u{2066}', '\u{feff}', '\u{fff9}', '\u{fffa}', '\u{fffb}', '\u{e0041}'];

/// Of what this test prints, only these characters take two columns.
fn width(line: &str) -> usize {
    line.chars().map(|c| if matches!(c, '世' | '界' | '🐘') { 2 } else { 1 }).sum()
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_command_quietly_and_well() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    client
        .batch_execute("INSERT INTO postrider.job (kind, failed_at) SELECT 'mail', now() FROM generate_series(1, 5000)")
        .await
        .unwrap();
    for command in ["list --json --limit 0", "list --limit 0", "failed --json --limit 0", "completions bash", "--help"]
    {
        let script = format!("worker {command} | head -1 >/dev/null; echo \"${{PIPESTATUS[@]}}\"");
        let ran = run(bash(&database.url, &script)).done();
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("0 0\n", ""), "{command}");
    }
    let full = run(bash(&database.url, "worker list > /dev/full"));
    assert_eq!(full.status, 1);
    assert!(full.stderr.starts_with("worker: standard output: "), "{full:?}");
}

#[tokio::test]
async fn a_limit_of_zero_shows_each_of_two_thousand_failures_once() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    client
        .batch_execute(
            "INSERT INTO postrider.job (kind, failed_at)
             SELECT 'mail', now() - (n / 700) * interval '1 minute' FROM generate_series(1, 1300) AS n;
             INSERT INTO postrider.job_history (id, run_at, created_at, finished_at, expires_on, claim, attempt,
                 max_attempts, priority, crash_count, state, queue, kind, args)
             SELECT nextval('postrider.job_id_seq'), now(), now(), now() - (n / 500) * interval '1 minute',
                 postrider.expires_on(86400), 1, 1, 1, 2, 0, 'discarded', 'default', 'mail', '{}'
             FROM generate_series(1, 700) AS n",
        )
        .await
        .unwrap();
    for list in [vec!["failed", "--json", "--limit", "0"], vec!["list", "--json", "--limit", "0"]] {
        let shown = run(worker(&database.url, &list)).done().json();
        let ids: BTreeSet<i64> = shown.iter().map(|job| job["id"].as_i64().unwrap()).collect();
        assert_eq!((shown.len(), ids.len()), (2000, 2000), "{list:?}");
    }
    let table = run(worker(&database.url, ["failed", "--limit", "0"])).done().stdout;
    assert_eq!(table.lines().count(), 2001);
    assert_eq!(table.lines().filter(|line| line.starts_with("ID")).count(), 1, "one head");
    for (limit, lines) in [("1", 1), ("101", 101), ("1999", 1999)] {
        let shown = run(worker(&database.url, ["failed", "--json", "--limit", limit])).done();
        assert_eq!(shown.stdout.lines().count(), lines);
    }
    assert_eq!(run(worker(&database.url, ["failed", "--json"])).done().stdout.lines().count(), 100);
}

#[tokio::test]
async fn filters_choose_and_the_environment_gives_them_too() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    jobs::retryable(&client, "mail", "boom").await;
    jobs::finished(&client, "pdf", "discarded").await;
    jobs::finished(&client, "pdf", "completed").await;
    let kinds = |args: &[&str], variables: &[(&str, &str)]| -> Vec<String> {
        let mut command = worker(&database.url, args);
        command.envs(variables.iter().copied()).env("WORKER_JSON", "true");
        run(command).done().json().iter().map(|job| format!("{} {}", job["kind"], job["state"])).collect()
    };
    assert_eq!(kinds(&["failed", "--kind", "mail"], &[]), [r#""mail" "retryable""#]);
    assert_eq!(kinds(&["failed"], &[("WORKER_STATE", "discarded")]), [r#""pdf" "discarded""#]);
    assert_eq!(kinds(&["failed", "--since", "1h", "--queue", "default"], &[]).len(), 2);
    assert_eq!(kinds(&["list", "--state", "completed"], &[]), [r#""pdf" "completed""#]);
    assert_eq!(kinds(&["list"], &[("WORKER_LIMIT", "1")]).len(), 1);
    assert!(kinds(&["list", "--queue", "other"], &[]).is_empty());
}

#[tokio::test]
async fn show_prints_all_of_one_job_with_the_trace_of_its_failure() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let id = jobs::retryable(&client, "probe", "first line\nsecond \u{1b}[2Jline").await.to_string();
    let ran = run(worker(&database.url, ["show", &id])).done();
    for part in [
        &format!("id            {id}\n"),
        "state         retryable\n",
        "attempt       1 of 25\n",
        "  attempt 1 at 2",
        "    first line\n    second \\u{1b}[2Jline\n",
        "    trace\n    the trace\n",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} in {}", ran.stdout);
    }
    let missing = run(worker(&database.url, ["show", "987654"]));
    assert_eq!((missing.status, missing.stdout.as_str()), (1, ""));
    assert!(missing.stderr.starts_with("worker: job 987654 not found; "), "{missing:?}");
}

#[tokio::test]
async fn retry_goes_on_past_a_job_that_it_may_not_retry_and_ends_as_failed() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let (first, held) = (jobs::finished(&client, "mail", "discarded").await, jobs::running(&client, "mail").await);
    let last = jobs::retryable(&client, "mail", "boom").await;
    let ids = [first, held, 987_654, last].map(|id| id.to_string());
    let ran = run(worker(&database.url, std::iter::once("retry").chain(ids.iter().map(String::as_str))));
    assert_eq!(ran.status, 1);
    assert_eq!(ran.stdout, format!("job {first} retried\njob {last} retried\n"));
    let told: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(told.len(), 2, "{ran:?}");
    assert_eq!(told[0], format!("worker: job {held} is running: it cannot be retried"));
    assert!(told[1].starts_with("worker: job 987654 not found"));
}

#[tokio::test]
async fn retry_of_all_failed_takes_the_filters_of_failed_and_leaves_the_rest() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let mut retried = BTreeSet::new();
    for _ in 0..120 {
        retried.insert(jobs::finished(&client, "mail", "discarded").await);
    }
    retried.insert(jobs::retryable(&client, "mail", "boom").await);
    let again = jobs::retryable(&client, "mail", "boom").await;
    client.execute("UPDATE postrider.job SET running = true WHERE id = $1", &[&again]).await.unwrap();
    let other = jobs::finished(&client, "pdf", "discarded").await;
    let done = jobs::finished(&client, "mail", "completed").await;

    let ran = run(worker(&database.url, ["retry", "--all-failed", "--kind", "mail"])).done();
    let told: BTreeSet<String> = ran.stdout.lines().map(str::to_owned).collect();
    assert_eq!(told, retried.iter().map(|id| format!("job {id} retried")).collect());
    let due = jobs::count(&client, "SELECT count(*) FROM postrider.job WHERE NOT running AND run_at <= now()").await;
    assert_eq!(due, 121);
    for (id, state) in [(other, State::Discarded), (done, State::Completed), (again, State::Running)] {
        assert_eq!(admin::find(&client, id).await.unwrap().unwrap().state, state);
    }
}

#[tokio::test]
async fn retry_of_all_failed_commits_hundreds_at_once_and_reports_those_that_cannot_be_retried() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    client
        .batch_execute(
            "INSERT INTO postrider.job_history (id, run_at, created_at, finished_at, expires_on, claim, attempt,
                 max_attempts, priority, crash_count, state, queue, kind, args)
             SELECT nextval('postrider.job_id_seq'), now(), now(), now() - n * interval '1 s',
                 postrider.expires_on(86400), 1, 1, 1, 2, 0, 'discarded', 'default', 'mail', '{}'
             FROM generate_series(1, 1200) AS n",
        )
        .await
        .unwrap();
    let taken = jobs::finished(&client, "mail", "discarded").await;
    let holder = jobs::waiting(&client, "mail").await;
    for id in [taken, holder] {
        jobs::set_key(&client, id, "welcome/7").await;
    }
    let again = jobs::retryable(&client, "mail", "boom").await;
    client.execute("UPDATE postrider.job SET running = true WHERE id = $1", &[&again]).await.unwrap();
    let ran = run(worker(&database.url, ["retry", "--all-failed"]));
    assert_eq!((ran.status, ran.stdout.lines().count()), (1, 1200), "{}", ran.stderr);
    let told = format!("job {taken} cannot be retried: another unfinished job holds its unique key \"welcome/7\"");
    assert_eq!(ran.stderr, format!("worker: {told}\n"));
    let due = format!("FROM postrider.job WHERE NOT running AND id <> {holder} AND run_at <= now()");
    assert_eq!(jobs::count(&client, &format!("SELECT count(*) {due}")).await, 1200);
    // Each row names the transaction that wrote it.
    let commits = jobs::count(&client, &format!("SELECT count(DISTINCT xmin::text) {due}")).await;
    assert!(commits < 20, "{commits} commits");
}

#[tokio::test]
async fn retry_of_all_failed_goes_on_past_a_job_that_was_edited_or_is_locked() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let mut failed = Vec::new();
    for _ in 0..5 {
        failed.push(jobs::finished(&client, "mail", "discarded").await);
    }
    let edit = "UPDATE postrider.job_history SET max_attempts = 0 WHERE id = $1";
    client.execute(edit, &[&failed[1]]).await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    client.execute("SELECT FROM postrider.job_history WHERE id = $1 FOR UPDATE", &[&failed[3]]).await.unwrap();
    let ran = run(worker(&database.url, ["retry", "--all-failed"]));
    let expected: Vec<String> = [4, 2, 0].iter().map(|at| format!("job {} retried", failed[*at])).collect();
    assert_eq!(
        (ran.status, ran.stdout.lines().collect::<Vec<_>>()),
        (1, expected.iter().map(String::as_str).collect())
    );
    let told: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(told.len(), 2, "{ran:?}");
    assert!(told[0].starts_with(&format!("worker: job {}: ", failed[3])) && told[0].contains("55P03"), "{ran:?}");
    assert!(told[1].starts_with(&format!("worker: job {}: ", failed[1])), "{ran:?}");
    assert!(told[1].contains("max_attempts_in_range"), "{ran:?}");
    client.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn numbers_in_args_are_stored_and_shown_as_they_were_typed() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let tiny = format!("0.{}1", "0".repeat(399));
    for (typed, stored) in [
        ("18446744073709551616", "18446744073709551616"),
        ("12345678901234.567891", "12345678901234.567891"),
        ("-0.10", "-0.10"),
        ("1e-400", &tiny),
        ("1E+40", "10000000000000000000000000000000000000000"),
    ] {
        let args = format!(r#"{{"n":{typed}}}"#);
        let from_standard_input = run_with_input(worker(&database.url, ["enqueue", "mail", "-"]), args.as_bytes());
        for ran in [run(worker(&database.url, ["enqueue", "mail", &args])), from_standard_input] {
            let id = ran.done().stdout.trim_end().to_owned();
            let number = format!("SELECT args ->> 'n' FROM postrider.job WHERE id = {id}");
            assert_eq!(client.query_one(&number, &[]).await.unwrap().get::<_, &str>(0), stored);
            let shown = format!(r#"{{"n": {stored}}}"#);
            for list in [vec!["show", &id], vec!["show", &id, "--json"], vec!["list", "--json", "--limit", "1"]] {
                let ran = run(worker(&database.url, &list)).done();
                assert!(ran.stdout.contains(&shown), "{list:?}: {shown} in {ran:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_last_second_of_the_year_9999_is_a_time_and_the_next_is_none() {
    let database = TestDatabase::new().await;
    let last = "9999-12-31T23:59:59Z";
    let id = run(worker(&database.url, ["enqueue", "mail", "--at", last])).done().stdout.trim_end().to_owned();
    let shown = run(worker(&database.url, ["show", &id, "--json"])).done().json();
    assert_eq!(shown[0]["run_at"], json!(last));
    let beyond = run(worker(&database.url, ["enqueue", "mail", "--at", "9999-12-31T23:59:59-00:01"]));
    assert!(beyond.status == 2 && beyond.stderr.contains("1970 to 9999"), "{beyond:?}");
}

#[tokio::test]
async fn retry_with_ids_refuses_filters_typed_beside_them_but_not_those_of_the_environment() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let id = jobs::retryable(&client, "mail", "boom").await.to_string();
    for wrong in [vec!["retry", &id, "--kind", "mail"], vec!["retry", &id, "--all-failed"], vec!["retry"]] {
        assert_eq!(run(worker(&database.url, &wrong)).status, 2, "{wrong:?}");
    }
    let mut command = worker(&database.url, ["retry", &id]);
    command.env("WORKER_KIND", "other").env("WORKER_QUEUE", "other");
    assert_eq!(run(command).done().stdout, format!("job {id} retried\n"));
}

#[tokio::test]
async fn cancel_pause_and_resume_report_each() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let waiting = jobs::waiting(&client, "mail").await.to_string();
    let held = jobs::running(&client, "mail").await.to_string();
    let done = jobs::finished(&client, "mail", "completed").await.to_string();
    let ran = run(worker(&database.url, ["cancel", &done, &waiting, &held]));
    assert_eq!(ran.status, 1);
    assert_eq!(ran.stderr, format!("worker: job {done} is completed: it cannot be cancelled\n"));
    let told = format!("job {waiting} cancelled\njob {held} is running: its worker was asked to stop it\n");
    assert_eq!(ran.stdout, told);

    let ran = run(worker(&database.url, ["pause", "mail", "slow"])).done();
    assert_eq!(ran.stdout, "queue mail paused\nqueue slow paused\n");
    let paused = "SELECT count(*) FROM postrider.queue WHERE paused_at IS NOT NULL";
    assert_eq!(jobs::count(&client, paused).await, 2);
    let ran = run(worker(&database.url, ["resume", "mail"])).done();
    assert_eq!(ran.stdout, "queue mail resumed\n");
    assert_eq!(jobs::count(&client, paused).await, 1);
}

#[tokio::test]
async fn stats_say_what_psql_counts_and_cap_what_is_many() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    client
        .batch_execute(
            "INSERT INTO postrider.job (kind, queue) SELECT 'mail', 'big' FROM generate_series(1, 12000);
             INSERT INTO postrider.job (kind, queue, run_at) SELECT 'mail', 'small', now() + interval '1 day'
             FROM generate_series(1, 17);",
        )
        .await
        .unwrap();
    jobs::running(&client, "mail").await;
    jobs::retryable(&client, "mail", "boom").await;
    run(worker(&database.url, ["pause", "small"])).done();
    let lines = run(worker(&database.url, ["stats", "--json"])).done().json();
    let keys = [
        "queue",
        "available",
        "running",
        "scheduled",
        "retryable",
        "capped",
        "oldest_waiting_seconds",
        "workers",
        "paused",
    ];
    for line in &lines {
        let found: BTreeSet<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(found, BTreeSet::from(keys));
        for state in ["available", "running", "scheduled", "retryable"] {
            let query = format!(
                "SELECT least(count(*), 10000) FROM postrider.jobs WHERE queue = '{}' AND state = '{state}'",
                line["queue"].as_str().unwrap()
            );
            assert_eq!(line[state].as_i64().unwrap(), jobs::count(&client, &query).await, "{state} {line}");
        }
    }
    let by_queue = |name: &str| lines.iter().find(|line| line["queue"] == name).unwrap();
    assert_eq!(by_queue("big")["capped"], json!(true));
    assert_eq!(by_queue("default")["capped"], json!(false));
    assert_eq!((&by_queue("small")["paused"], &by_queue("big")["paused"]), (&json!(true), &json!(false)));
    assert_eq!(by_queue("small")["oldest_waiting_seconds"], Value::Null);
    assert!(by_queue("big")["oldest_waiting_seconds"].as_f64().unwrap() >= 0.0);

    let table = run(worker(&database.url, ["stats"])).done().stdout;
    assert!(table.lines().any(|line| line.starts_with("big ") && line.contains(" 10000+ ")), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_and_workers_show_who_serves_what() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    for (command, text) in [("queues", "no queues"), ("workers", "no workers")] {
        let ran = run(worker(&database.url, [command])).done();
        assert!(ran.stdout.is_empty() && ran.stderr.contains(text), "{ran:?}");
    }
    jobs::waiting(&client, "mail").await;
    run(worker(&database.url, ["pause", "slow"])).done();
    let running =
        Process::spawn(worker(&database.url, ["run", "--queues", "default:3,mail:20"]).env("LOG_FORMAT", "json"));
    running.wait_for_event("worker ready", PATIENCE).await;

    let lines = run(worker(&database.url, ["queues", "--json"])).done().json();
    let shown: Vec<_> = lines.iter().map(|line| (&line["queue"], &line["workers"], &line["concurrency"])).collect();
    assert_eq!(
        shown,
        [
            (&json!("default"), &json!(1), &json!(3)),
            (&json!("mail"), &json!(1), &json!(20)),
            (&json!("slow"), &json!(0), &json!(0))
        ]
    );
    assert!(lines[0]["paused_at"].is_null() && lines[2]["paused_at"].is_string(), "{lines:?}");
    let table = run(worker(&database.url, ["queues"])).done().stdout;
    assert!(table.lines().any(|line| line.starts_with("slow ") && line.contains(" 0 ")), "{table}");

    let lines = run(worker(&database.url, ["workers", "--json"])).done().json();
    let [shown] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(shown["queues"], json!([{"queue": "default", "concurrency": 3}, {"queue": "mail", "concurrency": 20}]));
    assert_eq!((&shown["live"], &shown["version"]), (&json!(true), &json!(env!("CARGO_PKG_VERSION"))));
    let table = run(worker(&database.url, ["workers"])).done().stdout;
    assert!(table.contains("default:3,mail:20") && table.contains(" yes "), "{table}");
}

#[tokio::test]
async fn migrate_from_empty_shows_the_version_and_is_safe_to_repeat() {
    let database = TestDatabase::empty().await;
    let status = run(worker(&database.url, ["migrate", "--status"])).done().stdout;
    assert_eq!(status.lines().filter(|line| line.contains("pending")).count(), 2, "{status}");
    for command in [vec!["list"], vec!["enqueue", "mail"], vec!["stats"], vec!["run"]] {
        let refused = run(worker(&database.url, &command));
        assert_eq!(refused.status, 1, "{command:?}");
        assert!(refused.stderr.contains("`worker migrate`"), "{refused:?}");
    }
    run(worker(&database.url, ["migrate"])).done();
    let again = run(worker(&database.url, ["migrate"])).done().stdout;
    assert_eq!(again.lines().filter(|line| line.contains("up to date")).count(), 2, "{again}");
    run(worker(&database.url, ["list"])).done();
}

#[test]
fn without_a_database_the_error_says_what_to_do_and_never_the_password() {
    let mut command = worker("", ["list"]);
    command.env_remove("DATABASE_URL");
    let ran = run(command);
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("DATABASE_URL") && ran.stderr.contains("scripts/dev"), "{ran:?}");
    for url in ["postgres://ada:hunter2@127.0.0.1:1/db", "postgres://ada:hunter2@[nonsense", "hunter2"] {
        let ran = run(worker(url, ["list"]));
        assert_eq!(ran.status, 1, "{ran:?}");
        assert!(ran.stderr.starts_with("worker: ") && !ran.stderr.contains("hunter2"), "{ran:?}");
    }
}

#[test]
fn help_version_and_completions_need_no_database() {
    let help = run(worker("", ["--help"])).done().stdout;
    for command in "run migrate enqueue failed list show retry cancel pause resume stats bench completions".split(' ') {
        assert!(help.contains(&format!("\n  {command} ")), "{command} in {help}");
        let own = run(worker("", [command, "--help"])).done().stdout;
        assert!(!own.contains('\u{1b}'), "colour, though this is no terminal");
    }
    assert_eq!(run(worker("", ["--version"])).done().stdout, format!("worker {}\n", env!("CARGO_PKG_VERSION")));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(worker("", ["completions", shell])).done().stdout;
        assert!(script.contains("worker") && !script.contains("bench-worker"), "{shell}");
    }
}

#[test]
fn every_flag_of_the_commands_has_its_variable() {
    for command in "run migrate enqueue failed list show retry stats bench".split(' ') {
        let help = run(worker("", [command, "--help"])).done().stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        let flags = help.split(" --").skip(1).filter_map(|rest| rest.split_whitespace().next());
        for flag in flags.filter(|flag| !matches!(*flag, "help" | "all-failed:")) {
            let variable = format!("[env: WORKER_{}=]", flag.to_uppercase().replace('-', "_"));
            assert!(help.contains(&variable), "{command} --{flag}: {variable} in {help}");
        }
    }
}

#[tokio::test]
async fn a_signal_ends_a_command_with_a_status_of_ours() {
    let database = TestDatabase::new().await;
    for signal in ["INT", "TERM"] {
        let mut command = worker(&database.url, ["enqueue", "mail", "-"]);
        // Nothing is written to its standard input, so it waits.
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        let stdin = child.stdin.take();
        let pid = child.id();
        crate::support::command::wait_until_signals_are_caught(pid);
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap().success());
        let ran = end(child);
        drop(stdin);
        assert_eq!((ran.status, ran.stderr.as_str()), (1, "worker: interrupted by a signal\n"), "{signal}");
    }
    let client = database.connect().await;
    assert_eq!(jobs::count(&client, "SELECT count(*) FROM postrider.job").await, 0);
}
