//! The worker processes. A killed one is replaced.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use super::ledger::{self, Run, Time};
use super::support::process::{Process, Signal};
use super::worker_process;

/// How long a worker may take to start while the database is in trouble, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Fleet {
    /// How the worker of each seat reaches the database, and whether its clock is skewed.
    seats: Vec<(String, bool)>,
    working: Mutex<Vec<Option<Working>>>,
    /// All processes there were, by name.
    names: Mutex<Vec<String>>,
    /// Where they record their runs.
    folder: TempDir,
    faketime: Option<PathBuf>,
}

struct Working {
    name: String,
    process: Process,
}

impl Fleet {
    /// Three workers: one plain, one that reaches the database through a proxy, and one with a clock
    /// hours ahead, where there is faketime.
    pub fn start(url: &str, proxied_url: &str) -> Self {
        let seats = vec![(url.to_owned(), false), (proxied_url.to_owned(), false), (url.to_owned(), true)];
        let fleet = Self {
            working: Mutex::new(seats.iter().map(|_| None).collect()),
            seats,
            names: Mutex::default(),
            folder: tempfile::tempdir().expect("a folder"),
            faketime: faketime(),
        };
        for seat in 0..fleet.len() {
            fleet.man(seat);
        }
        fleet
    }

    pub fn len(&self) -> usize {
        self.seats.len()
    }

    pub fn has_skewed_clock(&self) -> bool {
        self.faketime.is_some()
    }

    fn man(&self, seat: usize) {
        let (url, skewed) = &self.seats[seat];
        let mut names = self.names.lock().unwrap();
        let name = format!("worker-{seat}-{}", names.len());
        names.push(name.clone());
        let faketime = self.faketime.as_deref().filter(|_| *skewed);
        let process = Process::spawn(&mut worker_process::command(url, &self.folder.path().join(&name), faketime));
        self.working.lock().unwrap()[seat] = Some(Working { name, process });
    }

    /// Waits until the worker of each seat is ready.
    pub async fn until_ready(&self) {
        for seat in 0..self.len() {
            // Taken out, so that no lock is held while waiting.
            let working = self.working.lock().unwrap()[seat].take().expect("a worker");
            working.process.wait_for_event("worker ready", PATIENCE).await;
            self.working.lock().unwrap()[seat] = Some(working);
        }
    }

    /// The name of the process in this seat.
    pub fn name(&self, seat: usize) -> String {
        self.working.lock().unwrap()[seat].as_ref().expect("a worker").name.clone()
    }

    /// kill -9, and start a replacement. Returns the killed worker and the time.
    pub fn kill(&self, seat: usize) -> (String, Time) {
        let killed = self.working.lock().unwrap()[seat].take().expect("a worker");
        killed.process.signal(Signal::Kill);
        let at = ledger::now();
        let name = killed.name.clone();
        forget_shared_memory(killed.process.id());
        // Waits for its end.
        drop(killed);
        self.man(seat);
        (name, at)
    }

    /// Sends a signal to this process, if it is still in its seat.
    pub fn signal(&self, seat: usize, name: &str, signal: Signal) {
        let working = self.working.lock().unwrap();
        let working = working[seat].as_ref().expect("a worker");
        if working.name == name {
            working.process.signal(signal);
        }
    }

    /// The resident memory of each worker, in KiB.
    pub fn memory(&self) -> Vec<u64> {
        let working = self.working.lock().unwrap();
        working.iter().flatten().map(|working| resident_kib(working.process.id())).collect()
    }

    /// Stops all gracefully. Returns what went wrong.
    pub async fn stop(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let all: Vec<Working> = self.working.lock().unwrap().iter_mut().filter_map(Option::take).collect();
        for working in &all {
            working.process.signal(Signal::Terminate);
        }
        for Working { name, mut process } in all {
            let status = process.wait_for_exit(PATIENCE).await;
            if !status.success() {
                wrong.push(format!("{name} ended with {status}:\n{}", process.log()));
            }
        }
        wrong
    }

    /// All runs of all workers there were, in the order in which they started.
    pub fn runs(&self) -> Vec<Run> {
        let names = self.names.lock().unwrap();
        let mut runs: Vec<Run> =
            names.iter().flat_map(|name| ledger::runs(name, &self.folder.path().join(name))).collect();
        runs.sort_by_key(|run| run.start);
        runs
    }
}

/// The library of faketime, where it is installed.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let folders = folders.chain([PathBuf::from("/usr/lib64")]);
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.is_file())
}

/// What faketime leaves behind of a process that is killed.
fn forget_shared_memory(pid: u32) {
    for file in [format!("/dev/shm/faketime_shm_{pid}"), format!("/dev/shm/sem.faketime_sem_{pid}")] {
        let _ = std::fs::remove_file(file);
    }
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().expect("a number of kB")
}
