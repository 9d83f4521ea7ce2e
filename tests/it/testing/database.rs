//! Databases for one test each.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postrider::testing::{TestDatabase, TestWorker};
use postrider::{Error, enqueue};
use tokio_postgres::{Client, NoTls};

use super::{Log, say, worker};
use crate::support::wait::{PATIENCE, until};

fn server() -> String {
    std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL: run the tests with scripts/test")
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn is_there(client: &Client, name: &str) -> bool {
    let found = client.query_one("SELECT count(*) FROM pg_database WHERE datname = $1", &[&name]).await.unwrap();
    found.get::<_, i64>(0) > 0
}

#[tokio::test]
async fn each_test_has_a_database_which_is_dropped_with_it() {
    let (db, other) = (TestDatabase::create(&server()).await.unwrap(), TestDatabase::create(&server()).await.unwrap());
    let test_worker = TestWorker::new(worker(db.database(), &Log::default())).unwrap();
    // As the driver of a service would connect.
    let client = connect(db.url()).await;
    enqueue(&client, &say("a")).await.unwrap();
    let theirs = TestWorker::new(worker(other.database(), &Log::default())).unwrap();
    assert_eq!(theirs.run_due(Duration::ZERO).await.unwrap().len(), 0);
    assert_eq!(test_worker.run_due(Duration::ZERO).await.unwrap().len(), 1);
    let name: String = client.query_one("SELECT current_database()::text", &[]).await.unwrap().get(0);
    let looker = connect(&server()).await;
    assert!(is_there(&looker, &name).await);
    // Although the client is connected.
    drop(db);
    assert!(!is_there(&looker, &name).await);
}

#[tokio::test]
async fn what_a_killed_test_has_left_is_dropped_a_day_later() {
    let looker = connect(&server()).await;
    let ago = |hours: u64| SystemTime::now() - Duration::from_hours(hours);
    // With the time of a UUID of version 7 in front.
    let name = |time: SystemTime| {
        let ms = time.duration_since(UNIX_EPOCH).unwrap().as_millis();
        format!("postrider_test_{ms:012x}7{:019x}", fastrand::u64(..))
    };
    let (old, young) = (name(ago(25)), name(ago(23)));
    for database in [&old, &young] {
        looker.batch_execute(&format!("CREATE DATABASE {database}")).await.unwrap();
    }
    // Any test that creates one drops it. Another one may be doing so right now.
    drop(TestDatabase::create(&server()).await.unwrap());
    until("the old one is dropped", PATIENCE, async || (!is_there(&looker, &old).await).then_some(())).await;
    assert!(is_there(&looker, &young).await);
    looker.batch_execute(&format!("DROP DATABASE {young}")).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error() {
    assert!(matches!(TestDatabase::create("host=/nowhere").await, Err(Error::Connect { .. })));
    assert!(matches!(TestDatabase::create("mysql://localhost/app").await, Err(Error::Config { .. })));
}
