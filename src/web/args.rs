//! The command line of `web`, and the settings from it and the environment.

use std::net::SocketAddr;

use clap::builder::BoolishValueParser;
use clap::{CommandFactory, FromArgMatches, Parser};

use super::access::{Access, Token, check_bind};
use crate::app::ObjectStoreConfig;
use crate::postgres::Schema;
use crate::program::environment::{self, NotUnicode};

/// Serves jobs, tablos and their files over HTTP, until SIGINT or SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "web", version, after_help = ENVIRONMENT)]
pub struct Args {
    /// Address and port to listen on; port 0 takes a free one, which the log line "web ready" shows
    #[arg(long, env = "WEB_BIND", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub bind: SocketAddr,

    /// Names under which a service without a token may be asked for, beside localhost and loopback addresses
    #[arg(long, env = "WEB_HOSTS", value_name = "HOST,…", value_delimiter = ',')]
    pub hosts: Vec<String>,

    /// Bring the schema up to date first
    #[arg(long, env = "WEB_MIGRATE", value_parser = BoolishValueParser::new())]
    pub migrate: bool,
}

const ENVIRONMENT: &str = "\
Environment:
  DATABASE_URL        Postgres URL or key=value string (required)
  DATABASE_LISTEN_URL direct URL for --migrate, where DATABASE_URL goes through a pooler
  POSTRIDER_SCHEMA    schema of the queue [default: postrider]
  WEB_TOKEN           every request but /healthz and /readyz then needs Authorization: Bearer TOKEN;
                      needed to listen on other than loopback addresses
  S3_ENDPOINT, S3_BUCKET, S3_REGION, S3_ACCESS_KEY, S3_SECRET_KEY, S3_USE_PATH_STYLE
                      the object store; without an endpoint and keys the AWS default chain is used
  LOG_FORMAT          json or pretty [default: pretty on a terminal, else json]
  RUST_LOG            what is logged [default: info]";

/// Settings, checked together.
pub(super) struct Settings {
    pub bind: SocketAddr,
    pub migrate: bool,
    pub database_url: String,
    pub listen_url: Option<String>,
    pub schema: Schema,
    pub access: Access,
    pub object_store: ObjectStoreConfig,
}

impl Args {
    /// Parses the command line and the environment. Ends the process on an error or for the help.
    #[must_use]
    pub fn read() -> Self {
        let matches = environment::tidied(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

impl Settings {
    /// Checks the settings of the command line and the environment.
    pub fn new(args: &Args) -> Result<Self, String> {
        let variable = |name| environment::variable(name).map_err(|error: NotUnicode| error.to_string());
        let token = variable("WEB_TOKEN")?.as_deref().map(Token::new).transpose()?;
        check_bind(args.bind, token.as_ref())?;
        let database_url = variable("DATABASE_URL")?.ok_or(
            "DATABASE_URL is not set: set it to a Postgres URL such as \
             postgres://user@localhost:5432/app, or start everything with scripts/dev",
        )?;
        let hosts = args.hosts.iter().map(|host| host.trim().to_owned()).filter(|host| !host.is_empty()).collect();
        let access = Access { token, hosts: Some(hosts) };
        let listen_url = variable("DATABASE_LISTEN_URL")?;
        let schema = variable("POSTRIDER_SCHEMA")?.as_deref().map_or_else(|| Ok(Schema::default()), Schema::new);
        let schema = schema.map_err(|error| format!("POSTRIDER_SCHEMA: {error}"))?;
        let object_store = ObjectStoreConfig::from_env().map_err(|error| error.to_string())?;
        Ok(Self { bind: args.bind, migrate: args.migrate, database_url, listen_url, schema, access, object_store })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
