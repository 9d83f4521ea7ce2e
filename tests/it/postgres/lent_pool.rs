//! A pool that the service has already.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::database::TestDatabase;
use crate::support::rows::job_becomes;
use crate::support::wait::{PATIENCE, until, within};
use crate::support::worker::{TestWorker, task};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use postrider::schema::MigrationSet::Queue;
use postrider::{Database, Error, State, enqueue};
use tokio_postgres::NoTls;

/// As deadpool makes it by default: without limits and without a runtime.
fn pool(url: &str, size: usize, recycling_method: RecyclingMethod) -> Pool {
    let manager = Manager::from_config(url.parse().unwrap(), NoTls, ManagerConfig { recycling_method });
    Pool::builder(manager).max_size(size).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_on_it_with_each_recycling_method_and_leaves_its_sessions_as_new() {
    for method in [RecyclingMethod::Fast, RecyclingMethod::Verified, RecyclingMethod::Clean] {
        let db = TestDatabase::empty().await;
        let pool = pool(&db.url, 2, method);
        let database = Database::from_pool(pool.clone(), &db.url).unwrap();
        database.migrate(Queue).await.unwrap();
        let worker = TestWorker::start(
            &database,
            |w| w.queue("default", 10),
            |_, cx| async move {
                let mut client = cx.database().client().await?;
                let tx = client.transaction().await?;
                cx.complete_in(&tx).await?;
                tx.commit().await?;
                Ok(())
            },
        );
        for _ in 0..20 {
            let id = enqueue(&pool.get().await.unwrap(), &task("")).await.unwrap().id;
            job_becomes(&db.connect().await, id, State::Completed).await;
        }
        worker.stop().await;
        assert_eq!(pool.status().max_size, 2);
        let (one, other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
        for session in [one, other] {
            let left = "SELECT (SELECT count(*) FROM pg_settings WHERE source = 'session')
                             + (SELECT count(*) FROM pg_prepared_statements WHERE statement NOT LIKE '%pg_settings%')
                             + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())";
            assert_eq!(session.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_hold_it_whole_for_ever_stop_nothing_and_its_users_learn_why_they_wait() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let pool = pool(&db.url, 2, RecyclingMethod::Fast);
    let database = Database::from_pool(pool.clone(), &db.url).unwrap();
    let mut worker = TestWorker::start(
        &database,
        |w| w.queue("default", 10).shutdown_timeout(Duration::ZERO),
        |task, cx| async move {
            if task.name == "holds" {
                let _held = cx.database().client().await?;
                cx.cancelled().await;
            }
            Ok(())
        },
    );
    for _ in 0..2 {
        enqueue(&client, &task("holds")).await.unwrap();
        assert_eq!(worker.next_start().await.name, "holds");
    }
    until("the pool is held", PATIENCE, || async { (pool.status().available == 0).then_some(()) }).await;
    for _ in 0..20 {
        let id = enqueue(&client, &task("passes")).await.unwrap().id;
        job_becomes(&client, id, State::Completed).await;
    }
    let error = within("it is told", PATIENCE, database.client()).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("all 2 connections of the pool were in use for 5000 ms"), "{error}");
    worker.stop().await;
}

#[tokio::test]
async fn a_pool_that_cannot_connect_says_so_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let closed_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let told = async |port: u16| {
        let url = format!("postgres://ada:secret@127.0.0.1:{port}/x");
        let listen_url = format!("{url}?connect_timeout=1");
        let database = Database::from_pool(pool(&url, 2, RecyclingMethod::Fast), &listen_url).unwrap();
        let started = Instant::now();
        let error = within("it is told", PATIENCE, database.client()).await.map(drop).unwrap_err();
        assert!(
            matches!(error, Error::Connect { .. }) && !format!("{error} {error:?}").contains("secret"),
            "{error:?}"
        );
        (error.to_string(), started.elapsed())
    };
    let (refused, _) = told(closed_port).await;
    assert!(refused.contains("the service's pool opened none: ") && refused.contains("refused"), "{refused}");
    let (silent, took) = told(silent_port).await;
    assert!(silent.contains("the service's pool opened none within 6000 ms"), "{silent}");
    assert!(took >= Duration::from_secs(6), "{took:?}");
}

#[tokio::test]
async fn a_wrong_address_for_dedicated_connections_is_told_without_its_password() {
    let pool = pool("postgres://127.0.0.1:1/x", 1, RecyclingMethod::Fast);
    let error = Database::from_pool(pool, "postgres://ada:secret@db/x?sslmode=maybe").err().unwrap();
    assert!(error.to_string().starts_with("listen_url has \"maybe\" for sslmode"), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}
