//! More connections than the service takes.

use std::process::Command;
use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::wait::{PATIENCE, within};
use crate::support::web::{WebService, web_command};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// As many as there may be.
const ALL: usize = 1024;

async fn ask(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.expect("send");
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

/// Asks again before it would be closed for asking nothing, until it is closed for others.
async fn keep(mut stream: TcpStream) {
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        if asked.is_err() || !matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_yield_to_new_ones() {
    let database = TestDatabase::new().await;
    let web = WebService::start(&database).await;
    let mut idle = Vec::new();
    for _ in 0..ALL {
        let mut stream = TcpStream::connect(&web.addr).await.expect("connect");
        assert!(ask(&mut stream, "/healthz").await.starts_with("HTTP/1.1 200"));
        idle.push(tokio::spawn(keep(stream)));
    }
    let request = b"GET /jobs HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut new = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(&web.addr).await.expect("connect");
        stream.write_all(request).await.expect("send");
        let mut answer = [0; 12];
        within("an answer", PATIENCE, stream.read_exact(&mut answer)).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200");
        new.push(stream);
    }
    let closed = idle.iter().filter(|keeper| keeper.is_finished()).count();
    assert!(closed < ALL / 2, "{closed} were closed for 100");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_soft_limit_of_open_files_does_not_limit_the_connections() {
    let database = TestDatabase::new().await;
    let web = web_command(&database.url);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -S -n 64 && exec \"$0\""]).arg(web.get_program());
    for (name, value) in web.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let web = WebService::from(&mut limited).await;
    let mut open = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(&web.addr).await.expect("connect");
        assert!(within("an answer", PATIENCE, ask(&mut stream, "/healthz")).await.starts_with("HTTP/1.1 200"));
        open.push(stream);
    }
}
