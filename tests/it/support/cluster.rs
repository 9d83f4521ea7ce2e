//! A Postgres cluster of a test's own, for what cannot be set up in one that others use. `scripts/lib/cluster`
//! manages it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use super::process::{Signal, kill};

/// A running cluster, stopped and removed at the end.
pub struct Cluster {
    pub port: u16,
    /// The folder of its Unix socket.
    pub socket: PathBuf,
    _folder: TempDir,
}

/// The `pg_hba.conf` of a cluster that only this test can reach.
pub const OPEN: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";

impl Cluster {
    /// Makes and starts one. `hba` replaces its `pg_hba.conf`; `settings` are lines of its configuration.
    pub fn start(hba: &str, settings: &[&str]) -> Self {
        Self::try_start(settings, &[("pg_hba.conf", hba)]).unwrap_or_else(|why| panic!("no cluster: {why}"))
    }

    /// The same with files for its eyes only in its data folder, or why there is none.
    pub fn try_start(settings: &[&str], files: &[(&str, &str)]) -> Result<Self, String> {
        Self::create(settings, files)?.started()
    }

    /// As [`Self::start`]. None if the Postgres here is older than this version.
    pub fn start_version(oldest: u32, hba: &str, settings: &[&str]) -> Option<Self> {
        let cluster = Self::create(settings, &[("pg_hba.conf", hba)]).expect("a cluster");
        let version = fs::read_to_string(cluster.path("PG_VERSION")).expect("a version");
        (version.trim().parse::<u32>().expect("a number") >= oldest).then(|| cluster.started().expect("it starts"))
    }

    fn create(settings: &[&str], files: &[(&str, &str)]) -> Result<Self, String> {
        let cluster = Self::place(files);
        let settings = [&["fsync = off", "max_connections = 20"], settings].concat();
        cluster.manage("create", &settings)?;
        Ok(cluster)
    }

    /// A standby of this cluster, with more lines of configuration. This one is restarted for it.
    pub(super) fn standby(&self, settings: &[&str]) -> Self {
        let standby = Self::place(&[("standby.signal", "")]);
        let settings = [&[text(&standby.socket)], settings].concat();
        self.manage("copy", &settings).and_then(|_| standby.started()).unwrap_or_else(|why| panic!("no standby: {why}"))
    }

    /// Where a new one is to be, with these files for it.
    fn place(files: &[(&str, &str)]) -> Self {
        // Short, because the path of a socket must be.
        let folder = tempfile::Builder::new().prefix("pr").tempdir_in("/tmp").expect("a folder");
        fs::create_dir(folder.path().join("files")).expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join("files").join(name), text).expect("write");
        }
        Self { port: 0, socket: folder.path().to_owned(), _folder: folder }
    }

    fn started(mut self) -> Result<Self, String> {
        self.port = self.manage("start", &[])?.parse().expect("a port");
        Ok(self)
    }

    fn manage(&self, command: &str, arguments: &[&str]) -> Result<String, String> {
        run_script(&[&[command, text(&self.socket)], arguments].concat())
    }

    /// Starts it on its port, after a stop.
    pub fn start_again(&self) {
        assert_eq!(self.manage("start", &[]), Ok(self.port.to_string()), "it starts on its port");
    }

    /// Stops it as a crash would: without a checkpoint, all sessions cut.
    pub fn stop_hard(&self) {
        self.manage("stop", &["immediate"]).expect("it stops");
    }

    /// Kills it (-9) with all its processes, also stopped ones, as a machine that loses its power: nothing
    /// more is sent to a standby, or answered to a client.
    pub fn kill_hard(&self) {
        self.manage("crash", &[]).expect("it is killed");
    }

    /// A new folder of its own, for the server's files.
    pub fn make_folder(&self, name: &str) -> PathBuf {
        let path = self.socket.join(name);
        run_script(&["run", "mkdir", text(&path)]).expect("a folder");
        path
    }

    /// Ends the recovery of a standby: it takes writes afterwards.
    pub(super) fn promote(&self) {
        self.manage("promote", &[]).expect("it is promoted");
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postrider@127.0.0.1:{}/{database}", self.port)
    }

    /// A connection of its superuser.
    pub async fn connect(&self, database: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls).await.expect("connect");
        tokio::spawn(connection);
        client
    }

    /// Kills (-9) one of the processes that serve clients, chosen by `choice`: the server then takes
    /// its memory for damaged, ends all sessions and recovers as after a crash.
    pub async fn kill_backend(&self, choice: u64) {
        let client = self.connect("postgres").await;
        let query = "SELECT pid FROM pg_stat_activity
                     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY backend_start, pid";
        let backends = client.query(query, &[]).await.expect("the sessions");
        let place = choice.checked_rem(backends.len() as u64).expect("there are sessions");
        let pid: i32 = backends[usize::try_from(place).expect("a place")].get(0);
        kill(pid.unsigned_abs(), Signal::Kill);
    }

    /// The path of a file in its data folder.
    pub fn path(&self, name: &str) -> String {
        text(&self.socket.join("data").join(name)).to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.manage("stop", &["immediate"]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// What it prints, or why it failed.
pub(super) fn run_script(arguments: &[&str]) -> Result<String, String> {
    let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lib/cluster"));
    let output = script.args(arguments).stdin(Stdio::null()).output().expect("it needs bash");
    let [printed, problem] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    if output.status.success() { Ok(printed) } else { Err(problem) }
}
