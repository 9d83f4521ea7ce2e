//! A TCP proxy in front of Postgres that can drop the server's answers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::config::Host;
use tokio_util::sync::CancellationToken;

use super::database::TestDatabase;

/// Passes connections on to the test cluster.
pub struct Proxy {
    /// The database's URL through this proxy.
    pub url: String,
    links: Arc<Mutex<Vec<Arc<Link>>>>,
    doomed: Doomed,
    accepting: JoinHandle<()>,
}

/// The purpose of the next connection that is cut as soon as it names it.
type Doomed = Arc<Mutex<Option<String>>>;

/// One connection.
#[derive(Default)]
struct Link {
    /// What the client said in its startup message: everything up to the first answer.
    greeting: Mutex<Vec<u8>>,
    swallow: AtomicBool,
    /// Neither side receives anything from the other any more, not even its end.
    is_silent: AtomicBool,
    swallowed: AtomicU64,
    /// How many packets the client has sent: one for each round trip of an idle worker.
    sent: AtomicU64,
    held: watch::Sender<bool>,
    cut: CancellationToken,
}

impl Link {
    fn fall_silent(&self) {
        self.swallow.store(true, Ordering::Release);
        self.is_silent.store(true, Ordering::Release);
    }

    fn is_for(&self, purpose: &str) -> bool {
        let name = format!("application_name\0postrider {purpose}\0");
        self.greeting.lock().unwrap().windows(name.len()).any(|window| window == name.as_bytes())
    }
}

impl Proxy {
    /// A proxy for this database. The cluster must be reached over TCP.
    pub async fn new(db: &TestDatabase) -> Self {
        Self::before(&db.url).await
    }

    /// A proxy for the database of this URL, which names one host.
    pub async fn before(database_url: &str) -> Self {
        let config: tokio_postgres::Config = database_url.parse().expect("a good URL");
        let [Host::Tcp(host)] = config.get_hosts() else { panic!("the URL must name one TCP host") };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let server = format!("{host}:{port}");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let own = listener.local_addr().expect("address");
        // user:password@host:port/database
        let (start, rest) = database_url.split_once("://").expect("a URL");
        let (authority, database) = rest.split_once('/').expect("a URL with a database");
        let user = authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
        let url = format!("{start}://{user}{own}/{database}");

        let links = Arc::<Mutex<Vec<Arc<Link>>>>::default();
        let accepted = Arc::clone(&links);
        let doomed = Doomed::default();
        let next = Arc::clone(&doomed);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let link = Arc::new(Link::default());
                accepted.lock().unwrap().push(Arc::clone(&link));
                tokio::spawn(pass(client, server.clone(), link, Arc::clone(&next)));
            }
        });
        Self { url, links, doomed, accepting }
    }

    /// From now on the client hears nothing more on its present connections for `purpose`
    /// (`application_name` without "postrider "). What it sends still arrives.
    pub fn swallow_answers(&self, purpose: &str) {
        for link in self.some_of(purpose) {
            link.swallow.store(true, Ordering::Release);
        }
    }

    /// As [`Self::swallow_answers`], on all present connections.
    pub fn swallow_all_answers(&self) {
        for link in self.links.lock().unwrap().iter() {
            link.swallow.store(true, Ordering::Release);
        }
    }

    /// From now on neither side of the present connections for `purpose` hears of the other, not even of
    /// its end, until [`Self::end_silent`].
    pub fn fall_silent(&self, purpose: &str) {
        for link in self.some_of(purpose) {
            link.fall_silent();
        }
    }

    /// As [`Self::fall_silent`], all present connections.
    pub fn all_fall_silent(&self) {
        for link in self.links.lock().unwrap().iter() {
            link.fall_silent();
        }
    }

    /// Closes the connections that have fallen silent, as a system does in the end.
    pub fn end_silent(&self) {
        for link in self.links.lock().unwrap().iter().filter(|link| link.is_silent.load(Ordering::Acquire)) {
            link.cut.cancel();
        }
    }

    /// Closes all present connections.
    pub fn cut_all(&self) {
        for link in self.links.lock().unwrap().iter() {
            link.cut.cancel();
        }
    }

    /// The client's present connections for `purpose` hear nothing until [`Self::release_answers`].
    pub fn hold_answers(&self, purpose: &str) {
        for link in self.some_of(purpose) {
            link.held.send_replace(true);
        }
    }

    /// Delivers all held answers.
    pub fn release_answers(&self) {
        for link in self.links.lock().unwrap().iter() {
            link.held.send_replace(false);
        }
    }

    /// How many bytes were swallowed.
    pub fn swallowed(&self) -> u64 {
        self.links.lock().unwrap().iter().map(|link| link.swallowed.load(Ordering::Acquire)).sum()
    }

    /// How many packets all clients have sent, past connections included.
    pub fn sent(&self) -> u64 {
        self.links.lock().unwrap().iter().map(|link| link.sent.load(Ordering::Acquire)).sum()
    }

    /// Closes the present connections for `purpose`.
    pub fn cut(&self, purpose: &str) {
        for link in self.of(purpose) {
            link.cut.cancel();
        }
    }

    /// Closes the next connection for `purpose` while it is being opened.
    pub fn cut_next(&self, purpose: &str) {
        *self.doomed.lock().unwrap() = Some(purpose.to_owned());
    }

    /// Whether [`Self::cut_next`] has done its work.
    pub fn has_cut(&self) -> bool {
        self.doomed.lock().unwrap().is_none()
    }

    fn some_of(&self, purpose: &str) -> Vec<Arc<Link>> {
        let links = self.of(purpose);
        assert!(!links.is_empty(), "no connection for {purpose}");
        links
    }

    fn of(&self, purpose: &str) -> Vec<Arc<Link>> {
        let links = self.links.lock().unwrap();
        links.iter().filter(|link| !link.cut.is_cancelled() && link.is_for(purpose)).cloned().collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        for link in self.links.lock().unwrap().iter() {
            link.cut.cancel();
        }
    }
}

async fn pass(client: TcpStream, server: String, link: Arc<Link>, doomed: Doomed) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async {
        let mut buffer = vec![0; 16 * 1024];
        let mut greeted = 0;
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            link.sent.fetch_add(1, Ordering::AcqRel);
            // The startup message is in the first packet, or the second after a request for TLS.
            if greeted < 2 {
                link.greeting.lock().unwrap().extend_from_slice(&buffer[..count]);
                greeted += 1;
                let mut doomed = doomed.lock().unwrap();
                if doomed.as_ref().is_some_and(|purpose| link.is_for(purpose)) {
                    *doomed = None;
                    return;
                }
            }
            if !link.is_silent.load(Ordering::Acquire) && to_server.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
        if link.is_silent.load(Ordering::Acquire) {
            link.cut.cancelled().await;
        }
    };
    let answering = async {
        let mut buffer = vec![0; 16 * 1024];
        let mut held = link.held.subscribe();
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            if held.wait_for(|held| !held).await.is_err() {
                return;
            }
            if link.swallow.load(Ordering::Acquire) {
                link.swallowed.fetch_add(count as u64, Ordering::AcqRel);
            } else if to_client.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
        if link.is_silent.load(Ordering::Acquire) {
            link.cut.cancelled().await;
        }
    };
    tokio::select! {
        () = asking => {}
        () = answering => {}
        () = link.cut.cancelled() => {}
    }
    link.cut.cancel();
}
