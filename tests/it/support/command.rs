//! The `worker` binary run as a command, to its end and with a deadline.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longer than any command takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(2);

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit status.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The lines of its standard output as JSON.
    pub fn json(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// Fails the test unless it did what it was asked.
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.status, 0, "{self:?}");
        self
    }
}

/// The binary with these arguments and none of the environment of the test.
pub fn worker<A: AsRef<OsStr>>(database_url: &str, args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(args);
    clean(&mut command).env("DATABASE_URL", database_url);
    command
}

/// A pipeline of bash in which `worker` is the binary.
pub fn bash(database_url: &str, script: &str) -> Command {
    let mut command = Command::new("bash");
    let function = format!("worker() {{ '{}' \"$@\"; }}\n", env!("CARGO_BIN_EXE_worker"));
    command.args(["-c", &(function + script)]);
    clean(&mut command).env("DATABASE_URL", database_url);
    command
}

/// Runs it to its end.
#[track_caller]
pub fn run(command: Command) -> Ran {
    run_with_input(command, b"")
}

/// Runs it to its end with this standard input.
#[track_caller]
pub fn run_with_input(mut command: Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    // A command that refuses its input closes it early.
    std::thread::spawn(move || drop(stdin.write_all(&input)));
    end(child)
}

/// Waits for the end of a child whose output is piped.
#[track_caller]
pub fn end(child: Child) -> Ran {
    let pid = child.id().to_string();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || drop(tell.send(child.wait_with_output())));
    let Ok(output) = told.recv_timeout(DEADLINE) else {
        let _ = Command::new("kill").args(["-KILL", &pid]).status();
        panic!("the command has not ended within {DEADLINE:?}");
    };
    let Output { status, stdout, stderr } = output.expect("output");
    Ran {
        status: status.code().unwrap_or_else(|| panic!("ended by a signal: {status:?}")),
        stdout: String::from_utf8(stdout).expect("UTF-8 on standard output"),
        stderr: String::from_utf8(stderr).expect("UTF-8 on standard error"),
    }
}

fn clean(command: &mut Command) -> &mut Command {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default())
}

/// Waits until a process catches SIGINT and SIGTERM.
#[track_caller]
pub fn wait_until_signals_are_caught(pid: u32) {
    let (interrupt, terminate) = (1_u64 << 1, 1_u64 << 14);
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("SigCgt");
        let caught = u64::from_str_radix(caught.trim(), 16).expect("hexadecimal");
        if caught & interrupt != 0 && caught & terminate != 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("process {pid} does not catch signals");
}
