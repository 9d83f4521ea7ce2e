//! The real `web`, run as a process on a free port.

use std::process::Command;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::database::TestDatabase;
use super::process::Process;

/// How long the service may take to start on a busy machine.
const START: Duration = Duration::from_mins(1);

/// A running service, and a client to it.
pub struct WebService {
    pub process: Process,
    /// `127.0.0.1:PORT`.
    pub addr: String,
    client: reqwest::Client,
}

/// A command that starts `web` with nothing of our own environment that it reads.
pub fn web_command(database_url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_web"));
    for (name, _) in std::env::vars() {
        if ["WEB_", "S3_", "AWS_", "DATABASE_", "POSTRIDER_", "PG", "RUST_LOG"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command.env("DATABASE_URL", database_url).env("LOG_FORMAT", "json").env("WEB_BIND", "127.0.0.1:0");
    command
}

impl WebService {
    pub async fn start(database: &TestDatabase) -> Self {
        Self::from(&mut web_command(&database.url)).await
    }

    /// Starts a command made by [`web_command`].
    pub async fn from(command: &mut Command) -> Self {
        let process = Process::spawn(command);
        let ready = process.wait_for_event("web ready", START).await;
        let addr = ready["addr"].as_str().expect("an address").to_owned();
        let client = reqwest::Client::builder().timeout(Duration::from_mins(2)).build().expect("a client");
        Self { process, addr, client }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.addr))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    /// POST without a body.
    pub async fn act(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::POST, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body)).await
    }

    /// POST of bytes that are said to be JSON.
    pub async fn post_bytes(&self, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        Answer::of(request.body(body.into())).await
    }

    /// Sends bytes as they are and returns all that comes back until the service closes.
    pub async fn raw(&self, bytes: &[u8], deadline: Duration) -> String {
        let exchange = async {
            let mut stream = TcpStream::connect(&self.addr).await.expect("connect");
            stream.write_all(bytes).await.expect("send");
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8_lossy(&answer).into_owned()
        };
        tokio::time::timeout(deadline, exchange).await.expect("the service closes the connection")
    }
}

/// An answer with its whole body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        Self::read(request.send().await.expect("an answer")).await
    }

    async fn read(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.text().await.expect("the whole body") }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON, of an answer with this status.
    #[track_caller]
    pub fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// The body as a problem with this status, in the form of RFC 9457.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.body);
        let problem: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}
