//! `worker bench` as a process: what it tells, and that it leaves nothing behind. No figure is judged
//! here: machines are noisy.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use crate::support::command::{run, worker};
use crate::support::database::TestDatabase;
use crate::support::process::{Process, Signal};
use crate::support::rows::{number, number_becomes};
use crate::support::wait::until;
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(2);

/// A role of the test's own: all databases that it owns are those of its runs.
struct Role {
    name: String,
    url: String,
    client: Client,
    _database: TestDatabase,
}

impl Role {
    async fn new(rights: &str) -> Self {
        let database = TestDatabase::empty().await;
        let client = database.connect().await;
        let name = format!("bench_{}", Uuid::now_v7().simple());
        client.batch_execute(&format!("CREATE ROLE {name} LOGIN PASSWORD 'bench' {rights}")).await.unwrap();
        let (scheme, rest) = database.url.split_once("://").expect("a URL");
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let url = format!("{scheme}://{name}:bench@{host}");
        Self { name, url, client, _database: database }
    }

    fn bench(&self, words: &str) -> Command {
        worker(&self.url, ["bench", "--quick", "--json"].into_iter().chain(words.split(' ')))
    }

    async fn databases(&self) -> BTreeSet<String> {
        let query = "SELECT datname::text FROM pg_database WHERE pg_get_userbyid(datdba) = $1";
        let rows = self.client.query(query, &[&self.name]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The database of a run that measures, once its worker process is at work there.
    async fn measuring(&self, known: &BTreeSet<String>) -> String {
        let name =
            until("a scratch database", DEADLINE, async || self.databases().await.difference(known).next().cloned());
        let name = name.await;
        let sessions = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND application_name = 'postrider claim'"
        );
        until("a worker process at work", DEADLINE, async || (number(&self.client, &sessions).await > 0).then_some(()))
            .await;
        name
    }

    async fn end(self) {
        assert_eq!(self.databases().await, BTreeSet::new());
        self.client.batch_execute(&format!("DROP ROLE {}", self.name)).await.unwrap();
    }
}

#[tokio::test]
async fn a_tiny_run_prints_its_figures_as_json_and_leaves_no_database() {
    let role = Role::new("CREATEDB").await;
    let scenarios = "single,connections,many,copy,drain,steady,pickup,slots,no_history,large_args";
    let ran = run(role.bench(&format!("--only {scenarios} --jobs 30 --rounds 1"))).done();
    let lines = ran.json();
    let (environment, figures) = lines.split_first().unwrap();
    let environment = &environment["environment"];
    assert!(environment["postgres"].is_string() && environment["machine"]["os"].is_string(), "{environment}");
    assert!(environment["commit_ms"].as_f64().unwrap() > 0.0, "{environment}");
    for scenario in scenarios.split(',') {
        assert!(
            figures.iter().any(|figure| name(figure).starts_with(&format!("{scenario}."))),
            "{scenario}: {lines:?}"
        );
    }
    let keys = BTreeSet::from(["name", "value", "unit", "min", "max", "baseline", "ratio"]);
    for figure in figures {
        assert_eq!(figure.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>(), keys);
        assert!(figure["unit"].is_string(), "{figure}");
        // So few jobs may take less CPU than one tick, and start before their producer is told.
        let may_be_none = ["cpu", "pickup"].iter().any(|what| name(figure).contains(what));
        assert!(may_be_none || figure["value"].as_f64().unwrap() > 0.0, "{figure}");
    }
    for compared in ["single.rate", "connections.rate", "many.rate", "copy.rate", "slots.rate"] {
        let figure = figures.iter().find(|figure| name(figure) == compared).unwrap();
        assert!(figure["baseline"].as_f64().unwrap() > 0.0 && figure["ratio"].as_f64().unwrap() > 0.0, "{figure}");
    }
    role.end().await;
}

#[tokio::test]
async fn without_json_it_prints_the_machine_then_a_table_and_the_limits() {
    let role = Role::new("CREATEDB").await;
    let ran = run(worker(&role.url, ["bench", "--quick", "--only", "many", "--jobs", "10"])).done();
    let place = |text: &str| ran.stdout.find(text).unwrap_or_else(|| panic!("{text} in {ran:?}"));
    assert!(place("Machine ") < place("Postgres ") && place("fsync = ") < place("FIGURE"), "{ran:?}");
    assert!(
        place("FIGURE") < place("many.rate") && place("many.rate") < place("What limits these figures:"),
        "{ran:?}"
    );
    assert_eq!(ran.stderr, "", "no progress where there is no terminal");
    role.end().await;
}

#[tokio::test]
async fn a_signal_in_the_middle_ends_it_and_its_worker_and_leaves_no_database() {
    let role = Role::new("CREATEDB").await;
    for signal in [Signal::Interrupt, Signal::Terminate] {
        let mut process = Process::spawn(&mut role.bench("--only soak --minutes 60"));
        role.measuring(&BTreeSet::new()).await;
        process.signal(signal);
        assert_eq!(process.wait_for_exit(DEADLINE).await.code(), Some(1), "{}", process.log());
        assert!(process.log().contains("worker: interrupted by a signal"), "{}", process.log());
        assert_eq!(role.databases().await, BTreeSet::new());
    }
    role.end().await;
}

#[tokio::test]
async fn what_a_killed_run_has_left_behind_is_dropped_by_the_next_one_and_nothing_else() {
    let role = Role::new("CREATEDB").await;
    let owner = &role.name;
    // Looks like one of ours by its name alone.
    let alike = format!("postrider_bench_{:016x}", Uuid::now_v7().as_u64_pair().1);
    role.client.batch_execute(&format!("CREATE DATABASE {alike} OWNER {owner}")).await.unwrap();
    let mut known = BTreeSet::from([alike.clone()]);
    let mut killed = Process::spawn(&mut role.bench("--only soak --minutes 60"));
    let left = role.measuring(&known).await;
    known.insert(left.clone());
    let mut living = Process::spawn(&mut role.bench("--only soak --minutes 60"));
    let in_use = role.measuring(&known).await;

    killed.signal(Signal::Kill);
    killed.wait_for_exit(DEADLINE).await;
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{left}'");
    number_becomes(&role.client, &sessions, 0).await;
    assert!(role.databases().await.contains(&left), "nobody is left who could have dropped it");
    run(role.bench("--only single --jobs 1 --rounds 1")).done();
    assert_eq!(role.databases().await, BTreeSet::from([alike.clone(), in_use]));

    living.signal(Signal::Interrupt);
    living.wait_for_exit(DEADLINE).await;
    role.client.batch_execute(&format!("DROP DATABASE {alike}")).await.unwrap();
    role.end().await;
}

#[tokio::test]
async fn a_role_that_may_not_create_databases_gets_an_error_that_says_so() {
    let role = Role::new("NOCREATEDB").await;
    let ran = run(role.bench("--only single"));
    assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{ran:?}");
    for part in [&role.name, "CREATEDB", "DATABASE_URL"] {
        assert!(ran.stderr.starts_with("worker: role ") && ran.stderr.contains(part), "{part} in {ran:?}");
    }
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    role.end().await;
}

fn name(figure: &Value) -> &str {
    figure["name"].as_str().unwrap()
}
