//! The log: where it goes and how it looks.
//!
//! Promises: it goes to standard error, one event a line, whatever an event holds; standard
//! output stays free for data; colour only on a terminal, and not where `NO_COLOR` is set. It
//! decides nothing about what is logged: that is for `RUST_LOG` and for who logs.

use std::env;
use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// The filter where `RUST_LOG` says nothing.
const DEFAULT_FILTER: &str = "info";

/// A setting of the log that cannot be used. A mistake in usage: exit status 2.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoggingError {
    /// `LOG_FORMAT` is something else.
    #[error("LOG_FORMAT is {0:?}: set it to json or pretty, or leave it unset (pretty on a terminal, else json)")]
    Format(String),
    /// `RUST_LOG` is not a filter.
    #[error(
        "RUST_LOG is {value:?}, which is not a filter ({source}): set it to a level or to TARGET=LEVEL,… such as info,postrider=debug"
    )]
    Filter {
        /// What it says.
        value: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A variable is not UTF-8.
    #[error("{0} is not UTF-8")]
    NotUnicode(&'static str),
    /// The process has a log already.
    #[error("the log is set up already")]
    Twice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Pretty,
}

/// Sets the log of the process up, as `LOG_FORMAT` (`json` or `pretty`; default: `pretty` where
/// standard error is a terminal, else `json`) and `RUST_LOG` (default `info`) say.
///
/// An event in JSON is one object with `timestamp`, `level`, `message`, `target` and the event's
/// fields side by side; the span it happened in is under `span`.
///
/// # Errors
/// [`LoggingError`], where one of them cannot be used, or the log was set up before.
pub fn init() -> Result<(), LoggingError> {
    let on_terminal = io::stderr().is_terminal();
    let format = match variable("LOG_FORMAT")? {
        Some(name) => named(name)?,
        None if on_terminal => Format::Pretty,
        None => Format::Json,
    };
    let filter = filter(variable("RUST_LOG")?.unwrap_or_else(|| DEFAULT_FILTER.to_owned()))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(LineWriter::default);
    match format {
        Format::Json => log.json().flatten_event(true).with_span_list(false).with_ansi(false).try_init(),
        Format::Pretty => {
            let colour = on_terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            log.with_ansi(colour).try_init()
        }
    }
    .map_err(|_| LoggingError::Twice)
}

/// An environment variable; one that is empty counts as unset.
fn variable(name: &'static str) -> Result<Option<String>, LoggingError> {
    let Some(value) = env::var_os(name) else { return Ok(None) };
    let value = value.into_string().map_err(|_| LoggingError::NotUnicode(name))?;
    Ok(Some(value).filter(|value| !value.is_empty()))
}

fn named(name: String) -> Result<Format, LoggingError> {
    match name.as_str() {
        "json" => Ok(Format::Json),
        "pretty" => Ok(Format::Pretty),
        _ => Err(LoggingError::Format(name)),
    }
}

fn filter(value: String) -> Result<EnvFilter, LoggingError> {
    EnvFilter::builder().parse(&value).map_err(|source| LoggingError::Filter { value, source })
}

/// Collects one event and writes it to standard error in one piece when dropped, with line
/// breaks inside it made visible, so that one event is one line also when its error text has
/// several, and lines of several threads never mix.
#[derive(Default)]
struct LineWriter(Vec<u8>);

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        let event = self.0.strip_suffix(b"\n").unwrap_or(&self.0);
        if event.is_empty() {
            return;
        }
        // Nobody is left to tell when standard error is gone.
        let _ = io::stderr().write_all(&one_line(event));
    }
}

fn one_line(event: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(event.len() + 1);
    for byte in event {
        match byte {
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            other => line.push(*other),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        assert_eq!(one_line(b"first\nsecond\r"), b"first\\nsecond\\r\n");
    }

    #[test]
    fn only_json_and_pretty_are_formats_and_the_error_says_so() {
        assert_eq!(named("json".into()).ok(), Some(Format::Json));
        assert_eq!(named("pretty".into()).ok(), Some(Format::Pretty));
        let error = named("xml".into()).unwrap_err().to_string();
        assert!(error.contains("LOG_FORMAT") && error.contains("xml") && error.contains("pretty"), "{error}");
    }

    #[test]
    fn a_filter_that_does_not_parse_is_named() {
        assert!(filter("info,postrider=debug".into()).is_ok());
        let error = filter("postrider=loud".into()).unwrap_err().to_string();
        assert!(error.contains("RUST_LOG") && error.contains("loud"), "{error}");
    }
}
