//! The cases of `conformance/`, run through each way to the queue (CONFORMANCE 48).

mod case;
mod client;
mod http;
mod rust;
mod sql;

use crate::support::database::TestDatabase;
use crate::support::web::WebService;

use self::case::{all_cases, run};
use self::client::Client;

/// Runs all cases, and returns the names of those that use what the client lacks.
async fn run_all(db: &TestDatabase, mut client: impl Client) -> Vec<String> {
    let observer = db.connect().await;
    let mut skipped = Vec::new();
    for case in all_cases() {
        if case.calls().any(|(call, options)| client.lacks(call, options))
            || case.has_transaction() && !client.has_transactions()
        {
            skipped.push(case.name);
            continue;
        }
        observer
            .batch_execute("TRUNCATE postrider.job, postrider.job_history, postrider.queue, public.idempotency_keys")
            .await
            .unwrap();
        run(&case, &mut client, &observer).await;
    }
    skipped
}

#[tokio::test]
async fn by_sql() {
    let db = TestDatabase::new().await;
    let skipped = run_all(&db, sql::Sql(db.connect().await)).await;
    // SQL cannot wait.
    assert!(skipped.iter().all(|name| name.starts_with("a wait ")), "{skipped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_rust_library() {
    let db = TestDatabase::new().await;
    let skipped = run_all(&db, rust::Rust::new(&db).await).await;
    assert_eq!(skipped, ["tags, trace context, group key, cost and kind version are stored"]);
}

#[tokio::test]
async fn over_http() {
    let db = TestDatabase::new().await;
    let skipped = run_all(&db, http::Http(WebService::start(&db).await)).await;
    assert!(all_cases().len() - skipped.len() >= 15, "{skipped:#?}");
}
