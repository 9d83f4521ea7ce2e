//! Connections: TLS as libpq means it, several hosts, dead peers, recycling, names and secrets (CONFORMANCE 31).

use std::net::TcpListener;
use std::time::Instant;

use crate::support::cluster::{Cluster, OPEN};
use crate::support::database::TestDatabase;
use crate::support::pooler::free_port;
use crate::support::wait::{PATIENCE, within};
use postrider::schema::MigrationSet::Queue;
use postrider::{Database, Error};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Two authorities, and a certificate for `localhost` by the first.
struct Certificates {
    authority: String,
    other_authority: String,
    server: String,
    server_key: String,
}

impl Certificates {
    fn new() -> Self {
        let (authority, other_authority) = (authority("First"), authority("Second"));
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let server = params.signed_by(&key, &authority).unwrap();
        Self {
            authority: authority.as_ref().pem(),
            other_authority: other_authority.as_ref().pem(),
            server: server.pem(),
            server_key: key.serialize_pem(),
        }
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A cluster that speaks TLS; or none, said loudly: that is no pass.
fn tls_cluster() -> Option<Cluster> {
    let certificates = Certificates::new();
    let hba = "local all all trust\n\
               hostnossl all plain 127.0.0.1/32 trust\n\
               hostssl all encrypted 127.0.0.1/32 trust\n\
               host all postrider 127.0.0.1/32 trust\n";
    let files = [
        ("pg_hba.conf", hba),
        ("server.crt", certificates.server.as_str()),
        ("server.key", certificates.server_key.as_str()),
        ("ca.crt", certificates.authority.as_str()),
        ("other-ca.crt", certificates.other_authority.as_str()),
    ];
    match Cluster::try_start(&["ssl = on"], &files) {
        Ok(cluster) => Some(cluster),
        Err(problem) => {
            let expected =
                ["there is no Postgres", "not supported by this build"].iter().any(|known| problem.contains(known));
            assert!(expected, "the cluster did not start: {problem}");
            eprintln!("\n!!! TLS WAS NOT TESTED: there is no Postgres with OpenSSL here ({problem})\n");
            None
        }
    }
}

/// Whether the connection is encrypted, or why it failed.
async fn encrypted(url: &str) -> Result<bool, String> {
    let database = Database::from_url(url).map_err(|error| error.to_string())?;
    let client = database.client().await.map_err(|error| error.to_string())?;
    let row = client
        .query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[])
        .await
        .map_err(|error| error.to_string())?;
    Ok(row.get(0))
}

#[tokio::test]
async fn tls_is_what_libpq_makes_of_the_same_url() {
    let Some(cluster) = tls_cluster() else { return };
    let (port, ca, other_ca) = (cluster.port, cluster.path("ca.crt"), cluster.path("other-ca.crt"));
    let own = cluster.path("server.crt");
    let url = |user: &str, host: &str, options: &str| {
        format!("host={host} hostaddr=127.0.0.1 port={port} user={user} dbname=postgres {options}")
    };

    // Whether it is encrypted, if it connects.
    for (user, host, options, expected) in [
        ("postrider", "localhost", String::new(), true),
        ("postrider", "localhost", "sslmode=disable".into(), false),
        ("postrider", "db_1.example", "sslmode=prefer".into(), true),
        ("postrider", "not.the.host", "sslmode=require".into(), true),
        ("postrider", "not.the.host", format!("sslmode=require sslrootcert={ca}"), true),
        ("postrider", "not.the.host", format!("sslmode=verify-ca sslrootcert={ca}"), true),
        ("postrider", "localhost", format!("sslmode=verify-full sslrootcert={ca}"), true),
        ("postrider", "localhost", format!("sslmode=verify-full sslrootcert={own}"), true),
        // `prefer` goes on without encryption if that fails or the server refuses it.
        ("postrider", "localhost", format!("sslmode=prefer sslrootcert={other_ca}"), false),
        ("plain", "localhost", "sslmode=prefer".into(), false),
        ("encrypted", "localhost", "sslmode=prefer".into(), true),
    ] {
        if user != "postrider" {
            let admin = Database::from_url(&url("postrider", "localhost", "")).unwrap();
            admin.client().await.unwrap().batch_execute(&format!("CREATE ROLE {user} LOGIN")).await.unwrap();
        }
        let text = url(user, host, &options);
        assert_eq!(encrypted(&text).await, Ok(expected), "{text}");
    }

    for (user, host, options, expected) in [
        ("postrider", "not.the.host", format!("sslmode=verify-full sslrootcert={ca}"), "not.the.host"),
        ("postrider", "127.0.0.1", format!("sslmode=verify-full sslrootcert={ca}"), "not valid for name"),
        ("postrider", "localhost", format!("sslmode=verify-full sslrootcert={other_ca}"), "UnknownIssuer"),
        ("postrider", "localhost", format!("sslmode=verify-ca sslrootcert={other_ca}"), "UnknownIssuer"),
        ("postrider", "localhost", format!("sslmode=require sslrootcert={other_ca}"), "UnknownIssuer"),
        ("postrider", "not.the.host", format!("sslmode=verify-full sslrootcert={own}"), "not.the.host"),
        ("plain", "localhost", "sslmode=require".into(), "28000"),
        ("encrypted", "localhost", "sslmode=disable".into(), "28000"),
    ] {
        let text = url(user, host, &options);
        let problem = encrypted(&text).await.expect_err(&text);
        assert!(problem.contains(expected), "{text}: {problem}");
    }
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        eprintln!("this system has no root certificates: sslmode=verify-full without sslrootcert was not tested");
    } else {
        let problem = encrypted(&url("postrider", "localhost", "sslmode=verify-full")).await.expect_err("a private CA");
        assert!(problem.contains("UnknownIssuer"), "{problem}");
    }

    // A socket is not encrypted, whatever is asked for, also among other hosts.
    let socket = cluster.socket.display().to_string();
    for text in [
        format!("host={socket} port={port} user=postrider dbname=postgres sslmode=require"),
        format!(
            "host={socket},localhost port={port} user=postrider dbname=postgres sslmode=verify-full sslrootcert={ca}"
        ),
        format!("postgres://postrider@{}:{port}/postgres", socket.replace('/', "%2F")),
    ] {
        assert_eq!(encrypted(&text).await, Ok(false), "{text}");
    }
    // The name is that of the host connected to, not of the first in the list.
    let dead = free_port();
    let text = format!(
        "host=gone.example,localhost hostaddr=127.0.0.1,127.0.0.1 port={dead},{port} user=postrider dbname=postgres \
         sslmode=verify-full sslrootcert={ca}"
    );
    assert_eq!(encrypted(&text).await, Ok(true));
}

#[tokio::test]
async fn of_several_hosts_the_one_that_writes_is_taken_by_pool_and_migrator() {
    let settings = ["default_transaction_read_only = on"];
    let (standby, primary) = (Cluster::start(OPEN, &settings), Cluster::start(OPEN, &[]));
    let hosts = format!("postgres://postrider@127.0.0.1:{},127.0.0.1:{}/postgres", standby.port, primary.port);
    for options in ["", "?target_session_attrs=read-write"] {
        let database = Database::from_url(&format!("{hosts}{options}")).unwrap();
        let client = database.client().await.unwrap();
        let port: i32 = client.query_one("SELECT inet_server_port()", &[]).await.unwrap().get(0);
        assert_eq!(port, i32::from(primary.port), "{options}");
    }
    Database::from_url(&hosts).unwrap().migrate(Queue).await.expect("on the primary");

    let anywhere = Database::from_url(&format!("{hosts}?target_session_attrs=any")).unwrap();
    let client = anywhere.client().await.unwrap();
    let port: i32 = client.query_one("SELECT inet_server_port()", &[]).await.unwrap().get(0);
    assert_eq!(port, i32::from(standby.port));

    let only = Database::from_url(&format!(
        "postgres://postrider@127.0.0.1:{}/postgres?target_session_attrs=read-write",
        standby.port
    ))
    .unwrap();
    let error = only.client().await.map(drop).expect_err("a standby").to_string();
    assert!(error.contains("does not allow writes"), "{error}");
}

/// The cluster of the tests, with other hosts before it.
fn behind(hosts: &str, url: &str) -> String {
    let (credentials, rest) = url.split_once('@').expect("a URL with a user");
    format!("{credentials}@{hosts},{rest}")
}

/// A server that accepts connections and never answers.
fn silent_server() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn dead_and_silent_hosts_are_passed_over() {
    let fresh = TestDatabase::empty().await;
    let (_silent, silent_port) = silent_server();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{silent_port}", free_port());
    let database = Database::from_url(&format!("{}?connect_timeout=1", behind(&hosts, &fresh.url))).unwrap();
    drop(database.client().await.expect("the third host"));
}

#[tokio::test]
async fn an_unreachable_database_is_reported_fast_with_its_address_and_without_its_password() {
    let (_silent, silent_port) = silent_server();
    let dead_port = free_port();
    for (port, expected) in [(dead_port, "refused"), (silent_port, "no answer within 1000 ms")] {
        let url = format!("postgres://ada:secret@127.0.0.1:{port}/db?connect_timeout=1");
        let database = Database::from_url(&url).unwrap();
        // The message says how long each attempt may take: a second, not the default of five.
        let by_pool = within("it is told", PATIENCE, database.client()).await.map(drop).expect_err("nobody there");
        let by_migrator = within("it is told", PATIENCE, database.migrate(Queue)).await.expect_err("nobody there");
        for error in [by_pool, by_migrator] {
            assert!(matches!(error, Error::Connect { .. }), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(&format!("127.0.0.1:{port}")) && text.contains(expected), "{text}");
            assert!(!format!("{text}{error:?}").contains("secret"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_wrong_url_is_reported_without_its_password() {
    for url in ["", "ada:secret@db/x", "postgres://ada:secret@db/x?sslmode=maybe", "postgres://ada:se/secret@db"] {
        let error = Database::from_url(url).err().unwrap_or_else(|| panic!("{url} was taken"));
        assert!(matches!(error, Error::Config { .. }));
        let text = error.to_string();
        assert!(text.starts_with("DATABASE_URL ") && !text.contains("secret"), "{text}");
    }
    let database = Database::from_url("postgres://db").unwrap();
    let error = database.with_listen_url("postgres://db?port=secret").err().unwrap().to_string();
    assert!(error.starts_with("DATABASE_LISTEN_URL ") && !error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_full_pool_says_so() {
    let fresh = TestDatabase::empty().await;
    let database = fresh.database.clone().with_pool_size(2);
    let _held = (database.client().await.unwrap(), database.client().await.unwrap());
    let error = database.client().await.map(drop).expect_err("full").to_string();
    assert!(error.contains("all 2 connections of the pool were in use for 5000 ms"), "{error}");
}

#[tokio::test]
async fn a_connection_that_was_cut_is_not_handed_out_again() {
    let fresh = TestDatabase::empty().await;
    let database = fresh.database.clone().with_pool_size(1);
    let backend = "SELECT pg_backend_pid()";
    let cut: i32 = database.client().await.unwrap().query_one(backend, &[]).await.unwrap().get(0);
    fresh.connect().await.execute("SELECT pg_terminate_backend($1, 5000)", &[&cut]).await.unwrap();
    // The news may be on its way for a moment.
    let deadline = Instant::now() + PATIENCE;
    let now: i32 = loop {
        match database.client().await.unwrap().query_one(backend, &[]).await {
            Ok(row) => break row.get(0),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    assert_ne!(now, cut);
}

#[tokio::test]
async fn connections_say_what_they_are_for_unless_the_url_does() {
    let fresh = TestDatabase::empty().await;
    let name = "SELECT current_setting('application_name')";
    for (url, expected) in
        [(fresh.url.clone(), "postrider pool"), (format!("{}?application_name=mine", fresh.url), "mine")]
    {
        let database = Database::from_url(&url).unwrap();
        let row = database.client().await.unwrap().query_one(name, &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), expected);
    }
}
