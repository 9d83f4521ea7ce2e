//! An endpoint of a database URL: a host and port, or a Unix socket.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_postgres::Config;

use super::wire::Wire;

const DEFAULT_PORT: u16 = 5432;
/// The maximum number of addresses that are tried for a name.
const MAX_ADDRESSES: usize = 16;
/// The socket directory of the system's own server.
const SYSTEM_SOCKET: &str = "/var/run/postgresql";

/// A host and port. The host's certificate is checked against `host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// A host name, an address, or the directory of a Unix socket.
    host: String,
    /// The address to connect to instead of resolving the name.
    address: Option<IpAddr>,
    port: u16,
}

impl Endpoint {
    /// Joins the lists of `host`, `hostaddr` and `port` as libpq does.
    pub fn list(hosts: Option<&str>, addresses: Option<&str>, ports: Option<&str>) -> Result<Vec<Self>, String> {
        let addresses = addresses.filter(|text| !text.is_empty()).map(parse_addresses).transpose()?;
        let hosts: Vec<String> = match (hosts.filter(|text| !text.is_empty()), &addresses) {
            (Some(hosts), _) => hosts.split(',').map(or_default_host).collect(),
            (None, Some(addresses)) => addresses.iter().map(ToString::to_string).collect(),
            (None, None) => vec![or_default_host("")],
        };
        if let Some(addresses) = &addresses
            && addresses.len() != hosts.len()
        {
            return Err(format!("names {} hosts but {} hostaddrs", hosts.len(), addresses.len()));
        }
        let ports = ports.unwrap_or_default().split(',').map(parse_port).collect::<Result<Vec<u16>, String>>()?;
        if ports.len() != 1 && ports.len() != hosts.len() {
            return Err(format!("names {} hosts but {} ports", hosts.len(), ports.len()));
        }
        let endpoints = hosts.into_iter().enumerate().map(|(at, host)| Self {
            host,
            address: addresses.as_ref().map(|addresses| addresses[at]),
            port: ports[if ports.len() == 1 { 0 } else { at }],
        });
        Ok(endpoints.collect())
    }

    pub fn is_unix_socket(&self) -> bool {
        self.address.is_none() && self.host.starts_with('/')
    }

    /// The addresses to try, one connection each. `None` means the host itself. For a name that cannot be resolved,
    /// the result is `None`: tokio-postgres then reports the error.
    pub async fn addresses(&self, limit: Duration) -> Vec<Option<IpAddr>> {
        if self.is_unix_socket() || self.address.is_some() {
            return vec![self.address];
        }
        let Ok(Ok(found)) = tokio::time::timeout(limit, lookup_host((self.host.as_str(), self.port))).await else {
            return vec![None];
        };
        let mut addresses = Vec::new();
        for address in found.map(|socket| Some(socket.ip())).take(MAX_ADDRESSES) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() { vec![None] } else { addresses }
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// Opens an unencrypted stream.
    pub async fn wire(&self, address: Option<IpAddr>) -> io::Result<Wire> {
        if self.is_unix_socket() {
            return UnixStream::connect(self.to_string()).await.map(Wire::Unix);
        }
        match address {
            Some(address) => TcpStream::connect((address, self.port)).await.map(Wire::Tcp),
            None => TcpStream::connect((self.host.as_str(), self.port)).await.map(Wire::Tcp),
        }
    }

    /// `config` for this endpoint only.
    pub fn config(&self, config: &Config, address: Option<IpAddr>) -> Config {
        let mut config = config.clone();
        config.host(&self.host).port(self.port);
        if let Some(address) = address {
            config.hostaddr(address);
        }
        config
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            host if host.starts_with('/') => write!(out, "{host}/.s.PGSQL.{}", self.port),
            host if host.contains(':') => write!(out, "[{host}]:{}", self.port),
            host => write!(out, "{host}:{}", self.port),
        }
    }
}

fn or_default_host(host: &str) -> String {
    match host {
        "" if Path::new(SYSTEM_SOCKET).is_dir() => SYSTEM_SOCKET.into(),
        "" => "localhost".into(),
        host => host.into(),
    }
}

fn parse_addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    text.split(',').map(|address| address.parse().map_err(|_| "has a hostaddr that is no address".to_owned())).collect()
}

/// The error does not repeat the text: if a `/` in a password was not encoded, the text is part of the password.
fn parse_port(text: &str) -> Result<u16, String> {
    match text {
        "" => Ok(DEFAULT_PORT),
        text => text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
            "has a port that is no number from 1 to 65535 (write a / in a user or password as %2F)".to_owned()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(hosts: &str, addresses: &str, ports: &str) -> Result<Vec<String>, String> {
        let endpoints = Endpoint::list(Some(hosts), Some(addresses), Some(ports))?;
        Ok(endpoints.iter().map(|endpoint| format!("{endpoint} {:?}", endpoint.address)).collect())
    }

    #[test]
    fn one_port_serves_all_hosts_and_a_missing_one_is_5432() {
        assert_eq!(list("a,b", "", "7").unwrap(), ["a:7 None", "b:7 None"]);
        assert_eq!(list("a,b", "", "7,").unwrap(), ["a:7 None", "b:5432 None"]);
        assert_eq!(list("/run/pg,::1", "", "").unwrap(), ["/run/pg/.s.PGSQL.5432 None", "[::1]:5432 None"]);
    }

    #[test]
    fn an_address_alone_is_its_own_name() {
        assert_eq!(list("", "127.0.0.1", "").unwrap(), ["127.0.0.1:5432 Some(127.0.0.1)"]);
        assert_eq!(list("db", "127.0.0.1", "").unwrap(), ["db:5432 Some(127.0.0.1)"]);
    }

    #[test]
    fn lists_of_different_lengths_are_refused() {
        assert!(list("a,b", "127.0.0.1", "").is_err());
        assert!(list("a,b", "", "1,2,3").is_err());
        assert!(list("a", "", "1,2").is_err());
    }

    #[test]
    fn bad_ports_and_addresses_are_refused() {
        for port in ["x", "0", "65536", "-1", "secret"] {
            let problem = list("a", "", port).unwrap_err();
            assert!(!problem.contains("secret"));
        }
        assert!(list("a", "localhost", "").is_err());
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_and_each_host_has_a_port(
            hosts in r"[a-c/:.,0-9\PC]{0,30}",
            addresses in "[0-9a-f:.,]{0,30}",
            ports in "[0-9,]{0,20}",
        ) {
            if let Ok(endpoints) = Endpoint::list(Some(&hosts), Some(&addresses), Some(&ports)) {
                prop_assert!(!endpoints.is_empty() && endpoints.iter().all(|endpoint| endpoint.port > 0));
            }
        }
    }
}
