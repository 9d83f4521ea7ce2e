//! The setting of a run, and how each fault is injected.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postrider::Database;
use postrider::schema::MigrationSet;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::{JoinSet, block_in_place};
use tokio_postgres::{Client, NoTls};

use super::chore::Chore;
use super::faults::Fault;
use super::fleet::Fleet;
use super::history::{self, Finish};
use super::ledger::{self, Enqueued, Fate, Time};
use super::support::cluster::{Cluster, OPEN};
use super::support::process::Signal;
use super::support::proxy::Proxy;
use super::support::standby::{MAY_STREAM, Standby};
use super::support::wait::until;
use super::support::web::{WebService, web_command};

/// How long a server may take to recover on a busy machine.
const RECOVERY: Duration = Duration::from_mins(1);

/// So many jobs at least are committed, running, and finished, of which a standby knows nothing when it is
/// promoted.
const LOST: usize = 20;

/// The worker behind the proxy has this seat in the fleet.
const PROXIED_SEAT: usize = 1;

pub struct Scene {
    pub fleet: Arc<Fleet>,
    pub web: Arc<WebService>,
    pub enqueued: Enqueued,
    /// Of all servers: the one that takes writes is found.
    pub url: String,
    pub injected: Arc<Mutex<Vec<Injected>>>,
    pub cut: Mutex<Option<Cut>>,
    servers: AsyncMutex<Servers>,
    proxy: Proxy,
    /// Faults that last.
    lasting: Mutex<JoinSet<()>>,
}

struct Servers {
    primary: Cluster,
    /// Synchronous.
    standby: Option<Standby>,
    /// An asynchronous standby of the other one.
    distant: Option<Standby>,
    /// The former primaries, stopped.
    former: Vec<Cluster>,
}

/// What the primary had committed for certain when the distant standby was cut off.
pub struct Cut {
    /// From here on until the end of the failover, what was acknowledged may be lost.
    pub from: Time,
    pub to: Time,
    /// All jobs that had finished before: none of them may be lost.
    pub finished: HashMap<String, Vec<Finish>>,
}

/// A fault that was carried out.
#[derive(Clone, Debug)]
pub struct Injected {
    pub fault: Fault,
    /// The worker process that it hit; None for all.
    pub process: Option<String>,
    pub from: Time,
    pub to: Time,
}

impl Scene {
    pub async fn set() -> Self {
        // It flushes like a real one. The role of workers and producers is an ordinary one, so that
        // there is a slot for us when they have taken all of theirs.
        let settings = ["fsync = on", "max_connections = 60", "superuser_reserved_connections = 8"];
        let primary = Cluster::start(&format!("{OPEN}{MAY_STREAM}"), &settings);
        let admin = primary.connect("postgres").await;
        admin.batch_execute("CREATE ROLE app LOGIN").await.expect("a role");
        admin.batch_execute("CREATE DATABASE chaos OWNER app").await.expect("a database");
        drop(admin);
        let standby = Standby::of(&primary).await;
        let distant = standby.standby().await;
        // Without this a promotion loses what was acknowledged in the last moments, and no queue
        // could help it.
        standby.make_synchronous(&primary).await;

        let (first, second, third) = (primary.port, standby.port(), distant.port());
        let proxy = Proxy::before(&format!("postgres://app@127.0.0.1:{first}/chaos")).await;
        let proxied = proxy.url.rsplit_once('@').and_then(|(_, rest)| rest.split_once('/')).expect("a URL").0;
        let all = |address: &str| {
            let others = format!("127.0.0.1:{second},127.0.0.1:{third}");
            format!("postgres://app@{address},{others}/chaos?target_session_attrs=read-write")
        };
        let (url, proxied_url) = (all(&format!("127.0.0.1:{first}")), all(proxied));
        let database = Database::from_url(&url).expect("a good URL");
        database.migrate(MigrationSet::Queue).await.expect("queue migrations");
        database.migrate(MigrationSet::App).await.expect("app migrations");

        let web = Arc::new(WebService::from(&mut web_command(&format!("{url}&application_name=web"))).await);
        let fleet = Arc::new(Fleet::start(&url, &proxied_url));
        fleet.until_ready().await;
        Self {
            fleet,
            web,
            enqueued: Enqueued::default(),
            url,
            injected: Arc::default(),
            cut: Mutex::default(),
            servers: AsyncMutex::new(Servers {
                primary,
                standby: Some(standby),
                distant: Some(distant),
                former: Vec::new(),
            }),
            proxy,
            lasting: Mutex::default(),
        }
    }

    /// A connection to whichever server takes writes, that is not counted among those of the queue.
    pub async fn admin(&self) -> Client {
        let servers = self.servers.lock().await;
        connect(&servers.primary).await
    }

    /// Carries out a fault. Returns at once from those that last.
    pub async fn inject(&self, fault: Fault) {
        let from = ledger::now();
        match fault {
            Fault::KillWorker { seat } => {
                let (process, at) = block_in_place(|| self.fleet.kill(seat));
                self.note(Injected { fault, process: Some(process), from: at, to: at });
            }
            Fault::FreezeWorker { seat, lasts } => self.freeze(fault, seat, lasts),
            Fault::TerminateBackends { choice } => {
                let some = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                            WHERE usename = 'app' AND (pid + $1) % 3 = 0";
                let sent = self.admin().await.execute(some, &[&((choice % 3) as i32)]).await;
                sent.expect("terminated");
                self.note(Injected { fault, process: None, from, to: ledger::now() });
            }
            Fault::KillBackend { choice } => {
                let servers = self.servers.lock().await;
                servers.primary.kill_backend(choice).await;
                // It may not have noticed yet.
                tokio::time::sleep(Duration::from_millis(200)).await;
                drop(connect(&servers.primary).await);
                self.note(Injected { fault, process: None, from, to: ledger::now() });
            }
            Fault::RestartPostgres => {
                let servers = self.servers.lock().await;
                block_in_place(|| {
                    servers.primary.stop_hard();
                    servers.primary.start_again();
                });
                self.note(Injected { fault, process: None, from, to: ledger::now() });
            }
            Fault::Promote => self.promote(from).await,
            Fault::PromoteWithLoss => self.promote_with_loss().await,
            Fault::CutConnections | Fault::HalfOpenConnections => {
                if fault == Fault::CutConnections {
                    self.proxy.cut_all();
                } else {
                    // Those of the last time, lest they take all slots.
                    self.proxy.end_silent();
                    self.proxy.all_fall_silent();
                }
                let process = Some(self.fleet.name(PROXIED_SEAT));
                self.note(Injected { fault, process, from, to: ledger::now() });
            }
            Fault::EmptyPools => self.empty_pools(from).await,
            Fault::FillSlots { lasts } => self.fill_slots(fault, lasts),
            Fault::LockRows { lasts } => {
                let lock = "SELECT FROM postrider.job LIMIT 50 FOR UPDATE SKIP LOCKED";
                self.hold(fault, lock, lasts).await;
            }
            Fault::LockTable { lasts } => {
                let lock = "SET LOCAL lock_timeout = '5s'; LOCK TABLE postrider.job IN SHARE MODE";
                self.hold(fault, lock, lasts).await;
            }
            Fault::IdleTransaction { lasts } => {
                let read = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM postrider.job";
                self.hold(fault, read, lasts).await;
            }
        }
    }

    /// Waits until all that lasts is over.
    pub async fn heal(&self) {
        let lasting = std::mem::take(&mut *self.lasting.lock().unwrap());
        lasting.join_all().await;
        self.proxy.end_silent();
    }

    fn note(&self, injected: Injected) {
        self.injected.lock().unwrap().push(injected);
    }

    /// Notes it when it is over.
    fn spawn(&self, fault: Fault, process: Option<String>, lasting: impl Future<Output = ()> + Send + 'static) {
        let (injected, from) = (Arc::clone(&self.injected), ledger::now());
        self.lasting.lock().unwrap().spawn(async move {
            lasting.await;
            injected.lock().unwrap().push(Injected { fault, process, from, to: ledger::now() });
        });
    }

    fn freeze(&self, fault: Fault, seat: usize, lasts: Duration) {
        let (fleet, name) = (Arc::clone(&self.fleet), self.fleet.name(seat));
        fleet.signal(seat, &name, Signal::Stop);
        self.spawn(fault, Some(name.clone()), async move {
            tokio::time::sleep(lasts).await;
            fleet.signal(seat, &name, Signal::Continue);
        });
    }

    async fn promote(&self, from: Time) {
        let mut servers = self.servers.lock().await;
        let standby = servers.standby.take().expect("one promotion");
        // A commit whose wait for the standby was interrupted by a time limit counts as done: none
        // may be older than what the standby has.
        standby.until_caught_up(&servers.primary).await;
        let promoted = block_in_place(|| {
            servers.primary.stop_hard();
            standby.promote()
        });
        servers.take_over(promoted);
        drop(servers);
        self.note(Injected { fault: Fault::Promote, process: None, from, to: ledger::now() });
    }

    /// Cuts the distant standby off, waits until something has been acknowledged that it lacks, and
    /// lets it take over.
    async fn promote_with_loss(&self) {
        let mut servers = self.servers.lock().await;
        let distant = servers.distant.take().expect("one such promotion");
        let admin = connect(&servers.primary).await;
        // All of this is there before the place is read up to which the standby has to come.
        let (from, finished) = (ledger::now(), history::finished(&admin).await);
        distant.until_caught_up(&servers.primary).await;
        distant.cut_off(&servers.primary).await;
        let finished_before = history::finished(&admin).await.len();
        // They are still running when others have got their ids.
        self.add(&admin, "lost", 10_000, false).await;
        let running = "SELECT FROM postrider.job WHERE running AND args ->> 'key' LIKE 'lost-%'";
        until("jobs are committed, running and finished that will be lost", RECOVERY, async || {
            let running = admin.query(running, &[]).await.expect("the running").len();
            let finished = history::finished(&admin).await.len() - finished_before;
            [running, finished, self.enqueued.committed_since(from)].iter().all(|count| *count >= LOST).then_some(())
        })
        .await;
        let promoted = block_in_place(|| {
            servers.primary.kill_hard();
            distant.promote()
        });
        servers.take_over(promoted);
        drop(servers);
        let to = ledger::now();
        *self.cut.lock().unwrap() = Some(Cut { from, to, finished });
        self.note(Injected { fault: Fault::PromoteWithLoss, process: None, from, to });
    }

    async fn empty_pools(&self, from: Time) {
        self.add(&self.admin().await, "greedy", 1_500, true).await;
        self.note(Injected { fault: Fault::EmptyPools, process: None, from, to: ledger::now() });
    }

    /// Thirty jobs that take so long.
    async fn add(&self, admin: &Client, name: &str, millis: u64, greedy: bool) {
        let place = self.enqueued.all().len();
        let chore = |number| Chore { key: format!("{name}-{place}-{number}"), millis, greedy };
        let chores: Vec<Chore> = (0..30).map(chore).collect();
        let keys: Vec<String> = chores.iter().map(|chore| chore.key.clone()).collect();
        let jobs: Vec<_> = chores.iter().map(Chore::job).collect();
        self.enqueued.send(&keys);
        if postrider::enqueue_many(admin, &jobs).await.is_ok() {
            self.enqueued.answer(&keys, Fate::Committed);
        }
    }

    fn fill_slots(&self, fault: Fault, lasts: Duration) {
        let url = self.url.clone();
        self.spawn(fault, None, async move {
            let mut taken = Vec::new();
            let until = tokio::time::Instant::now() + lasts;
            // Those that others let go are taken too.
            while tokio::time::Instant::now() < until {
                match tokio_postgres::connect(&url, NoTls).await {
                    Ok((client, connection)) => {
                        tokio::spawn(connection);
                        taken.push(client);
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
    }

    /// A transaction that does this and is then left open.
    async fn hold(&self, fault: Fault, statement: &'static str, lasts: Duration) {
        let client = self.admin().await;
        self.spawn(fault, None, async move {
            // It may be refused, or end with the server.
            let begun = client.batch_execute(&format!("BEGIN; {statement}")).await;
            if begun.is_ok() {
                tokio::time::sleep(lasts).await;
            }
            let _ = client.batch_execute("ROLLBACK").await;
        });
    }
}

impl Servers {
    fn take_over(&mut self, promoted: Cluster) {
        self.former.push(std::mem::replace(&mut self.primary, promoted));
    }
}

/// A connection of the superuser, as soon as the server takes one.
async fn connect(cluster: &Cluster) -> Client {
    let url = format!("{}?application_name=chaos", cluster.url("chaos"));
    until("the server takes connections", RECOVERY, async || {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    })
    .await
}
