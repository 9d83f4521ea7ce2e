//! Reading environment variables, in one way.
//!
//! Promises: white space around a value does not count, since secrets are mounted, and lists folded, with line breaks
//! at their ends; an empty variable counts as unset; no value appears in an error, because it may be a secret.

use std::env;

use clap::builder::{OsStr, Resettable};
use clap::{Arg, Command};

/// A variable that is not UTF-8.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not UTF-8; set it anew")]
pub struct NotUnicode(pub String);

/// The value of a variable.
pub(crate) fn variable(name: &str) -> Result<Option<String>, NotUnicode> {
    let Some(value) = env::var_os(name) else { return Ok(None) };
    let value = value.into_string().map_err(|_| NotUnicode(name.to_owned()))?;
    Ok(Some(value.trim().to_owned()).filter(|value| !value.is_empty()))
}

/// A boolean, in the words that flags accept. None for any other text.
pub(crate) fn boolish(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "y" | "yes" | "t" | "true" | "on" | "1" => Some(true),
        "n" | "no" | "f" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A command whose flags read their variables this way. clap itself accepts empty values.
pub(crate) fn tidied(command: Command) -> Command {
    command.mut_args(tidied_flag).mut_subcommands(tidied)
}

fn tidied_flag(flag: Arg) -> Arg {
    let Some(value) = flag.get_env().and_then(env::var_os) else { return flag };
    let Some(text) = value.to_str() else { return flag };
    match text.trim() {
        "" => flag.env(Resettable::<OsStr>::Reset),
        trimmed if trimmed.len() < text.len() => {
            let trimmed = trimmed.to_owned();
            flag.env(Resettable::<OsStr>::Reset).default_value(trimmed)
        }
        _ => flag,
    }
}
