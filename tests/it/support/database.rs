//! A fresh database for each test, in the cluster that `TEST_DATABASE_URL` names.

use postrider::Database;
use postrider::schema::MigrationSet;
use tokio_postgres::{Config, NoTls};
use uuid::Uuid;

use super::cluster::Cluster;
use super::wait::{PATIENCE, until};

/// A database of its own, dropped at the end.
pub struct TestDatabase {
    /// For processes under test.
    pub url: String,
    /// For the test itself.
    pub database: Database,
    admin_url: String,
    name: String,
}

impl TestDatabase {
    /// With the schema of queue and app.
    pub async fn new() -> Self {
        Self::empty().await.migrated().await
    }

    /// The same in a cluster of the test's own.
    pub async fn in_cluster(cluster: &Cluster) -> Self {
        Self::empty_at(cluster.url("postgres")).await.migrated().await
    }

    /// With nothing in it.
    pub async fn empty() -> Self {
        Self::empty_at(Self::admin_url()).await
    }

    /// As [`Self::new`], in another encoding than UTF-8.
    pub async fn encoded(encoding: &str) -> Self {
        let options = format!("ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
        Self::made(Self::admin_url(), &options).await.migrated().await
    }

    fn admin_url() -> String {
        std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL names no cluster: run the tests with scripts/test")
    }

    async fn migrated(self) -> Self {
        self.database.migrate(MigrationSet::Queue).await.expect("queue migrations");
        self.database.migrate(MigrationSet::App).await.expect("app migrations");
        self
    }

    async fn empty_at(admin_url: String) -> Self {
        Self::made(admin_url, "").await
    }

    async fn made(admin_url: String, options: &str) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        run_admin(&admin_url, &format!("CREATE DATABASE {name} {options}")).await;
        let (server, _) = admin_url.rsplit_once('/').expect("a URL that ends in a database name");
        let url = format!("{server}/{name}");
        let database = Database::from_url(&url).expect("a good URL");
        Self { url, database, admin_url, name }
    }

    /// The same database through a pool of its own, as another process would have it.
    pub fn another_pool(&self) -> Database {
        Database::from_url(&self.url).expect("a good URL")
    }

    /// A plain connection, to read tables from outside.
    pub async fn connect(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.expect("connect");
        tokio::spawn(connection);
        client
    }

    /// The number of `rows`: a table, with a condition if needed.
    pub async fn count(&self, rows: &str) -> i64 {
        let client = self.connect().await;
        client.query_one(&format!("SELECT count(*) FROM {rows}"), &[]).await.expect("a count").get(0)
    }

    /// Sets a setting for all sessions of this database that begin from now on.
    pub async fn set(&self, setting: &str) {
        let statement = format!("ALTER DATABASE {} SET {setting}", self.name);
        self.connect().await.batch_execute(&statement).await.expect("a setting");
    }

    /// Returns once some session of this database waits for a lock.
    pub async fn until_blocked(&self) {
        let waiting = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let ask = async || (self.count(waiting).await > 0).then_some(());
        until("a session waits for a lock", PATIENCE, ask).await;
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (admin_url, name) = (self.admin_url.clone(), self.name.clone());
        // A runtime of its own, because the test's may be on its way out.
        let dropper = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(run_admin(&admin_url, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")));
        });
        let _ = dropper.join();
    }
}

async fn run_admin(url: &str, statement: &str) {
    let config: Config = url.parse().expect("a good TEST_DATABASE_URL");
    let (client, connection) = config.connect(NoTls).await.expect("the test cluster");
    let connection = tokio::spawn(connection);
    client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    drop(client);
    let _ = connection.await;
}
