//! A Postgres cluster of a test's own, for what cannot be set up in one that others use.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A running cluster, stopped and removed at the end.
pub struct Cluster {
    pub port: u16,
    /// The folder of its Unix socket.
    pub socket: PathBuf,
    tools: Tools,
    data: PathBuf,
    log: PathBuf,
    folder: TempDir,
}

/// `pg_hba.conf` for a cluster that nobody else can reach.
pub const OPEN: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";

/// Why there is no cluster.
#[derive(Debug)]
pub struct NotHere(pub String);

/// Where the programs are, and who runs them: Postgres refuses to be run by root.
struct Tools {
    folder: PathBuf,
    user: Option<(u32, u32)>,
}

impl Cluster {
    /// Makes and starts one. `hba` replaces its `pg_hba.conf`; `files` are put beside it, for its
    /// eyes only; `settings` are lines of its configuration.
    pub fn start(hba: &str, settings: &[&str], files: &[(&str, &str)]) -> Result<Self, NotHere> {
        let tools = Tools::find()?;
        // Short, because the path of a socket must be.
        let folder = tempfile::Builder::new().prefix("pr").tempdir_in("/tmp").expect("a folder");
        give(folder.path());
        let data = folder.path().join("data");
        let data_text = data.to_str().expect("a plain path");
        tools.run("initdb", &["-D", data_text, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"])?;
        for (name, text) in [("pg_hba.conf", hba)].iter().chain(files) {
            let path = data.join(name);
            fs::write(&path, text).expect("write");
            fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("chmod");
            give(&path);
        }
        let socket = folder.path().to_owned();
        let port = free_port();
        let mut lines = vec![
            format!("port = {port}"),
            format!("unix_socket_directories = '{}'", socket.display()),
            "listen_addresses = '127.0.0.1'".into(),
            "fsync = off".into(),
            "max_connections = 20".into(),
        ];
        lines.extend(settings.iter().map(|line| (*line).to_owned()));
        let configuration = data.join("postgresql.auto.conf");
        fs::write(&configuration, lines.join("\n") + "\n").expect("write");
        give(&configuration);
        let log = folder.path().join("log");
        let cluster = Self { port, socket, tools, data, log, folder };
        cluster.start_server()?;
        Ok(cluster)
    }

    /// The superuser's URL of the database `postgres`.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends the server without a checkpoint or a word to its clients, as a crash would.
    pub fn crash(&self) {
        self.tools.run("pg_ctl", &["-D", &self.path(""), "-m", "immediate", "-w", "stop"]).expect("the server stops");
    }

    /// Starts the server, on its former port; it recovers first where it had crashed.
    pub fn start_again(&self) {
        self.start_server().expect("the server starts");
    }

    /// A new folder of its own, for the server's files.
    pub fn make_folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir(&path).expect("a folder");
        give(&path);
        path
    }

    fn start_server(&self) -> Result<(), NotHere> {
        let log = self.log.to_str().expect("a plain path");
        self.tools.run("pg_ctl", &["-D", &self.path(""), "-l", log, "-w", "-t", "60", "start"]).map_err(
            |NotHere(problem)| NotHere(format!("{problem}\n{}", fs::read_to_string(&self.log).unwrap_or_default())),
        )
    }

    /// The path of a file in its data folder.
    pub fn path(&self, name: &str) -> String {
        self.data.join(name).to_str().expect("a plain path").to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.data.to_str().unwrap_or_default();
        let _ = self.tools.run("pg_ctl", &["-D", data, "-m", "immediate", "-w", "stop"]);
    }
}

impl Tools {
    fn find() -> Result<Self, NotHere> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
            folders.extend(versions.flatten().map(|version| version.path().join("bin")));
        }
        // Debian's own first: other builds may lack OpenSSL.
        folders.sort_by_key(|folder| !folder.starts_with("/usr/lib/postgresql"));
        let has_all =
            |folder: &PathBuf| ["initdb", "pg_ctl", "postgres"].iter().all(|name| folder.join(name).is_file());
        let folder = folders.into_iter().find(has_all).ok_or_else(|| NotHere("no initdb and pg_ctl found".into()))?;
        Ok(Self { folder, user: user_to_run_as() })
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), NotHere> {
        let mut command = Command::new(self.folder.join(program));
        command.args(arguments).current_dir("/tmp").env("LC_ALL", "C").stdin(Stdio::null());
        // Not pipes: the server inherits them, and whoever reads one would wait for its end.
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

/// Hands a file or folder to the user that runs servers, where that is another.
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
