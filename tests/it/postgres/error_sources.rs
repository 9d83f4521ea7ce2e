//! Errors keep what caused them.

use std::error::Error as StdError;
use std::io;
use std::net::TcpListener;

use crate::support::database::TestDatabase;
use postrider::schema::MigrationSet::Queue;
use postrider::{Args, Database, Error};

type PoolError = deadpool_postgres::PoolError;

/// The first cause of this type.
fn cause<T: StdError + 'static>(error: &Error) -> Option<&T> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

fn sqlstate(error: &Error) -> Option<&str> {
    cause::<tokio_postgres::Error>(error)?.code().map(tokio_postgres::error::SqlState::code)
}

fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    cause::<io::Error>(error).map(io::Error::kind)
}

async fn both_ways(url: &str) -> [Error; 2] {
    let database = Database::from_url(url).unwrap();
    [database.client().await.map(drop).unwrap_err(), database.migrate(Queue).await.unwrap_err()]
}

#[tokio::test]
async fn each_error_that_has_a_cause_keeps_it() {
    let fresh = TestDatabase::empty().await;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();

    for error in both_ways(&format!("postgres://127.0.0.1:{closed}/x")).await {
        assert!(
            matches!(error, Error::Connect { .. }) && cause::<tokio_postgres::Error>(&error).is_some(),
            "{error:?}"
        );
        assert_eq!(io_kind(&error), Some(io::ErrorKind::ConnectionRefused), "{error:?}");
    }
    for error in both_ways(&format!("postgres://127.0.0.1:{silent_port}/x?connect_timeout=1")).await {
        assert!(matches!(error, Error::Connect { .. }), "{error:?}");
        assert_eq!(io_kind(&error), Some(io::ErrorKind::TimedOut), "{error:?}");
    }
    for error in both_ways(&format!("{}_not_there", fresh.url)).await {
        assert!(matches!(error, Error::Connect { .. }), "{error:?}");
        assert_eq!(sqlstate(&error), Some("3D000"), "{error:?}");
    }
    // Of several hosts, the one whose Postgres answers says most.
    let (server, _) = fresh.url.rsplit_once('/').unwrap();
    let database = Database::from_url(&format!("{server},127.0.0.1:{closed}/not_there")).unwrap();
    assert_eq!(sqlstate(&database.migrate(Queue).await.unwrap_err()), Some("3D000"));

    let full = fresh.another_pool().with_pool_size(1);
    let _held = full.client().await.unwrap();
    let error = full.client().await.map(drop).unwrap_err();
    assert!(matches!(cause::<PoolError>(&error), Some(PoolError::Timeout(_))), "{error:?}");

    let error = Database::from_url("host=a keepalives=maybe").err().unwrap();
    assert!(matches!(error, Error::Config { .. }) && cause::<tokio_postgres::Error>(&error).is_some(), "{error:?}");
    let error = Database::from_url("postgres://a?sslmode=verify-full&sslrootcert=/nowhere").err().unwrap();
    assert_eq!(io_kind(&error), Some(io::ErrorKind::NotFound), "{error:?}");

    let error = Args::parse("{").unwrap_err();
    assert!(cause::<serde_json::Error>(&error).is_some(), "{error:?}");

    let client = fresh.connect().await;
    let error = postrider::admin::pause(&client, "default").await.unwrap_err();
    assert!(matches!(error, Error::Database(_)) && sqlstate(&error) == Some("3F000"), "{error:?}");
    client.batch_execute("CREATE SCHEMA postrider; CREATE TABLE postrider.worker ()").await.unwrap();
    let error = fresh.database.migrate(Queue).await.unwrap_err();
    assert!(matches!(error, Error::Migration { .. }) && sqlstate(&error) == Some("42P07"), "{error:?}");
}
