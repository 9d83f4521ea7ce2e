//! What a run has shown: the ledger held against the queue, and what was left behind.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use postrider::{JobId, admin};
use tokio_postgres::Client;

use super::faults::Fault;
use super::history::{Finish, finished};
use super::ledger::{self, Fate, Run, Sent, Time};
use super::scene::{Cut, Injected, Scene};
use super::worker_process::LEASE;

/// A killed worker's jobs run again within this, where nothing else interferes.
const LONGEST_RERUN: Duration = Duration::from_secs(20);

/// What a worker that has lived through all of it may have of memory.
const MOST_MEMORY_KIB: u64 = 150 * 1024;

/// For how long after the loss of an answer a worker looks for jobs of which it was not told, and a
/// round of its looks.
const DOUBT: Duration = Duration::from_secs(13);

/// How long sessions and leases may take to be gone.
const SETTLE: Duration = Duration::from_secs(20);

#[derive(Default)]
pub struct Verdict {
    /// Lines that say what was wrong. Empty is what is wanted.
    pub breaches: Vec<String>,
    pub injected: Vec<Injected>,
    pub fates: BTreeMap<&'static str, usize>,
    pub finished: usize,
    pub perhaps_finished: usize,
    /// Committed jobs, and recorded ends, that went with the failover that lacks commits.
    pub lost: usize,
    pub lost_ends: usize,
    pub runs: usize,
    /// Runs after the first one of a job, by the fault that explains them.
    pub reruns: BTreeMap<&'static str, usize>,
    pub overlaps: usize,
    /// From a kill to the rerun of what ran: where nothing else interfered, and in all cases.
    pub clean_delays: Vec<Duration>,
    pub delays: Vec<Duration>,
    /// From the end of each outage of the database to the next job that each worker begins.
    pub recoveries: Vec<Duration>,
    pub drained_in: Duration,
    pub memory_kib: Vec<u64>,
    pub skewed_clock: bool,
}

impl Verdict {
    pub async fn reach(scene: &Scene, drain: Duration) -> Self {
        let mut verdict = Self { skewed_clock: scene.fleet.has_skewed_clock(), ..Self::default() };
        verdict.injected.clone_from(&scene.injected.lock().unwrap());
        verdict.injected.sort_by_key(|injected| injected.from);
        let (admin, healed) = (scene.admin().await, Instant::now());
        verdict.drain(&admin, drain).await;
        verdict.look_at_workers(scene, &admin).await;
        // A worker that is told to stop while it cannot know all that it claimed keeps its lease,
        // for the others to look at; and soon there are none.
        tokio::time::sleep_until((healed + DOUBT).into()).await;
        verdict.breaches.extend(scene.fleet.stop().await);
        verdict.look_for_leftovers(&admin).await;

        let runs = scene.fleet.runs();
        let mut by_key = HashMap::<&str, Vec<&Run>>::new();
        for run in &runs {
            by_key.entry(&run.key).or_default().push(run);
        }
        verdict.runs = runs.len();
        let cut = scene.cut.lock().unwrap().take();
        let finished = finished(&admin).await;
        verdict.judge_jobs(&scene.enqueued.all(), &finished, &by_key, cut.as_ref());
        if let Some(cut) = &cut {
            verdict.judge_cut(cut, &finished, &by_key);
        }
        verdict.judge_runs(&by_key);
        verdict.time_reruns(&runs, &by_key);
        verdict.time_recoveries(&runs);
        verdict
    }

    fn breach(&mut self, line: String) {
        self.breaches.push(line);
    }

    /// Waits until there is no unfinished job. Those that wait long after several crashes are
    /// retried, as an operator would.
    async fn drain(&mut self, admin: &Client, limit: Duration) {
        let began = Instant::now();
        loop {
            let left = admin.query("SELECT id, run_at > now() FROM postrider.job", &[]).await.expect("the jobs");
            self.drained_in = began.elapsed();
            if left.is_empty() {
                return;
            }
            if self.drained_in > limit {
                break;
            }
            for row in left.iter().filter(|row| row.get(1)) {
                // It may have been claimed or finished since.
                let _ = admin::retry(admin, row.get::<_, JobId>(0)).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let query =
            "SELECT format('%s %s running=%s attempt=%s by %s, of a live worker: %s', id, args, running, attempt,
                         attempted_by, EXISTS (SELECT FROM postrider.worker AS w WHERE w.id = attempted_by))
                     FROM postrider.job ORDER BY id";
        for row in admin.query(query, &[]).await.expect("the jobs") {
            self.breach(format!("unfinished after {limit:?}: {}", row.get::<_, String>(0)));
        }
    }

    /// Of the living: one lease and one listening session each, and bounded memory.
    async fn look_at_workers(&mut self, scene: &Scene, admin: &Client) {
        let workers = i64::try_from(scene.fleet.len()).expect("a few");
        for (what, query) in [
            ("leases", "SELECT count(*) FROM postrider.worker"),
            (
                "liveness locks",
                "SELECT count(*) FROM pg_locks JOIN postrider.worker ON locktype = 'advisory'
                            AND (classid::bigint << 32) | objid::bigint = lock_key AND objsubid = 1",
            ),
            ("listening sessions", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'postrider listen'"),
        ] {
            self.settles(admin, what, query, workers).await;
        }
        self.memory_kib = scene.fleet.memory();
        for kib in self.memory_kib.clone() {
            if kib == 0 || kib > MOST_MEMORY_KIB {
                self.breach(format!("a worker has {kib} KiB of memory"));
            }
        }
    }

    /// When all workers have ended.
    async fn look_for_leftovers(&mut self, admin: &Client) {
        for (what, query) in [
            ("leases", "SELECT count(*) FROM postrider.worker"),
            ("sessions of workers", "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'postrider %'"),
            ("advisory locks", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"),
            ("prepared transactions", "SELECT count(*) FROM pg_prepared_xacts"),
            (
                "detached partitions",
                "SELECT count(*) FROM pg_class AS c WHERE relnamespace = 'postrider'::regnamespace
                                     AND relkind = 'r' AND relname LIKE 'job_history_%'
                                     AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid)",
            ),
        ] {
            self.settles(admin, what, query, 0).await;
        }
    }

    /// A number that must be reached soon.
    async fn settles(&mut self, admin: &Client, what: &str, query: &str, wanted: i64) {
        let began = Instant::now();
        loop {
            let number: i64 = admin.query_one(query, &[]).await.expect("a number").get(0);
            if number == wanted {
                return;
            }
            if began.elapsed() > SETTLE {
                return self.breach(format!("{what}: {number}, not {wanted}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Every committed job finished once, unless it went with the cut, and nothing else did.
    fn judge_jobs(
        &mut self,
        all: &HashMap<String, Sent>,
        finished: &HashMap<String, Vec<Finish>>,
        runs: &HashMap<&str, Vec<&Run>>,
        cut: Option<&Cut>,
    ) {
        for (key, sent) in all {
            let ends = finished.get(key).map_or(&[][..], Vec::as_slice);
            let ran = runs.get(key.as_str());
            let fate = sent.fate;
            let name = match fate {
                Fate::Committed => "committed",
                Fate::Perhaps => "perhaps committed",
                Fate::Withdrawn => "rolled back",
            };
            *self.fates.entry(name).or_default() += 1;
            match (fate, ends) {
                (Fate::Committed | Fate::Perhaps, [end]) if end.state == "completed" => {
                    self.finished += 1;
                    self.perhaps_finished += usize::from(fate == Fate::Perhaps);
                    if !ran.is_some_and(|runs| runs.iter().any(|run| end.is_of(run))) {
                        self.breach(format!(
                            "{key} was finished by another than its attempt: {end:?}, with the runs {ran:?}"
                        ));
                    }
                }
                (Fate::Committed | Fate::Perhaps, []) if cut.is_some_and(|cut| cut.takes(sent)) => {
                    self.lost += usize::from(fate == Fate::Committed);
                    // While it was there, and for as long as its worker did not know better.
                    let late = ran.into_iter().flatten().find(|run| run.start > cut.expect("a cut").forgotten());
                    if let Some(late) = late {
                        self.breach(format!("{key} was lost and ran afterwards: {late:?}"));
                    }
                }
                (Fate::Perhaps | Fate::Withdrawn, []) => {
                    if ran.is_some() {
                        self.breach(format!("{key} ran and is no job: {ran:?}"));
                    }
                }
                _ => self.breach(format!("{key} was {name} and ended as {ends:?}, with the runs {ran:?}")),
            }
        }
        for key in finished.keys().filter(|key| !all.contains_key(*key)) {
            self.breach(format!("{key} finished, and nobody sent it"));
        }
        for key in runs.keys().filter(|key| !all.contains_key(**key)) {
            self.breach(format!("{key} ran, and nobody sent it"));
        }
    }

    /// What had finished before the cut is finished as it was, and did not run again.
    fn judge_cut(&mut self, cut: &Cut, finished: &HashMap<String, Vec<Finish>>, runs: &HashMap<&str, Vec<&Run>>) {
        for (key, ends) in &cut.finished {
            let now = finished.get(key);
            if now != Some(ends) {
                self.breach(format!("{key} had finished before the cut as {ends:?} and now as {now:?}"));
            }
            let again = runs.get(key.as_str()).into_iter().flatten().find(|run| run.start > cut.to);
            if let Some(again) = again {
                self.breach(format!("{key} had finished before the cut and ran again: {again:?}"));
            }
        }
        // Done well before the end of the primary, and again after it.
        let done = |run: &&&Run| run.done && (cut.from..cut.to).contains(&run.end.unwrap_or_default());
        for (key, runs) in runs {
            let is_again = runs.iter().any(|run| run.start > cut.to) && finished.contains_key(*key);
            self.lost_ends += usize::from(is_again && runs.iter().any(|run| done(&run)));
        }
        if self.lost == 0 {
            self.breach("the failover that lacks commits has lost no job: it has shown nothing".to_owned());
        }
    }

    /// No run is repeated without a fault between, and two overlap only where the first one's
    /// worker had been declared dead.
    fn judge_runs(&mut self, by_key: &HashMap<&str, Vec<&Run>>) {
        for (key, runs) in by_key {
            for pair in runs.windows(2) {
                match self.explanation(pair[0], pair[1].start, Injected::explains_rerun) {
                    Some(fault) => *self.reruns.entry(fault.name()).or_default() += 1,
                    None => self.breach(format!("{key} ran again for no reason: {pair:?}")),
                }
            }
            for (place, later) in runs.iter().enumerate() {
                for earlier in &runs[..place] {
                    if self.end_of(earlier) <= later.start {
                        continue;
                    }
                    self.overlaps += 1;
                    if self.explanation(earlier, later.start, Injected::explains_overlap).is_none() {
                        self.breach(format!("{key} ran twice at once: {earlier:?} and {later:?}"));
                    }
                }
            }
        }
    }

    /// The latest fault since the start of this run that explains that there is another: one that
    /// hit its worker alone rather than one that hit all.
    fn explanation(&self, run: &Run, again: Time, explains: fn(&Injected) -> Option<Duration>) -> Option<Fault> {
        let explaining = |injected: &&Injected| {
            explains(injected).is_some_and(|after| injected.from <= again && injected.to + micros(after) >= run.start)
        };
        let latest = |process: Option<&str>| {
            let mut of_process = self.injected.iter().rev().filter(|injected| injected.process.as_deref() == process);
            of_process.find(explaining).map(|injected| injected.fault)
        };
        latest(Some(&run.process)).or_else(|| latest(None))
    }

    /// A run that has not written its end was ended by the kill of its process.
    fn end_of(&self, run: &Run) -> Time {
        run.end.or_else(|| self.killed_at(&run.process)).unwrap_or_else(ledger::now)
    }

    fn killed_at(&self, process: &str) -> Option<Time> {
        let kill = self.injected.iter().find(|injected| {
            matches!(injected.fault, Fault::KillWorker { .. }) && injected.process.as_deref() == Some(process)
        });
        kill.map(|kill| kill.from)
    }

    /// From each kill to the rerun of what ran then. A job that was lost before waits on purpose.
    fn time_reruns(&mut self, runs: &[Run], by_key: &HashMap<&str, Vec<&Run>>) {
        for run in runs.iter().filter(|run| run.end.is_none() && run.attempt == 1) {
            let Some(killed) = self.killed_at(&run.process) else { continue };
            let Some(rerun) = by_key[run.key.as_str()].iter().find(|other| other.start > killed) else { continue };
            let delay = Duration::from_micros((rerun.start - killed).unsigned_abs());
            self.delays.push(delay);
            let alone = self.injected.iter().all(|other| {
                (other.from == killed && other.process.as_ref() == Some(&run.process))
                    || other.from > rerun.start
                    || other.to + micros(if other.fault.is_a_crash() { other.aftermath() } else { Duration::ZERO })
                        < killed
            });
            if alone && delay > LONGEST_RERUN {
                self.breach(format!("{} ran again {delay:?} after the kill of {}", run.key, run.process));
            }
            // One that was cut off a moment before has no liveness lock yet: its lease alone can tell.
            let was_cut_off = self.injected.iter().any(|other| {
                other.fault == Fault::HalfOpenConnections
                    && other.process.as_ref() == Some(&run.process)
                    && (other.from..=other.to + micros(other.aftermath())).contains(&killed)
            });
            if alone && !was_cut_off {
                self.clean_delays.push(delay);
            }
        }
        self.delays.sort();
        self.clean_delays.sort();
    }

    /// Of the workers that were at work in the last second before it.
    fn time_recoveries(&mut self, runs: &[Run]) {
        for outage in self.injected.iter().filter(|injected| injected.fault.is_a_crash()) {
            let shortly_before = outage.from - micros(Duration::from_secs(1))..outage.from;
            let at_work: BTreeSet<&str> =
                runs.iter().filter(|run| shortly_before.contains(&run.start)).map(|run| &*run.process).collect();
            self.recoveries.extend(at_work.into_iter().filter_map(|process| {
                let next = runs.iter().find(|run| run.process == process && run.start > outage.to)?;
                Some(Duration::from_micros((next.start - outage.to).unsigned_abs()))
            }));
        }
        self.recoveries.sort();
    }
}

impl Cut {
    /// Whether the failover may have taken this job: it was sent before its end, and acknowledged, if at
    /// all, after the standby was cut off.
    fn takes(&self, sent: &Sent) -> bool {
        sent.at <= self.to && sent.answered.is_none_or(|answered| answered >= self.from)
    }

    /// When no worker runs a job any more that was lost: it was told by its next heartbeat, and what it had
    /// claimed ahead has come to its turn.
    fn forgotten(&self) -> Time {
        self.to + micros(LEASE)
    }
}

impl Injected {
    /// How long after its end a fault still shows.
    fn aftermath(&self) -> Duration {
        match self.fault {
            Fault::KillWorker { .. } => Duration::ZERO,
            // Noticed within 15 s.
            Fault::HalfOpenConnections => LEASE + Duration::from_secs(15),
            // Reconnecting takes some tries.
            _ => LEASE + Duration::from_secs(5),
        }
    }

    /// For how long it may make a job run again; None for what must not.
    fn explains_rerun(&self) -> Option<Duration> {
        match self.fault {
            Fault::KillWorker { .. }
            | Fault::FreezeWorker { .. }
            | Fault::TerminateBackends { .. }
            | Fault::CutConnections
            | Fault::HalfOpenConnections => Some(self.aftermath()),
            crash if crash.is_a_crash() => Some(self.aftermath()),
            _ => None,
        }
    }

    /// The same for a run that begins before the former has ended: its worker was declared dead though
    /// it lives, or the server forgot the claim.
    fn explains_overlap(&self) -> Option<Duration> {
        match self.fault {
            Fault::FreezeWorker { .. } | Fault::HalfOpenConnections => Some(self.aftermath()),
            crash if crash.is_a_crash() => Some(self.aftermath()),
            _ => None,
        }
    }
}

fn micros(duration: Duration) -> Time {
    Time::try_from(duration.as_micros()).expect("a short time")
}
