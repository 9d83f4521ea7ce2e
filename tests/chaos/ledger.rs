//! What was promised and what was done, kept outside of the queue.
//!
//! Producers write down each job before they send it and again when they have the answer; worker
//! processes append each start and end of a handler to a file of their own.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// Microseconds since 1970.
pub type Time = i64;

pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_micros()).expect("a clock of this age")
}

/// The words of the workers' files.
pub const STARTED: &str = "started";
pub const DONE: &str = "done";
/// Its future was dropped: the worker gave the attempt up, or stops.
pub const DROPPED: &str = "dropped";

/// What a producer knows of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its commit was acknowledged.
    Committed,
    /// Its answer was lost.
    Perhaps,
    /// It was rolled back, or never sent.
    Withdrawn,
}

/// A job and when it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub fate: Fate,
    pub at: Time,
    /// When its fate was known.
    pub answered: Option<Time>,
}

/// All jobs by key.
#[derive(Clone, Default)]
pub struct Enqueued(Arc<Mutex<HashMap<String, Sent>>>);

impl Enqueued {
    /// They are about to be sent: nothing may run that is not known.
    pub fn send(&self, keys: &[String]) {
        let sent = Sent { fate: Fate::Perhaps, at: now(), answered: None };
        self.0.lock().unwrap().extend(keys.iter().map(|key| (key.clone(), sent)));
    }

    pub fn answer(&self, keys: &[String], fate: Fate) {
        let mut all = self.0.lock().unwrap();
        for key in keys {
            let sent = all.get_mut(key).expect("what was sent");
            (sent.fate, sent.answered) = (fate, Some(now()));
        }
    }

    pub fn all(&self) -> HashMap<String, Sent> {
        self.0.lock().unwrap().clone()
    }

    /// How many were committed after this.
    pub fn committed_since(&self, time: Time) -> usize {
        let all = self.0.lock().unwrap();
        let since = |sent: &&Sent| sent.fate == Fate::Committed && sent.answered.is_some_and(|at| at > time);
        all.values().filter(since).count()
    }
}

/// One run of a handler, as its worker wrote it down.
#[derive(Clone, Debug)]
pub struct Run {
    pub key: String,
    pub attempt: i32,
    /// The worker's id: another one after it was declared dead.
    pub worker: Uuid,
    /// The worker process.
    pub process: String,
    pub start: Time,
    /// None where its process ended first.
    pub end: Option<Time>,
    pub done: bool,
}

/// The runs of one worker process. A kill can leave no half line: each was one write.
pub fn runs(process: &str, file: &Path) -> Vec<Run> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut runs = HashMap::<&str, Run>::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let at: Time = words[0].parse().expect(line);
        if words[1] == STARTED {
            let run = Run {
                key: words[3].to_owned(),
                attempt: words[4].parse().expect(line),
                worker: words[5].parse().expect(line),
                process: process.to_owned(),
                start: at,
                end: None,
                done: false,
            };
            runs.insert(words[2], run);
        } else {
            let run = runs.get_mut(words[2]).expect(line);
            run.end = Some(at);
            run.done = words[1] == DONE;
        }
    }
    runs.into_values().collect()
}
