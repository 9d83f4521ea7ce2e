//! A program of ours, run as a process and watched through its output.
//!
//! Promises: every wait has a deadline and fails with all that the process has said; the process
//! is killed when the test lets go of it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;

/// A running process.
pub struct Process {
    name: String,
    child: Child,
    stdout: Arc<Output>,
    stderr: Arc<Output>,
}

/// What a process wrote to one of its streams, line by line.
#[derive(Default)]
struct Output {
    written: Mutex<Written>,
    changed: Notify,
    stopped: Mutex<bool>,
    resumed: Condvar,
}

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    ended: bool,
}

/// A signal.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    Interrupt,
    Terminate,
    HangUp,
    Kill,
    Stop,
    Continue,
}

impl Process {
    /// Starts `command` with both output streams captured and nothing to read.
    pub fn spawn(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let stdout = Output::follow(child.stdout.take().expect("piped"));
        let stderr = Output::follow(child.stderr.take().expect("piped"));
        Self { name, child, stdout, stderr }
    }

    /// From now on its log is not read: what it writes fills the pipe, and then waits.
    pub fn stop_reading_the_log(&self) {
        self.stderr.stop_reading(true);
    }

    /// The log is read again.
    pub fn read_the_log(&self) {
        self.stderr.stop_reading(false);
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line on standard error, past or to come, that `predicate` accepts.
    pub async fn wait_for_line(&self, predicate: impl Fn(&str) -> bool, deadline: Duration) -> String {
        let found = self.stderr.wait(deadline, |written| written.lines.iter().find(|line| predicate(line)).cloned());
        found.await.unwrap_or_else(|why| panic!("{}: no such line: {why}\n{}", self.name, self.log()))
    }

    /// The first event with this message in the log, which must be in the format `json`.
    pub async fn wait_for_event(&self, message: &str, deadline: Duration) -> Value {
        self.wait_for_nth_event(message, 1, deadline).await
    }

    /// As [`Process::wait_for_event`], the `nth` one (1 is the first).
    pub async fn wait_for_nth_event(&self, message: &str, nth: usize, deadline: Duration) -> Value {
        let found = self.stderr.wait(deadline, |written| events(&written.lines, message).nth(nth - 1));
        found.await.unwrap_or_else(|why| panic!("{}: no {nth}. event {message:?}: {why}\n{}", self.name, self.log()))
    }

    /// All events so far with this message.
    pub fn events(&self, message: &str) -> Vec<Value> {
        events(&self.stderr.written.lock().unwrap().lines, message).collect()
    }

    /// Standard error so far.
    pub fn log(&self) -> String {
        self.stderr.written.lock().unwrap().lines.join("\n")
    }

    /// Standard output so far.
    pub fn output(&self) -> Vec<String> {
        self.stdout.written.lock().unwrap().lines.clone()
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.id(), signal);
    }

    /// How it ended. Both output streams are complete then.
    pub async fn wait_for_exit(&mut self, deadline: Duration) -> ExitStatus {
        let ended = async {
            self.stdout.wait(deadline, |written| written.ended.then_some(())).await?;
            self.stderr.wait(deadline, |written| written.ended.then_some(())).await
        };
        if let Err(why) = ended.await {
            panic!("{} does not end: {why}\n{}", self.name, self.log());
        }
        // Its streams are closed, so this takes no time to speak of.
        self.child.wait().expect("its status")
    }

    /// As [`Self::wait_for_exit`], while its log is not read.
    pub async fn wait_for_exit_unread(&mut self, deadline: Duration) -> ExitStatus {
        let name = self.name.clone();
        let child = std::cell::RefCell::new(&mut self.child);
        super::wait::until(&format!("{name} ends"), deadline, async || {
            child.borrow_mut().try_wait().expect("its status")
        })
        .await
    }
}

/// Sends a signal to any process.
pub fn kill(pid: u32, signal: Signal) {
    let name = match signal {
        Signal::Interrupt => "INT",
        Signal::Terminate => "TERM",
        Signal::HangUp => "HUP",
        Signal::Kill => "KILL",
        Signal::Stop => "STOP",
        Signal::Continue => "CONT",
    };
    // The shell's own `kill`: not every machine has one as a program.
    let sent = Command::new("sh").args(["-c", "kill -$0 $1", name, &pid.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "SIG{name} cannot be sent to {pid}");
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    /// Reads a stream to its end on a thread of its own.
    fn follow(stream: impl Read + Send + 'static) -> Arc<Self> {
        let output = Arc::new(Self::default());
        let followed = Arc::clone(&output);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while followed.may_read() && reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                followed.written.lock().unwrap().lines.push(text);
                followed.changed.notify_waiters();
                line.clear();
            }
            followed.written.lock().unwrap().ended = true;
            followed.changed.notify_waiters();
        });
        output
    }

    /// Waits while reading is stopped.
    fn may_read(&self) -> bool {
        let stopped = self.stopped.lock().unwrap();
        drop(self.resumed.wait_while(stopped, |stopped| *stopped).unwrap());
        true
    }

    fn stop_reading(&self, stop: bool) {
        *self.stopped.lock().unwrap() = stop;
        self.resumed.notify_all();
    }

    /// What `look` finds, now or after more output.
    async fn wait<T>(&self, deadline: Duration, look: impl Fn(&Written) -> Option<T>) -> Result<T, String> {
        let found = async {
            loop {
                // Registered before the check, so that no change is missed.
                let changed = self.changed.notified();
                let mut changed = std::pin::pin!(changed);
                changed.as_mut().enable();
                let ended = {
                    let written = self.written.lock().unwrap();
                    if let Some(found) = look(&written) {
                        return Ok(found);
                    }
                    written.ended
                };
                if ended {
                    return Err("the process has ended".to_owned());
                }
                changed.await;
            }
        };
        timeout(deadline, found).await.unwrap_or_else(|_| Err(format!("within {} ms", deadline.as_millis())))
    }
}

fn events<'l>(lines: &'l [String], message: &'l str) -> impl Iterator<Item = Value> + 'l {
    lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(move |event| event["message"] == message)
}
