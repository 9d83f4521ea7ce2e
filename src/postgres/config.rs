//! The meaning of a database URL's options: a configuration of tokio-postgres, with our defaults.
//!
//! tokio-postgres does not know `verify-ca`, `verify-full` and `sslrootcert`, and reads `tcp_user_timeout` as
//! seconds. Promise: no error repeats the password.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, SslNegotiation, TargetSessionAttrs};

use super::endpoint::Endpoint;
use super::problem::Problem;
use super::tls::{Mode, Roots, Tls};
use super::url::{Setting, Settings};

/// The time limit per host, unless `connect_timeout` sets one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest `connect_timeout`, in seconds.
const MAX_CONNECT_TIMEOUT_SECONDS: u64 = 3600;
/// A dead server is detected after idle + interval × retries = 25 s …
const KEEPALIVES_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVES_RETRIES: u32 = 3;
/// … and after 15 s if sent data, including a keepalive, is not acknowledged.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);

/// Options that tokio-postgres reads as libpq does.
const PASSED_ON: [&str; 12] = [
    "application_name",
    "channel_binding",
    "dbname",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "sslnegotiation",
    "user",
];

/// Options that this module reads, for messages.
const READ_HERE: &str = "connect_timeout, gssencmode, host, hostaddr, keepalives_count, port, sslmode, sslrootcert, \
    target_session_attrs, tcp_user_timeout";
/// Unsupported options that are accepted if empty: some tools write all options that they know.
const MAY_BE_EMPTY: [&str; 5] = ["sslcert", "sslcrl", "sslcrldir", "sslkey", "sslpassword"];

/// A parsed URL.
#[derive(Clone)]
pub(super) struct Options {
    pub endpoints: Vec<Endpoint>,
    /// All but the endpoint.
    pub config: Config,
    pub tls: Tls,
    /// The time limit for one endpoint.
    pub limit: Duration,
}

impl Options {
    /// Parses a URL or a `key=value` string. The error is worded to follow the name of the variable.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let mut settings = Settings::parse(text)?;
        let list = |setting: Option<Setting>| setting.map(|setting| setting.value().to_owned());
        let (hosts, addresses, ports) = (settings.take("host"), settings.take("hostaddr"), settings.take("port"));
        let endpoints = Endpoint::list(list(hosts).as_deref(), list(addresses).as_deref(), list(ports).as_deref())?;
        let limit = connect_timeout(settings.take("connect_timeout").as_ref())?;
        let tcp_user_timeout = tcp_user_timeout(settings.take("tcp_user_timeout").as_ref())?;
        let keepalives_count = settings.take("keepalives_count");
        let session_attrs = session_attrs(settings.take("target_session_attrs").as_ref(), endpoints.len())?;
        let (mode, roots) = (ssl_mode(&mut settings)?, ssl_roots(&mut settings));
        no_gss(settings.take("gssencmode").as_ref())?;
        // The URL of a pool of sqlx has it, as in its tests. It is about the statements of sqlx.
        settings.take("statement-cache-capacity");

        let mut config = passed_on(&settings)?;
        let direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
        let tls = Tls::new(mode, roots.as_ref(), direct)?;
        let says = |key: &str| settings.iter().any(|setting| setting.key() == key);
        if !says("keepalives_idle") {
            config.keepalives_idle(KEEPALIVES_IDLE);
        }
        if !says("keepalives_interval") {
            config.keepalives_interval(KEEPALIVES_INTERVAL);
        }
        match keepalives_count {
            Some(count) => {
                config.keepalives_retries(number(&count)?);
            }
            None if !says("keepalives_retries") => {
                config.keepalives_retries(KEEPALIVES_RETRIES);
            }
            None => {}
        }
        if let Some(limit) = tcp_user_timeout {
            config.tcp_user_timeout(limit);
        }
        config.connect_timeout(limit).target_session_attrs(session_attrs).ssl_mode(match tls.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });
        Ok(Self { endpoints, config, tls, limit })
    }
}

/// The other options, parsed by tokio-postgres.
fn passed_on(settings: &Settings) -> Result<Config, Problem> {
    let mut pairs = String::new();
    let says_something = |setting: &&Setting| !(setting.value().is_empty() && MAY_BE_EMPTY.contains(&setting.key()));
    for setting in settings.iter().filter(says_something) {
        if !PASSED_ON.contains(&setting.key()) {
            return Err(not_supported(setting).into());
        }
        let value = setting.value().replace('\\', r"\\").replace('\'', r"\'");
        // Writing to a `String` does not fail.
        let _ = write!(pairs, "{}='{value}' ", setting.key());
    }
    pairs.parse().map_err(|error: tokio_postgres::Error| {
        // The cause names the option, never its value.
        let text = error.source().map_or_else(|| "invalid option".into(), ToString::to_string);
        Problem::from(format!("has an {text}")).caused_by(error)
    })
}

fn not_supported(setting: &Setting) -> String {
    let key = setting.shown_key();
    if key.starts_with("ssl") || key == "requiressl" {
        return format!("has {key}, which is not supported: of TLS there are sslmode, sslrootcert and sslnegotiation");
    }
    format!("has {key}, which is not supported: there are {}, {READ_HERE}", PASSED_ON.join(", "))
}

fn ssl_mode(settings: &mut Settings) -> Result<Option<Mode>, String> {
    // As in libpq, for URLs written for JDBC.
    let jdbc = settings.take("ssl");
    if let Some(setting) = jdbc.filter(|setting| setting.value() != "true") {
        return Err(format!("has {} for ssl: write sslmode=disable or sslmode=require", setting.shown_value()));
    }
    settings
        .take("sslmode")
        .map(|setting| {
            setting.value().parse().map_err(|()| {
                if setting.value() == "no-verify" {
                    // The name in node-postgres.
                    return "has \"no-verify\" for sslmode: write require, which encrypts and does not ask who answers"
                        .to_owned();
                }
                let value = setting.shown_value();
                format!("has {value} for sslmode: there are disable, prefer, require, verify-ca and verify-full")
            })
        })
        .transpose()
}

fn ssl_roots(settings: &mut Settings) -> Option<Roots> {
    settings.take("sslrootcert").filter(|setting| !setting.value().is_empty()).map(|setting| match setting.value() {
        "system" => Roots::System,
        path => Roots::File(path.to_owned()),
    })
}

/// Kerberos encryption is not supported. It may be disabled or left to the server.
fn no_gss(setting: Option<&Setting>) -> Result<(), String> {
    match setting {
        Some(setting) if !["", "disable", "prefer"].contains(&setting.value()) => {
            let value = setting.shown_value();
            Err(format!("has {value} for gssencmode, which is not supported: there are disable and prefer"))
        }
        _ => Ok(()),
    }
}

/// In seconds. In libpq, 0 and less mean no limit. Here they mean our default.
fn connect_timeout(setting: Option<&Setting>) -> Result<Duration, String> {
    match setting.map(number::<i64>).transpose()?.and_then(|seconds| u64::try_from(seconds).ok()) {
        None | Some(0) => Ok(CONNECT_TIMEOUT),
        Some(seconds) => Ok(Duration::from_secs(seconds.min(MAX_CONNECT_TIMEOUT_SECONDS))),
    }
}

/// In milliseconds, as in libpq. tokio-postgres reads seconds. 0 means the system's default.
fn tcp_user_timeout(setting: Option<&Setting>) -> Result<Option<Duration>, String> {
    match setting.map(number::<i32>).transpose()?.map(u64::try_from) {
        None => Ok(Some(TCP_USER_TIMEOUT)),
        Some(Err(_) | Ok(0)) => Ok(None),
        Some(Ok(milliseconds)) => Ok(Some(Duration::from_millis(milliseconds))),
    }
}

/// With several hosts, the default is one that accepts writes: a queue cannot use a standby.
fn session_attrs(setting: Option<&Setting>, hosts: usize) -> Result<TargetSessionAttrs, String> {
    match setting.map(Setting::value) {
        None if hosts > 1 => Ok(TargetSessionAttrs::ReadWrite),
        None | Some("any") => Ok(TargetSessionAttrs::Any),
        Some("read-write" | "primary") => Ok(TargetSessionAttrs::ReadWrite),
        Some("read-only") => Ok(TargetSessionAttrs::ReadOnly),
        Some(_) => {
            let value = setting.map(Setting::shown_value).unwrap_or_default();
            Err(format!("has {value} for target_session_attrs: there are any, read-write, primary and read-only"))
        }
    }
}

fn number<T: std::str::FromStr>(setting: &Setting) -> Result<T, String> {
    setting
        .value()
        .trim()
        .parse()
        .map_err(|_| format!("has {} for {}, which is no whole number in range", setting.shown_value(), setting.key()))
}

#[cfg(test)]
mod tests {
    use super::super::url::tests::{percent_encoded, quoted};
    use super::*;
    use crate::error_chain::causes;
    use proptest::prelude::*;

    fn parse(text: &str) -> Options {
        Options::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
    }

    fn problem(text: &str) -> String {
        Options::parse(text).err().unwrap_or_else(|| panic!("{text} was taken")).to_string()
    }

    #[test]
    fn a_silent_peer_is_noticed_unless_the_url_says_otherwise() {
        let config = parse("postgres://db").config;
        assert_eq!(config.get_keepalives_idle(), Duration::from_secs(10));
        assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(5)));
        assert_eq!(config.get_keepalives_retries(), Some(3));
        assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_secs(15)));

        let options = "keepalives_idle=60&keepalives_interval=20&keepalives_count=7&tcp_user_timeout=1500";
        let config = parse(&format!("postgres://db?{options}")).config;
        assert_eq!(config.get_keepalives_idle(), Duration::from_mins(1));
        assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(20)));
        assert_eq!(config.get_keepalives_retries(), Some(7));
        assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_millis(1500)));
        assert_eq!(parse("host=db tcp_user_timeout=0").config.get_tcp_user_timeout(), None);
    }

    #[test]
    fn the_connect_timeout_is_for_each_host_and_never_without_end() {
        assert_eq!(parse("host=db").limit, Duration::from_secs(5));
        assert_eq!(parse("host=db connect_timeout=0").limit, Duration::from_secs(5));
        assert_eq!(parse("host=a,b connect_timeout=2").limit, Duration::from_secs(2));
        assert_eq!(parse(&format!("host=a connect_timeout={}", i64::MAX)).limit, Duration::from_hours(1));
    }

    #[test]
    fn of_several_hosts_one_that_writes_is_wanted() {
        let attrs = |text: &str| parse(text).config.get_target_session_attrs();
        assert_eq!(attrs("host=a"), TargetSessionAttrs::Any);
        assert_eq!(attrs("host=a,b"), TargetSessionAttrs::ReadWrite);
        assert_eq!(attrs("host=a,b target_session_attrs=any"), TargetSessionAttrs::Any);
        assert_eq!(attrs("host=a target_session_attrs=primary"), TargetSessionAttrs::ReadWrite);
    }

    #[test]
    fn awkward_values_reach_tokio_postgres_whole() {
        let config = parse(r"postgres://o'neil:p%5C'%20q@db/a%20b?options=-c%20work_mem%3D1MB").config;
        assert_eq!(config.get_user(), Some("o'neil"));
        assert_eq!(config.get_password(), Some(br"p\' q".as_slice()));
        assert_eq!(config.get_dbname(), Some("a b"));
        assert_eq!(config.get_options(), Some("-c work_mem=1MB"));
    }

    #[test]
    fn the_ssl_modes_are_libpqs() {
        let mode = |text: &str| parse(text).tls.mode;
        assert_eq!(mode("host=a"), Mode::Prefer);
        assert_eq!(mode("host=a sslmode=verify-ca"), Mode::VerifyCa);
        assert_eq!(mode("postgres://a?sslmode=verify-full"), Mode::VerifyFull);
        assert_eq!(mode("postgres://a?sslrootcert=system"), Mode::VerifyFull);
        assert!(problem("host=a sslmode=verify").contains("\"verify\" for sslmode: there are disable"));
        assert!(problem("host=a sslmode=require sslrootcert=system").contains("verify-full"));
        assert!(problem("host=a sslcert=x").contains("sslcert, which is not supported"));
        assert!(problem("postgres://a?sslmod=x").contains("sslmod, which is not supported"));
        assert!(problem("host=a sslnegotiation=direct").contains("needs sslmode"));
    }

    #[test]
    fn what_tools_write_that_asks_for_nothing_is_taken() {
        for query in ["gssencmode=disable", "gssencmode=prefer", "sslcert=&sslkey=&sslpassword=&sslcrl=&sslrootcert="] {
            assert_eq!(parse(&format!("postgres://a?{query}")).tls.mode, Mode::Prefer);
        }
        assert_eq!(parse("host=a sslcert='' sslkey='' gssencmode=disable sslmode=require").tls.mode, Mode::Require);
        assert!(problem("host=a gssencmode=require").contains("\"require\" for gssencmode"));
        assert!(problem("host=a sslkey=x").contains("sslkey, which is not supported"));
        assert!(problem("host=a krbsrvname=x").contains("krbsrvname"));
        assert!(problem("postgres://a?sslmode=no-verify").contains("write require"));
    }

    #[test]
    fn a_bad_option_is_named() {
        assert!(problem("host=a user_name=x").contains("user_name, which is not supported"));
        assert!(problem("host=a connect_timeout=soon").contains("\"soon\" for connect_timeout"));
        assert!(problem("host=a keepalives=maybe").contains("invalid value for option `keepalives`"));
        assert!(problem("host=a channel_binding=x").contains("channel_binding"));
        assert!(problem("host=a target_session_attrs=standby").contains("\"standby\" for target_session_attrs"));
    }

    /// A valid or invalid option next to a password.
    fn option() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "sslmode=require",
            "sslmode=nonsense",
            "sslkey=x",
            "sslmode=no-verify",
            "gssencmode=require",
            "unknown=1",
            "port=x",
            "port=1,2",
            "connect_timeout=x",
            "target_session_attrs=x",
            "sslrootcert=/nowhere",
            "keepalives=x",
            "hostaddr=x",
        ])
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in r"(postgres://|host=)?[a-z0-9@:/?&=%,\[\]' \\é]{0,60}") {
            let _ = Options::parse(&text);
        }

        #[test]
        fn no_error_contains_the_password(
            secret in "SECRET[!-~]{0,12}SECRET",
            option in option(),
            encode in any::<bool>(),
        ) {
            let (in_url, in_pairs) = if encode { (percent_encoded(&secret), quoted(&secret)) } else { (secret.clone(), secret.clone()) };
            for text in [
                format!("postgres://u:{in_url}@h/db?{option}"),
                format!("postgres://h/db?{option}&password={in_url}"),
                format!("postgres://h/db?password={in_url}&{option}"),
                format!("postgre://u:{in_url}@h/db"),
                format!("u:{in_url}@h/db"),
                format!("host=h password={in_pairs} {option}"),
                format!("host=h {option} password={in_pairs}"),
                format!("host=h password= {in_pairs} {option}"),
            ] {
                if let Err(problem) = Options::parse(&text) {
                    let error = problem.of("DATABASE_URL");
                    let told = causes(&error).map(|cause| format!("{cause} {cause:?}")).collect::<Vec<_>>().join("\n");
                    prop_assert!(!told.contains("SECRET"), "{}: {}", text, told);
                }
            }
        }
    }
}
