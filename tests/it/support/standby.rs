//! A standby that streams from a [`Cluster`].

use std::time::Duration;

use super::cluster::Cluster;
use super::process::{Signal, kill};
use super::wait::until;

/// The setting of a `pg_hba.conf` that lets a standby of this machine stream.
pub const MAY_STREAM: &str = "host replication all 127.0.0.1/32 trust\n";

/// The name under which it streams.
const NAME: &str = "standby";

/// How long it may take to come up on a busy machine.
const START: Duration = Duration::from_mins(2);

/// A hot standby: takes reads, and follows its primary until it is promoted.
pub struct Standby(Cluster);

impl Standby {
    /// A standby of this cluster, which is restarted for it. Its `pg_hba.conf` must have [`MAY_STREAM`].
    pub async fn of(primary: &Cluster) -> Self {
        let from =
            format!("primary_conninfo = 'host=127.0.0.1 port={} user=postrider application_name={NAME}'", primary.port);
        let slot = format!("primary_slot_name = '{NAME}'");
        let standby = Self(primary.standby(&[&from, &slot, "wal_retrieve_retry_interval = '100ms'"]));
        // The slot keeps what a standby that is down has yet to read.
        let slot = format!("SELECT pg_create_physical_replication_slot('{NAME}', true)");
        primary.connect("postgres").await.execute(&slot, &[]).await.expect("a slot");
        standby.until_streaming(primary).await;
        standby
    }

    /// A standby of this standby, which is restarted for it: it has never more than this one, and follows
    /// it when it is promoted.
    pub async fn standby(&self) -> Self {
        Self::of(&self.0).await
    }

    /// Keeps from it all that the primary writes from now on, for good: the primary goes on without.
    pub async fn cut_off(&self, primary: &Cluster) {
        let sender = format!("SELECT pid FROM pg_stat_replication WHERE application_name = '{NAME}'");
        let sender = primary.connect("postgres").await.query_one(&sender, &[]).await.expect("it streams");
        kill(sender.get::<_, i32>(0).unsigned_abs(), Signal::Stop);
    }

    /// From now on the primary acknowledges a commit only when the standby has it on disk, too, so that a
    /// promotion loses nothing that was acknowledged.
    pub async fn make_synchronous(&self, primary: &Cluster) {
        let client = primary.connect("postgres").await;
        let setting = format!("ALTER SYSTEM SET synchronous_standby_names = '{NAME}'");
        client.batch_execute(&setting).await.expect("a setting");
        client.batch_execute("SELECT pg_reload_conf()").await.expect("a reload");
        self.until(primary, "it is synchronous", "sync_state = 'sync'").await;
    }

    /// Waits until it receives what the primary writes.
    pub async fn until_streaming(&self, primary: &Cluster) {
        self.until(primary, "it streams", "state = 'streaming'").await;
    }

    /// Waits until it has all that the primary has written so far.
    pub async fn until_caught_up(&self, primary: &Cluster) {
        let client = primary.connect("postgres").await;
        let written: String =
            client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.expect("a place").get(0);
        self.until(primary, "it caught up", &format!("flush_lsn >= '{written}'")).await;
    }

    async fn until(&self, primary: &Cluster, what: &str, condition: &str) {
        let client = primary.connect("postgres").await;
        let query = format!("SELECT FROM pg_stat_replication WHERE application_name = '{NAME}' AND {condition}");
        until(&format!("the standby: {what}"), START, async || {
            let rows = client.query(&query, &[]).await.expect("the standbys");
            (!rows.is_empty()).then_some(())
        })
        .await;
    }

    /// Its port, before and after the promotion.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The cluster that takes writes in place of the primary, which should have been stopped.
    pub fn promote(self) -> Cluster {
        self.0.promote();
        self.0
    }
}
