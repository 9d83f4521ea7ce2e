//! A Postgres cluster of a test's own, for what cannot be set up in one that others use.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// A running cluster, stopped and removed at the end.
pub struct Cluster {
    pub port: u16,
    /// The folder of its Unix socket.
    pub socket: PathBuf,
    tools: Tools,
    data: PathBuf,
    folder: TempDir,
}

/// The `pg_hba.conf` of a cluster that only this test can reach.
pub const OPEN: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";

/// Why there is no cluster.
#[derive(Debug)]
pub struct NotHere(pub String);

/// The programs and their user: Postgres refuses to run as root.
#[derive(Clone)]
struct Tools {
    folder: PathBuf,
    user: Option<(u32, u32)>,
}

impl Cluster {
    /// Makes and starts one. `hba` replaces its `pg_hba.conf`; `files` are put beside it, for its
    /// eyes only; `settings` are lines of its configuration.
    pub fn start(hba: &str, settings: &[&str], files: &[(&str, &str)]) -> Result<Self, NotHere> {
        Self::start_with(Tools::find(0)?, hba, settings, files)
    }

    /// The same with a Postgres of this version or a newer one. None if there is none.
    pub fn start_version(oldest: u32, hba: &str, settings: &[&str], files: &[(&str, &str)]) -> Option<Self> {
        let tools = Tools::find(oldest).ok()?;
        Some(Self::start_with(tools, hba, settings, files).expect("a cluster"))
    }

    fn start_with(tools: Tools, hba: &str, settings: &[&str], files: &[(&str, &str)]) -> Result<Self, NotHere> {
        let cluster = Self::place(tools);
        let data = cluster.path("");
        cluster
            .tools
            .run("initdb", &["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"])?;
        for (name, text) in [("pg_hba.conf", hba)].iter().chain(files) {
            let path = cluster.data.join(name);
            fs::write(&path, text).expect("write");
            fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("chmod");
            give(&path);
        }
        let mut lines = vec!["fsync = off", "max_connections = 20"];
        lines.extend(settings);
        cluster.configure(&lines);
        cluster.start_again()?;
        Ok(cluster)
    }

    /// A copy of this cluster, not started, with more lines of configuration. It is stopped for as
    /// long as the copy takes: not every build of Postgres brings `pg_basebackup`.
    pub(super) fn copy(&self, settings: &[&str]) -> Result<Self, NotHere> {
        let copy = Self::place(self.tools.clone());
        self.tools.run("pg_ctl", &["-D", &self.path(""), "-m", "fast", "-w", "stop"])?;
        let copied = self.tools.run_program(Command::new("cp").args(["-R", &self.path(""), &copy.path("")]));
        self.start_again()?;
        copied?;
        fs::set_permissions(&copy.data, Permissions::from_mode(0o700)).expect("chmod");
        copy.configure(settings);
        Ok(copy)
    }

    /// Where a new one is to be.
    fn place(tools: Tools) -> Self {
        // Short, because the path of a socket must be.
        let folder = tempfile::Builder::new().prefix("pr").tempdir_in("/tmp").expect("a folder");
        give(folder.path());
        let (data, socket) = (folder.path().join("data"), folder.path().to_owned());
        Self { port: free_port(), socket, tools, data, folder }
    }

    /// Adds its place and these lines to what is configured: of two lines the last one counts.
    fn configure(&self, lines: &[&str]) {
        let path = self.data.join("postgresql.auto.conf");
        let mut text = fs::read_to_string(&path).unwrap_or_default();
        let (port, socket) =
            (format!("port = {}", self.port), format!("unix_socket_directories = '{}'", self.socket.display()));
        for line in [&port, &socket, "listen_addresses = '127.0.0.1'"].iter().chain(lines) {
            text.push_str(line);
            text.push('\n');
        }
        fs::write(&path, text).expect("write");
        give(&path);
    }

    /// Starts it on its port, after a stop.
    pub fn start_again(&self) -> Result<(), NotHere> {
        let log = self.socket.join("log");
        let log_text = log.to_str().expect("a plain path");
        let started = self.tools.run("pg_ctl", &["-D", &self.path(""), "-l", log_text, "-w", "-t", "180", "start"]);
        started
            .map_err(|NotHere(problem)| NotHere(format!("{problem}\n{}", fs::read_to_string(log).unwrap_or_default())))
    }

    /// Stops it as a crash would: without a checkpoint, all sessions cut.
    pub fn stop_hard(&self) {
        self.tools.run("pg_ctl", &["-D", &self.path(""), "-m", "immediate", "-w", "stop"]).expect("it stops");
    }

    /// Kills it (-9) with all its processes, also stopped ones, as a machine that loses its power: nothing
    /// more is sent to a standby, or answered to a client.
    pub fn kill_hard(&self) {
        let text = fs::read_to_string(self.path("postmaster.pid")).expect("it runs");
        let postmaster = text.lines().next().expect("a pid").trim();
        let processes = fs::read_dir("/proc").expect("processes").flatten();
        let children = processes.filter(|process| {
            let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
            // After the name, in parentheses: its state and its parent.
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)) == Some(postmaster)
        });
        let children: Vec<String> = children.map(|child| child.file_name().to_string_lossy().into_owned()).collect();
        let all = format!("{postmaster} {}", children.join(" "));
        // It ends those that have ended by themselves as well.
        let _ = Command::new("sh").args(["-c", &format!("kill -KILL {all}")]).stderr(Stdio::null()).status();
        let is_gone = |pid: &str| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
        };
        while !all.split_whitespace().all(is_gone) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// A new folder of its own, for the server's files.
    pub fn make_folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir(&path).expect("a folder");
        give(&path);
        path
    }

    /// Ends the recovery of a standby: it takes writes afterwards.
    pub(super) fn promote(&self) {
        self.tools.run("pg_ctl", &["-D", &self.path(""), "-w", "-t", "180", "promote"]).expect("it is promoted");
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A connection of its superuser.
    pub async fn connect(&self, database: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls).await.expect("connect");
        tokio::spawn(connection);
        client
    }

    /// Kills (-9) one of the processes that serve clients, chosen by `choice`: the server then takes
    /// its memory for damaged, ends all sessions and recovers as after a crash. Answers whether
    /// there was one.
    pub async fn kill_backend(&self, choice: u64) -> bool {
        let client = self.connect("postgres").await;
        let query = "SELECT pid FROM pg_stat_activity
                     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY backend_start, pid";
        let backends = client.query(query, &[]).await.expect("the sessions");
        let Some(place) = choice.checked_rem(backends.len() as u64) else { return false };
        let pid: i32 = backends[usize::try_from(place).expect("a place")].get(0);
        // The shell's own `kill`: not every machine has one as a program.
        Command::new("sh").args(["-c", "kill -KILL $0", &pid.to_string()]).status().is_ok_and(|status| status.success())
    }

    /// The path of a file in its data folder, or with "" of the folder.
    pub fn path(&self, name: &str) -> String {
        let path = if name.is_empty() { self.data.clone() } else { self.data.join(name) };
        path.to_str().expect("a plain path").to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.tools.run("pg_ctl", &["-D", &self.path(""), "-m", "immediate", "-w", "stop"]);
    }
}

impl Tools {
    /// Those of this version, or a newer one.
    fn find(oldest: u32) -> Result<Self, NotHere> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
            folders.extend(versions.flatten().map(|version| version.path().join("bin")));
        }
        // Debian's own first: other builds may lack OpenSSL.
        folders.sort_by_key(|folder| !folder.starts_with("/usr/lib/postgresql"));
        let has_all =
            |folder: &PathBuf| ["initdb", "pg_ctl", "postgres"].iter().all(|name| folder.join(name).is_file());
        let folder = folders
            .into_iter()
            .find(|folder| has_all(folder) && (oldest == 0 || version(folder) >= oldest))
            .ok_or_else(|| NotHere("no initdb and pg_ctl found".into()))?;
        Ok(Self { folder, user: user_to_run_as() })
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), NotHere> {
        self.run_program(Command::new(self.folder.join(program)).args(arguments))
    }

    fn run_program(&self, command: &mut Command) -> Result<(), NotHere> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.current_dir("/tmp").env("LC_ALL", "C").stdin(Stdio::null());
        // Not pipes: the server inherits them, and a reader would wait for its end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(NotHere(format!("{program} ended with {status}"))),
            Err(error) => Err(NotHere(format!("{program}: {error}"))),
        }
    }
}

/// The major version of the server in a folder, 0 if unknown.
fn version(folder: &Path) -> u32 {
    let output = Command::new(folder.join("postgres")).arg("--version").output().map(|output| output.stdout);
    let text = String::from_utf8(output.unwrap_or_default()).unwrap_or_default();
    text.split_whitespace().find_map(|word| word.split('.').next()?.parse().ok()).unwrap_or(0)
}

/// Gives a file or folder to the user that runs servers.
pub(super) fn give(path: &Path) {
    if let Some((user, group)) = user_to_run_as() {
        chown(path, Some(user), Some(group)).expect("chown");
    }
}

/// Where we are root: `postgres`, else `nobody`.
pub(super) fn user_to_run_as() -> Option<(u32, u32)> {
    let us = fs::metadata("/proc/self").map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata)).ok()?;
    if us != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].iter().find_map(|wanted| {
        let line = users.lines().find(|line| line.split(':').next() == Some(wanted))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}
