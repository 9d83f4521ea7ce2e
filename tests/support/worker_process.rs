//! The real `worker` as a process.

use std::process::Command;

/// A command that starts `worker` with nothing of our own environment that it reads.
pub fn worker_command(database_url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    for (name, _) in std::env::vars() {
        if ["WORKER_", "S3_", "AWS_", "DATABASE_", "PG", "RUST_LOG"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.env("DATABASE_URL", database_url).env("LOG_FORMAT", "json");
    command
}
