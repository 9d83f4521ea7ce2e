//! The log: its destination and format.
//!
//! Promises: it goes to standard error, one event a line, whatever an event contains; standard output stays free for
//! data; colour only on a terminal, and never with `NO_COLOR`. Logging never blocks: events go through a buffer to a
//! thread that writes them, and are dropped while it is full. `log lines dropped` reports that once there is room.
//! What is logged is decided by `RUST_LOG` and by the callers.

use std::io::{self, IsTerminal, Write};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};

use super::environment::{NotUnicode, variable};
use super::visible::{is_unsafe, json_escape};

/// The filter without `RUST_LOG`.
const DEFAULT_FILTER: &str = "info";
/// The most buffered lines.
const BUFFERED_LINES: usize = 4_096;
/// The most buffered bytes, 16 MiB. A line has a few hundred, that of a panicked job up to 20,000.
const BUFFERED_BYTES: usize = 16 * 1024 * 1024;
/// How often dropped lines are reported while more are dropped.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A bad setting of the log: wrong usage, exit status 2.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoggingError {
    /// `LOG_FORMAT` has an unknown value.
    #[error("LOG_FORMAT is {0:?}: set it to json or pretty, or leave it unset (pretty on a terminal, else json)")]
    Format(String),
    /// `RUST_LOG` is not a filter.
    #[error(
        "RUST_LOG is {value:?}, which is not a filter ({source}): set it to a level or to TARGET=LEVEL,… such as info,postrider=debug"
    )]
    Filter {
        /// Its value.
        value: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// `RUST_LOG` has a word that is no level and is hardly meant as a target.
    #[error("RUST_LOG has {word:?}, which is not a level: write {meant}, or TARGET=LEVEL for a target of that name")]
    Level {
        /// The word.
        word: String,
        /// The level that is probably meant.
        meant: LevelFilter,
    },
    /// A variable is not UTF-8.
    #[error(transparent)]
    NotUnicode(#[from] NotUnicode),
    /// The process has set up a log already.
    #[error("the log is set up already")]
    Twice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Pretty,
}

/// How long the reader may take at the end.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(1);

/// Keeps the log running. On drop, buffered lines are still written, for a second at most.
#[must_use]
pub struct Log {
    lines: Arc<Lines>,
    // Never dropped: it would print to standard output, which is for data.
    _thread: ManuallyDrop<WorkerGuard>,
}

impl Drop for Log {
    fn drop(&mut self) {
        let began = Instant::now();
        while self.lines.wait() && began.elapsed() < LAST_LINES_WITHIN {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The buffered lines, and the number of dropped ones.
#[derive(Default)]
struct Lines {
    waiting: AtomicUsize,
    bytes: AtomicUsize,
    dropped: AtomicUsize,
}

impl Lines {
    /// Reserves room for a line. Without room, counts it as dropped.
    fn add(&self, bytes: usize) -> bool {
        let lines_before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        let has_room = lines_before < BUFFERED_LINES && bytes_before.saturating_add(bytes) <= BUFFERED_BYTES;
        if !has_room {
            self.written(bytes);
            self.dropped.fetch_add(1, Ordering::AcqRel);
        }
        has_room
    }

    fn written(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Acquire)
    }

    fn wait(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }
}

/// Sets up the log of the process, by `LOG_FORMAT` (`json` or `pretty`; default: `pretty` if standard error is a
/// terminal, else `json`) and `RUST_LOG` (default `info`). Panics are logged, too.
///
/// An event in JSON is one object with `timestamp`, `level`, `message`, `target` and the event's fields side by side.
/// Its span is under `span`.
///
/// # Errors
/// [`LoggingError`] if a setting is bad, or the log was set up before.
pub fn init() -> Result<Log, LoggingError> {
    let on_terminal = io::stderr().is_terminal();
    let format = match variable("LOG_FORMAT")? {
        Some(name) => named(name)?,
        None if on_terminal => Format::Pretty,
        None => Format::Json,
    };
    let filter = filter(variable("RUST_LOG")?.unwrap_or_else(|| DEFAULT_FILTER.to_owned()))?;
    let lines = Arc::new(Lines::default());
    let (out, guard) = NonBlockingBuilder::default()
        .lossy(true)
        // Never full: `Lines` counts what is in it, and refuses more before.
        .buffered_lines_limit(BUFFERED_LINES + 1)
        .thread_name("log")
        .finish(StandardError { lines: Arc::clone(&lines), reported: 0, reported_at: None });
    let has_colour = format == Format::Pretty && on_terminal && matches!(variable("NO_COLOR"), Ok(None));
    let look = Look { format, has_colour };
    let sent = Arc::clone(&lines);
    let line = move || LineWriter { event: Vec::new(), look, out: out.clone(), lines: Arc::clone(&sent) };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(line).with_ansi(has_colour);
    match format {
        Format::Json => log.json().flatten_event(true).with_span_list(false).try_init(),
        Format::Pretty => log.try_init(),
    }
    .map_err(|_| LoggingError::Twice)?;
    // The usual hook writes to standard error itself, and would block.
    std::panic::set_hook(Box::new(|panic| {
        // The panic of an attempt is in the log line about its job.
        if crate::worker::is_in_attempt() {
            return;
        }
        let trace = std::backtrace::Backtrace::force_capture();
        tracing::error!(%panic, %trace, "a thread panicked");
    }));
    Ok(Log { lines, _thread: ManuallyDrop::new(guard) })
}

fn named(name: String) -> Result<Format, LoggingError> {
    match name.as_str() {
        "json" => Ok(Format::Json),
        "pretty" => Ok(Format::Pretty),
        _ => Err(LoggingError::Format(name)),
    }
}

fn filter(value: String) -> Result<EnvFilter, LoggingError> {
    // A single word that is no level is a target: that target alone would be logged.
    for word in value.split(',').map(str::trim) {
        if let Some(meant) = misspelt_level(word) {
            return Err(LoggingError::Level { word: word.to_owned(), meant });
        }
    }
    EnvFilter::builder().parse(&value).map_err(|source| LoggingError::Filter { value, source })
}

/// The level that a single word probably means.
fn misspelt_level(word: &str) -> Option<LevelFilter> {
    let word = word.to_ascii_lowercase();
    if word.is_empty() || !word.chars().all(|c| c.is_ascii_alphabetic()) || word.parse::<LevelFilter>().is_ok() {
        return None;
    }
    match word.as_str() {
        "warning" | "warnings" => return Some(LevelFilter::WARN),
        "information" | "notice" => return Some(LevelFilter::INFO),
        "debugging" | "verbose" => return Some(LevelFilter::DEBUG),
        "err" | "errors" | "fatal" | "critical" => return Some(LevelFilter::ERROR),
        "none" | "quiet" | "silent" => return Some(LevelFilter::OFF),
        "all" | "tracing" => return Some(LevelFilter::TRACE),
        _ => {}
    }
    let levels = [LevelFilter::ERROR, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE];
    levels.into_iter().find(|level| strsim::damerau_levenshtein(&level.to_string(), &word) == 1)
}

/// The format of a line.
#[derive(Clone, Copy)]
struct Look {
    format: Format,
    /// Whether the format adds colours by escape sequences. It has already escaped the values.
    has_colour: bool,
}

impl Look {
    /// An event on one line, with characters escaped that a terminal might act on.
    fn one_line(self, event: &[u8]) -> String {
        let event = String::from_utf8_lossy(event);
        let mut line = String::with_capacity(event.len() + 1);
        for character in event.chars() {
            match character {
                '\u{1b}' if self.has_colour => line.push(character),
                other if !is_unsafe(other) => line.push(other),
                unsafe_one if self.format == Format::Json => line.push_str(&json_escape(unsafe_one)),
                unsafe_one => line.extend(unsafe_one.escape_default()),
            }
        }
        line.push('\n');
        line
    }
}

/// Collects one event, and hands it on as one line on drop, if there is room.
struct LineWriter {
    event: Vec<u8>,
    look: Look,
    out: NonBlocking,
    lines: Arc<Lines>,
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.event.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        let event = self.event.strip_suffix(b"\n").unwrap_or(&self.event);
        if event.is_empty() {
            return;
        }
        let line = self.look.one_line(event);
        if self.lines.add(line.len()) {
            let _ = self.out.write_all(line.as_bytes());
        }
    }
}

/// Standard error, on the log's own thread.
struct StandardError {
    lines: Arc<Lines>,
    /// How many dropped lines were reported, and when.
    reported: usize,
    reported_at: Option<Instant>,
}

impl StandardError {
    fn report_dropped(&mut self) {
        let dropped = self.lines.dropped();
        if dropped == self.reported {
            return;
        }
        tracing::warn!(count = dropped - self.reported, "log lines dropped");
        // Unless this line was dropped, too.
        if self.lines.dropped() == dropped {
            self.reported = dropped;
            self.reported_at = Some(Instant::now());
        }
    }
}

impl Write for StandardError {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Standard error is gone, so there is no place to report it.
        let _ = io::stderr().write_all(line);
        // Not for each line: that would take the room of others.
        if self.reported_at.is_none_or(|told_at| told_at.elapsed() >= TELL_EVERY) {
            self.report_dropped();
        }
        self.lines.written(line.len());
        Ok(line.len())
    }

    /// Called when no line is buffered.
    fn flush(&mut self) -> io::Result<()> {
        self.report_dropped();
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const JSON: Look = Look { format: Format::Json, has_colour: false };
    const PLAIN: Look = Look { format: Format::Pretty, has_colour: false };
    const COLOURED: Look = Look { format: Format::Pretty, has_colour: true };

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        assert_eq!(PLAIN.one_line(b"first\nsecond\r"), "first\\nsecond\\r\n");
    }

    #[test]
    fn more_than_the_buffer_holds_is_counted_and_dropped() {
        let lines = Lines::default();
        assert!(lines.add(BUFFERED_BYTES) && !lines.add(1));
        assert_eq!((lines.dropped(), lines.wait()), (1, true));
        lines.written(BUFFERED_BYTES);
        assert!(!lines.wait());
        assert!((0..BUFFERED_LINES).all(|_| lines.add(1)) && !lines.add(1));
        assert_eq!(lines.dropped(), 2);
    }

    #[test]
    fn what_a_terminal_might_act_on_is_escaped_and_json_stays_json() {
        let event = serde_json::json!({"error": "a\u{202e}b\u{9b}31m\u{e0041}c \u{1f418}"}).to_string();
        let line = JSON.one_line(event.as_bytes());
        assert_eq!(line, "{\"error\":\"a\\u202eb\\u009b31m\\udb40\\udc41c \u{1f418}\"}\n");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap().to_string(), event);
    }

    #[test]
    fn only_the_colours_of_the_format_itself_are_sent_to_a_terminal() {
        let event = "\u{1b}[32m INFO\u{1b}[0m a\u{7f}b\u{e}c\u{202e}\u{9b}31m".as_bytes();
        assert_eq!(COLOURED.one_line(event), "\u{1b}[32m INFO\u{1b}[0m a\\u{7f}b\\u{e}c\\u{202e}\\u{9b}31m\n");
        assert!(!PLAIN.one_line(event).trim_end().contains(is_unsafe));
        let line = JSON.one_line(serde_json::json!({"error": "a\u{7f}b"}).to_string().as_bytes());
        assert_eq!(line, "{\"error\":\"a\\u007fb\"}\n");
    }

    #[test]
    fn a_misspelt_level_silences_nothing_but_is_named() {
        for (word, meant) in
            [("warning", "warn"), ("WARNING", "warn"), ("inf", "info"), ("debgu", "debug"), ("none", "off")]
        {
            let error = filter(format!("info,{word}")).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains(&format!("write {meant}")), "{error}");
        }
        for good in ["off", "INFO", "postrider", "hyper", "aws_config", "postrider::worker", "tower=warn", ""] {
            assert!(filter(good.to_owned()).is_ok(), "{good}");
        }
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
