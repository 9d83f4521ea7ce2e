//! The command line of `web`, and what it and the environment together ask for.

use std::env;
use std::net::SocketAddr;

use clap::Parser;

use super::access::{Token, check_bind};
use crate::app::ObjectStoreConfig;

/// Serves jobs, tablos and their files over HTTP, until SIGINT or SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "web", version, after_help = ENVIRONMENT)]
pub struct Args {
    /// Address and port to listen on; port 0 takes a free one, which the log line "web ready" tells
    #[arg(long, env = "WEB_BIND", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub bind: SocketAddr,

    /// Bring the schema up to date first
    #[arg(long, env = "WEB_MIGRATE")]
    pub migrate: bool,
}

const ENVIRONMENT: &str = "\
Environment:
  DATABASE_URL        Postgres URL or key=value string (required)
  WEB_TOKEN           every request but /healthz and /readyz then needs Authorization: Bearer TOKEN;
                      needed to listen on other than loopback addresses
  S3_ENDPOINT, S3_BUCKET, S3_REGION, S3_ACCESS_KEY, S3_SECRET_KEY, S3_USE_PATH_STYLE
                      the object store; without an endpoint and keys the AWS default chain is used
  LOG_FORMAT          json or pretty [default: pretty on a terminal, else json]
  RUST_LOG            what is logged [default: info]";

/// Settings that have been checked together.
pub(super) struct Settings {
    pub bind: SocketAddr,
    pub migrate: bool,
    pub database_url: String,
    pub token: Option<Token>,
    pub object_store: ObjectStoreConfig,
}

impl Settings {
    /// What the command line and the environment ask for.
    pub fn new(args: &Args) -> Result<Self, String> {
        let token = variable("WEB_TOKEN")?.as_deref().map(Token::new).transpose()?;
        check_bind(args.bind, token.as_ref())?;
        let database_url = variable("DATABASE_URL")?.filter(|url| !url.is_empty()).ok_or(
            "DATABASE_URL is not set: set it to a Postgres URL such as \
             postgres://user@localhost:5432/app, or start everything with scripts/dev",
        )?;
        let object_store = ObjectStoreConfig::from_env().map_err(|error| error.to_string())?;
        Ok(Self { bind: args.bind, migrate: args.migrate, database_url, token, object_store })
    }
}

fn variable(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(format!("{name} is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
