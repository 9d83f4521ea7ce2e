//! clap's errors in this program's words.
//!
//! Adds the environment variable that a bad value came from, and the argument or variable that is not UTF-8.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::exit;

/// Prints help, version or the error. Returns the exit status.
pub(super) fn tell(error: &clap::Error, command: &clap::Command, typed: &[OsString]) -> u8 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // If nobody reads the help any more, there is nothing left to do.
            let _ = error.print();
            return exit::DONE;
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
        }
        ErrorKind::InvalidUtf8 => {
            let culprit = not_utf8(command, typed).unwrap_or_else(|| "an argument".to_owned());
            let _ = writeln!(io::stderr(), "worker: {culprit} is not UTF-8; write it in UTF-8");
        }
        _ => {
            let rendered = error.to_string();
            let text = rendered.strip_prefix("error: ").unwrap_or(&rendered).trim_end();
            let _ = writeln!(io::stderr(), "worker: {text}");
            if let Some(variable) = variable_behind(error, command, typed) {
                let _ = writeln!(io::stderr(), "\nThe value comes from the environment variable {variable}.");
            }
        }
    }
    exit::USAGE
}

/// The variable that a bad value was read from: the flag's, if the flag was not given.
fn variable_behind(error: &clap::Error, command: &clap::Command, typed: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return None };
    // As clap prints it: `--lease <DURATION>`.
    let flag = argument.split(' ').next()?;
    let was_typed = |word: &OsString| {
        let word = word.to_string_lossy();
        word == flag || word.starts_with(&format!("{flag}="))
    };
    if typed.iter().any(was_typed) {
        return None;
    }
    let long = flag.strip_prefix("--")?;
    let used = invoked(command, typed)?;
    let variable = used.get_arguments().find(|arg| arg.get_long() == Some(long))?.get_env()?;
    env::var_os(variable).map(|_| variable.to_string_lossy().into_owned())
}

/// Names the first argument or variable that is not UTF-8.
fn not_utf8(command: &clap::Command, typed: &[OsString]) -> Option<String> {
    for (at, word) in typed.iter().enumerate() {
        if word.to_str().is_none() {
            let before = typed.get(at.wrapping_sub(1)).and_then(|before| before.to_str());
            let flag = before.filter(|before| before.starts_with("--")).map(|flag| format!(", after {flag},"));
            return Some(format!("argument {at}, {:?}{}", word.to_string_lossy(), flag.unwrap_or_default()));
        }
    }
    invoked(command, typed)?.get_arguments().find_map(|arg| {
        let variable = arg.get_env()?;
        env::var_os(variable)?.to_str().is_none().then(|| {
            let flag = arg.get_long().map(|long| format!(" (for --{long})")).unwrap_or_default();
            format!("the environment variable {}{flag}", variable.to_string_lossy())
        })
    })
}

/// The subcommand that was given.
fn invoked<'c>(command: &'c clap::Command, typed: &[OsString]) -> Option<&'c clap::Command> {
    typed.iter().skip(1).filter_map(|word| word.to_str()).find_map(|word| command.find_subcommand(word))
}
