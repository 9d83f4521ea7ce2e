//! Wrong values of every flag and variable: refused with the flag's name, and nothing written.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;

use crate::support::command::{Ran, run, run_with_input, worker};
use crate::support::database::TestDatabase;
use crate::support::jobs;

/// Flags that take a value, with values that they refuse.
const FLAGS: &[(&str, &str, &[&str])] = &[
    ("run", "--queues", &["", ",", "a,a", "a:0", "a:10001", "a:x", "a b", "ü", "a:1:2", "-x"]),
    ("run", "--poll-interval", &["", "1", "9ms", "61m", "soon", "-1s", "99999999999999999999s"]),
    ("run", "--lease", &["15", "1s", "1999ms", "2h", "x"]),
    ("run", "--heartbeat-interval", &["60", "99ms", "8days", "0s"]),
    ("run", "--shutdown-timeout", &["0", "61m", "never"]),
    ("run", "--health", &["localhost", "9090", "127.0.0.1", "127.0.0.1:99999", "::1:80"]),
    ("enqueue mail", "--queue", &["", "a b", "-x", "a:1", "ü"]),
    ("enqueue mail", "--priority", &["", "0", "5", "1.5", "urgent", "99999999999999999999"]),
    (
        "enqueue mail",
        "--at",
        &["", "now", "2030-01-31", "2030-01-31T09:00:00", "2030-02-30T09:00:00Z", "1969-12-31T23:59:59Z"],
    ),
    ("enqueue mail", "--in", &["", "5", "-5s", "1001years", "1x"]),
    ("enqueue mail", "--max-attempts", &["", "0", "10001", "x", "-1"]),
    ("enqueue mail", "--unique-key", &[""]),
    ("failed", "--kind", &["", "a b"]),
    ("failed", "--queue", &["", "a b"]),
    ("failed", "--since", &["", "5", "0s", "101years"]),
    ("failed", "--state", &["", "running", "completed", "x"]),
    ("failed", "--limit", &["", "-1", "x", "1.5", "99999999999999999999"]),
    ("list", "--state", &["", "failed"]),
    ("list", "--kind", &["", "a b"]),
    ("list", "--queue", &["", "a b"]),
    ("list", "--limit", &["", "-1", "x"]),
    ("retry --all-failed", "--since", &["5"]),
    ("retry --all-failed", "--state", &["completed"]),
    ("retry --all-failed", "--kind", &["a b"]),
    ("retry --all-failed", "--limit", &["x"]),
    ("bench", "--only", &["", "nonsense", "drain,", "drain,x", "bench-worker"]),
    ("bench", "--rounds", &["", "0", "101", "x"]),
    ("bench", "--jobs", &["", "0", "100000001", "1.5"]),
    ("bench", "--minutes", &["", "0", "0.5s", "2days", "-1", "soon"]),
];

/// Flags without a value.
const SWITCHES: &[(&str, &str)] = &[
    ("run", "--no-listen"),
    ("run", "--migrate"),
    ("migrate", "--status"),
    ("failed", "--json"),
    ("list", "--json"),
    ("show 1", "--json"),
    ("stats", "--json"),
    ("queues", "--json"),
    ("workers", "--json"),
    ("bench", "--json"),
    ("bench", "--quick"),
    ("retry 1", "--all-failed"),
];

#[track_caller]
fn refused(ran: &Ran, names: &str) {
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{ran:?}");
    assert!(ran.stderr.starts_with("worker: ") && ran.stderr.contains(names), "{names} in {ran:?}");
}

fn variable(flag: &str) -> String {
    format!("WORKER_{}", flag.trim_start_matches('-').to_uppercase().replace('-', "_"))
}

#[test]
fn wrong_values_of_flags_name_the_flag() {
    for (command, flag, values) in FLAGS {
        let huge = "x".repeat(100_000);
        for value in values.iter().copied().chain([huge.as_str()]) {
            let given = format!("{flag}={value}");
            refused(&run(worker("", command.split(' ').chain([given.as_str()]))), flag);
        }
    }
}

#[test]
fn wrong_values_of_variables_name_flag_and_variable() {
    for (command, flag, values) in FLAGS {
        // White space does not count in the environment.
        for value in values.iter().filter(|value| !value.is_empty() && value.trim() == **value) {
            let mut command = worker("", command.split(' '));
            command.env(variable(flag), value);
            let ran = run(command);
            refused(&ran, flag);
            assert!(ran.stderr.contains(&variable(flag)), "{ran:?}");
        }
    }
    for (command, flag) in SWITCHES {
        for value in ["maybe", "2"] {
            let mut command = worker("", command.split(' '));
            command.env(variable(flag), value);
            refused(&run(command), flag);
        }
        refused(&run(worker("", command.split(' ').chain([format!("{flag}=true").as_str()]))), flag);
    }
}

#[test]
fn wrong_settings_of_the_object_store_name_the_variable() {
    for (name, value) in [("S3_USE_PATH_STYLE", "maybe"), ("S3_ENDPOINT", "localhost"), ("S3_REGION", "a b")] {
        let mut command = worker("postgres://127.0.0.1:1/db", ["run"]);
        command.env(name, value);
        refused(&run(command), name);
    }
}

/// As when a compose file names a variable without a value, or a secret is mounted with a line break.
#[test]
fn blank_variables_count_as_unset_and_white_space_around_values_does_not_count() {
    for (command, flag, _) in FLAGS {
        for blank in ["", " \n"] {
            let mut command = worker("postgres://127.0.0.1:1/db", command.split(' '));
            command.env(variable(flag), blank).env("RUST_LOG", blank).env("LOG_FORMAT", blank);
            let ran = run(command);
            assert_ne!(ran.status, 2, "{flag}: {ran:?}");
        }
    }
    for (command, flag) in SWITCHES {
        for value in ["", " ", " yes\n", "0 "] {
            let mut command = worker("postgres://127.0.0.1:1/db", command.split(' '));
            command.env(variable(flag), value);
            let ran = run(command);
            assert!(!ran.stderr.contains(flag), "{value:?}: {ran:?}");
        }
    }
    let mut command = worker("\n postgres://127.0.0.1:1/db\n", ["list"]);
    command.env("WORKER_LIMIT", " 7\n").env("LOG_FORMAT", "json\n").env("RUST_LOG", " warn ");
    let ran = run(command);
    assert!(ran.status == 1 && ran.stderr.contains("127.0.0.1:1"), "{ran:?}");
    let mut command = worker("", ["list"]);
    command.env("WORKER_LIMIT", " x\n");
    let ran = run(command);
    assert!(ran.status == 2 && ran.stderr.contains("--limit"), "{ran:?}");
}

#[test]
fn what_is_not_utf_8_is_named() {
    let bad = OsString::from_vec(b"a\xff".to_vec());
    for (command, flag, _) in FLAGS {
        let words = command.split(' ').map(OsStr::new);
        refused(&run(worker("", words.clone().chain([OsStr::new(flag), bad.as_os_str()]))), flag);
        let mut command = worker("", words);
        command.env(variable(flag), &bad);
        let ran = run(command);
        refused(&ran, flag);
        assert!(ran.stderr.contains(&variable(flag)), "{ran:?}");
    }
    for words in [["enqueue", "?"], ["show", "?"], ["pause", "?"]] {
        let words = words.map(|word| if word == "?" { bad.as_os_str() } else { OsStr::new(word) });
        refused(&run(worker("", words)), "UTF-8");
    }
    for (name, status) in [("DATABASE_URL", 2), ("DATABASE_LISTEN_URL", 2), ("LOG_FORMAT", 2), ("RUST_LOG", 2)] {
        let mut command = worker("postgres://127.0.0.1:1/db", ["list"]);
        command.env(name, &bad);
        let ran = run(command);
        assert_eq!(ran.status, status, "{ran:?}");
        assert!(ran.stderr.starts_with("worker: ") && ran.stderr.contains(name), "{ran:?}");
    }
}

#[test]
fn wrong_words_are_refused() {
    for (words, names) in [
        ("nonsense", "nonsense"),
        ("list extra", "extra"),
        ("run --frobnicate", "--frobnicate"),
        ("enqueue", "<KIND>"),
        ("enqueue -x", "-x"),
        ("enqueue a:b", "<KIND>"),
        ("show", "<ID>"),
        ("show x", "<ID>"),
        ("show 0", "<ID>"),
        ("show 9223372036854775808", "<ID>"),
        ("retry", "<ID>"),
        ("retry 1 x", "[ID]"),
        ("cancel 1 0", "<ID>"),
        ("pause", "<QUEUE>"),
        ("pause a!b", "<QUEUE>"),
        ("resume a:1", "<QUEUE>"),
        ("completions tcsh", "<SHELL>"),
        ("bench-worker", "bench-worker"),
        ("bench-worker {}", "bench-worker"),
        ("enqueue mail --at 2030-01-31T09:00:00Z --in 5s", "--in"),
    ] {
        refused(&run(worker("", words.split(' '))), names);
    }
    assert_eq!(run(worker::<&str>("", [])).status, 2);
}

#[test]
fn settings_of_the_log_that_cannot_be_used_are_named() {
    for (name, value) in
        [("LOG_FORMAT", "xml"), ("LOG_FORMAT", "JSON"), ("RUST_LOG", "info,postrider=loud"), ("RUST_LOG", "a=b=c")]
    {
        let mut command = worker("postgres://127.0.0.1:1/db", ["list"]);
        command.env(name, value);
        let ran = run(command);
        refused(&ran, name);
        assert!(ran.stderr.contains(value), "{ran:?}");
    }
}

#[tokio::test]
async fn wrong_args_of_a_job_are_refused_and_nothing_is_written() {
    let database = TestDatabase::new().await;
    let deep = "[".repeat(200) + &"]".repeat(200);
    for args in ["", "{", "nonsense", "{}{}", r#"{"k": "\u0000"}"#, r#""\ud800""#, "1e200000", "NaN", &deep] {
        refused(&run(worker(&database.url, ["enqueue", "mail", args])), "ARGS_JSON");
        refused(&run_with_input(worker(&database.url, ["enqueue", "mail", "-"]), args.as_bytes()), "ARGS_JSON");
    }
    let stdin = |input: &[u8]| run_with_input(worker(&database.url, ["enqueue", "mail", "-"]), input);
    refused(&stdin(b"{\"k\": \"\xff\"}"), "UTF-8");
    refused(&stdin(format!("\"{}\"", "x".repeat(1024 * 1024)).as_bytes()), "1048576");
    refused(&stdin(&vec![b' '; 8 * 1024 * 1024]), "1048576");
    let client = database.connect().await;
    assert_eq!(jobs::count(&client, "SELECT count(*) FROM postrider.jobs").await, 0);

    stdin(format!("\"{}\"", "x".repeat(1024 * 1024 - 2)).as_bytes()).done();
    assert_eq!(jobs::count(&client, "SELECT count(*) FROM postrider.jobs").await, 1);
}
