//! `PgBouncer` in transaction mode in front of a test's database.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_postgres::config::Host;

use super::cluster::run_script;
use super::database::TestDatabase;
use super::wait::{PATIENCE, until};

/// A running pooler, stopped at the end.
pub struct Pooler {
    /// The database's URL through it.
    pub url: String,
    process: Child,
    _folder: TempDir,
}

impl Pooler {
    /// With this many connections to the server, shared by all clients.
    pub async fn start(db: &TestDatabase, connections: usize) -> Self {
        Self::before(&db.url, connections).await
    }

    /// The same in front of this address.
    pub async fn before(url: &str, connections: usize) -> Self {
        let server: tokio_postgres::Config = url.parse().expect("a good URL");
        let [Host::Tcp(host)] = server.get_hosts() else { panic!("TEST_DATABASE_URL must name one TCP host") };
        let (user, port) = (server.get_user().expect("a user"), server.get_ports().first().copied().unwrap_or(5432));
        // One that is empty is a mistake to it.
        let password = server.get_password().map(|password| format!("password={}", String::from_utf8_lossy(password)));
        let password = password.unwrap_or_default();
        let name = server.get_dbname().expect("a database");
        let own_port = free_port();
        let folder = tempfile::Builder::new().prefix("pooler").tempdir().expect("a folder");
        let configuration = folder.path().join("pgbouncer.ini");
        // It refuses to be run by root, but changes to this user.
        let unix_user = run_script(&["run", "id", "-un"]).expect("a user");
        // `any` because the URL's user is the one that the pooler logs in as.
        let text = format!(
            "[databases]
             {name} = host={host} port={port} user={user} {password}
             [pgbouncer]
             user = {unix_user}
             listen_addr = 127.0.0.1
             listen_port = {own_port}
             unix_socket_dir =
             auth_type = any
             pool_mode = transaction
             default_pool_size = {connections}
             max_client_conn = 200
             ignore_startup_parameters = extra_float_digits"
        );
        fs::write(&configuration, text.lines().map(|line| line.trim().to_owned() + "\n").collect::<String>())
            .expect("a configuration");
        let process = Command::new("pgbouncer")
            .arg(&configuration)
            .stdin(Stdio::null())
            .spawn()
            .expect("pgbouncer is there: scripts/test sees to it");
        until("the pooler listens", PATIENCE, || async { TcpStream::connect(("127.0.0.1", own_port)).await.ok() })
            .await;
        Self { url: format!("postgres://{user}@127.0.0.1:{own_port}/{name}"), process, _folder: folder }
    }
}

/// Nobody listens on it.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
