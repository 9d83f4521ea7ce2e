//! A database and an object store with tablos in them, and what must hold between the two.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use postrider::app::files::{self, FileRecord};
use postrider::app::jobs::orphan_file_cleanup::{self, Report, Settings};
use postrider::app::{AppError, ObjectStore, OrphanFileCleanup, tablos};
use tokio_postgres::Client;
use uuid::Uuid;

use super::database::TestDatabase;
use super::object_store::TestObjectStore;
use super::wait::{PATIENCE, until};

/// The job that cleanups run for by default.
pub const JOB: i64 = 1;
pub const NO_GRACE: Duration = Duration::ZERO;

pub struct TabloFixture {
    pub database: TestDatabase,
    pub sql: Client,
    pub store: TestObjectStore,
    pub client: ObjectStore,
}

impl TabloFixture {
    pub async fn new() -> Self {
        Self::of(TestDatabase::new().await, TestObjectStore::start().await).await
    }

    pub async fn of(database: TestDatabase, store: TestObjectStore) -> Self {
        let (sql, client) = (database.connect().await, store.client());
        Self { database, sql, store, client }
    }

    pub async fn tablo(&self) -> Uuid {
        tablos::create(&self.database.database, "a tablo").await.unwrap().id
    }

    /// A tablo with this many files named `0`, `1` …, inserted without an upload each.
    pub async fn tablo_with(&self, files: i32) -> Uuid {
        let id = self.tablo().await;
        let rows = self
            .sql
            .query(
                "INSERT INTO tablo_files (id, tablo_id, name, s3_key, size, state)
                 SELECT id, $1, place::text, 'tablos/' || $1::uuid || '/' || id, 4, 'ready'
                 FROM (SELECT gen_random_uuid() AS id, place FROM generate_series(0, $2 - 1) AS place) AS file
                 RETURNING s3_key",
                &[&id, &files],
            )
            .await
            .unwrap();
        for row in rows {
            self.store.land(row.get(0), b"file");
        }
        id
    }

    pub async fn upload(&self, tablo: Uuid, name: &str, bytes: &'static [u8]) -> Result<FileRecord, AppError> {
        upload_with(&self.database, &self.client, tablo, name, bytes).await
    }

    /// The bytes that are served under this name.
    pub async fn served(&self, tablo: Uuid, name: &str) -> Option<Vec<u8>> {
        let download = files::download(&self.database.database, &self.client, tablo, name, |_| None).await.unwrap()?;
        let chunks: Vec<Bytes> = download.body.try_collect().await.unwrap();
        Some(chunks.concat())
    }

    pub async fn delete(&self, tablo: Uuid, grace: Duration) {
        assert!(tablos::delete(&self.database.database, tablo, grace).await.unwrap(), "there was a tablo");
    }

    /// A full cleanup.
    pub async fn clean(&self) -> Report {
        self.clean_with(&self.client, settings(JOB)).await.unwrap()
    }

    pub async fn clean_with(&self, store: &ObjectStore, settings: Settings) -> Result<Report, AppError> {
        orphan_file_cleanup::run(&self.database.database, store, &settings, || false).await
    }

    /// Lets time pass for all files, as far as the database can tell.
    pub async fn age(&self, interval: &str) {
        self.sql
            .batch_execute(&format!(
                "UPDATE tablo_files SET created_at = created_at - interval '{interval}',
                     orphaned_at = orphaned_at - interval '{interval}',
                     delete_after = delete_after - interval '{interval}',
                     swept_at = swept_at - interval '{interval}',
                     claimed_until = claimed_until - interval '{interval}'"
            ))
            .await
            .unwrap();
    }

    /// Waits until a statement that holds this text waits for a lock.
    pub async fn until_somebody_waits(&self, text: &str) {
        until("a statement waits for a lock", PATIENCE, || async {
            let waiting = "SELECT FROM pg_stat_activity
                           WHERE datname = current_database() AND wait_event_type = 'Lock' AND strpos(query, $1) > 0";
            (!self.sql.query(waiting, &[&text]).await.unwrap().is_empty()).then_some(())
        })
        .await;
    }

    /// How many rows of files there are for which this holds.
    pub async fn rows(&self, condition: &str) -> i64 {
        let query = format!("SELECT count(*) FROM tablo_files WHERE {condition}");
        self.sql.query_one(&query, &[]).await.unwrap().get(0)
    }

    pub async fn keys_of_rows(&self) -> BTreeSet<String> {
        let rows = self.sql.query("SELECT s3_key FROM tablo_files", &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The keys of served files, as the application finds them.
    async fn keys_served(&self) -> BTreeSet<String> {
        let rows = self
            .sql
            .query(
                "SELECT f.s3_key FROM tablo_files AS f JOIN tablos AS t ON t.id = f.tablo_id
                 WHERE f.state = 'ready' AND f.orphaned_at IS NULL",
                &[],
            )
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// What must hold at every instant, whatever has just died.
    pub async fn assert_nothing_is_lost(&self) {
        let objects = self.store.objects();
        let served = self.keys_served().await;
        assert!(served.is_subset(&objects), "served without an object: {:?}", served.difference(&objects));
        let rows = self.keys_of_rows().await;
        assert!(objects.is_subset(&rows), "objects without a row: {:?}", objects.difference(&rows));
    }

    /// What must hold when everybody has done their work and the days have passed.
    pub async fn assert_all_is_tidy(&self) {
        assert_eq!(self.store.objects(), self.keys_served().await, "objects are those that are served");
        assert_eq!(self.rows("state <> 'ready' OR orphaned_at IS NOT NULL").await, 0, "no rows of orphans");
    }
}

pub async fn upload_with(
    database: &TestDatabase,
    client: &ObjectStore,
    tablo: Uuid,
    name: &str,
    bytes: &'static [u8],
) -> Result<FileRecord, AppError> {
    // In small chunks, as from a network.
    let chunks: Vec<_> =
        bytes.chunks(16 * 1024).map(|chunk| Ok::<_, std::io::Error>(Bytes::from_static(chunk))).collect();
    files::upload(&database.database, client, tablo, name, bytes.len() as u64, stream::iter(chunks)).await
}

/// A full cleanup for this job.
pub fn settings(job_id: i64) -> Settings {
    Settings::of(job_id, &OrphanFileCleanup::default())
}

/// The same in batches of this size.
pub fn in_batches_of(batch_size: u16) -> Settings {
    Settings { batch_size, ..settings(JOB) }
}
