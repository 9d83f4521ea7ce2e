//! Explains what limits the figures, derived from the measurements.

use std::fmt::Write as _;

use super::environment::Environment;
use super::figure::Figure;

/// From this share on, the cores count as fully used: observation and the kernel take the rest.
const ALL_BUSY: f64 = 0.85;
/// A longer round trip means a network.
const LOCAL_ROUND_TRIP_MS: f64 = 0.3;

/// Returns the limits that machine and settings impose on the figures. `busy` is the share of all cores' time that was
/// used during the drains.
pub(super) fn limits(environment: &Environment, figures: &[Figure], busy: Option<f64>) -> Vec<String> {
    let mut limits = untrustworthy(environment);
    limits.extend(commits(environment, figures));
    limits.extend(distance(environment));
    limits.extend(cores(environment, figures, busy));
    limits.extend(arrivals(figures));
    if environment.setting("full_page_writes") == Some("off") {
        limits.push("full_page_writes is off: less WAL than a server writes that survives a torn page.".to_owned());
    }
    if limits.is_empty() {
        limits.push("Nothing that was measured stands out as the limit.".to_owned());
    }
    limits
}

/// Reasons why the figures are invalid or misleading.
fn untrustworthy(environment: &Environment) -> Vec<String> {
    let mut reasons = Vec::new();
    if environment.machine.debug_build {
        reasons.push(
            "This is a debug build, several times slower than a release build: its figures do not count.".to_owned(),
        );
    }
    if environment.setting("fsync") == Some("off") {
        reasons.push(
            "fsync is off: commits do not wait for the disk, and a power cut may cost the database. These figures do \
             not count."
                .to_owned(),
        );
    }
    if let Some(value @ ("off" | "local")) = environment.setting("synchronous_commit") {
        reasons.push(format!(
            "synchronous_commit is {value}: commits are acknowledged sooner than with `on`, and enqueueing looks \
             faster than it would be."
        ));
    }
    reasons
}

/// A single connection is bounded by the commit latency.
fn commits(environment: &Environment, figures: &[Figure]) -> Option<String> {
    let (commit, round_trip) = (environment.commit_ms?, environment.round_trip_ms?);
    let waits = commit - round_trip;
    if waits < commit / 2.0 {
        return None;
    }
    let bound = 1_000.0 / commit;
    let mut text = format!(
        "A commit takes {commit:.2} ms, of which {round_trip:.2} ms are the way there and back and the rest mostly \
         the disk: one connection that commits each job alone adds at most {bound:.0} a second."
    );
    if let (Some(one), Some(many)) = (value(figures, "single.rate"), value(figures, "connections.rate")) {
        let gain = many / one;
        // Writing to a String does not fail.
        let _ = write!(text, " 32 connections share flushes, and add {gain:.1} times as many.");
    }
    Some(text)
}

fn distance(environment: &Environment) -> Option<String> {
    let round_trip = environment.round_trip_ms?;
    if environment.same_host && round_trip < LOCAL_ROUND_TRIP_MS {
        return None;
    }
    let place = if environment.same_host { "on this host" } else { "on another host" };
    Some(format!(
        "Postgres is {place}, {round_trip:.2} ms there and back: each statement waits for that, and so does the pickup \
         of a job."
    ))
}

fn cores(environment: &Environment, figures: &[Figure], busy: Option<f64>) -> Option<String> {
    let (busy, cores) = (busy?, environment.machine.cores?);
    let percent = busy * 100.0;
    let worker = value(figures, "drain.worker_cpu_per_100k").zip(value(figures, "drain.rate"));
    // CPU seconds per 100,000 jobs, times the rate in units of 100,000 jobs.
    let worker = worker.map(|(cpu, rate)| cpu * rate / 100_000.0);
    let share = worker.map(|share| format!(", of which the worker used {share:.1} cores")).unwrap_or_default();
    if busy < ALL_BUSY {
        return worker.filter(|share| *share > ALL_BUSY).map(|share| {
            format!(
                "During the drain one worker process used {share:.1} of {cores} cores, and the machine was only \
                 {percent:.0} % busy: more worker processes may get more done."
            )
        });
    }
    let rest = if environment.same_host { "Postgres most of the rest; a server of its own would free it" } else { "" };
    Some(format!(
        "During the drain all {cores} cores were busy ({percent:.0} %){share}{}{rest}: the rates of drain and steady are \
         bounded by CPU.",
        if rest.is_empty() { "" } else { ", " }
    ))
}

/// If a target rate was not reached, the producers are the limit.
fn arrivals(figures: &[Figure]) -> Vec<String> {
    let offered = figures.iter().filter(|figure| figure.name.starts_with("arrivals.") && figure.baseline.is_some());
    offered
        .filter_map(|figure| {
            let (reached, wanted) = (figure.value?, figure.baseline?);
            (reached < wanted * 0.95).then(|| {
            format!(
                "Of {wanted:.0} jobs a second only {reached:.0} could be enqueued singly on 16 connections: the pickup \
                 at that rate is that of the lower one."
            )
        })
        })
        .collect()
}

fn value(figures: &[Figure], name: &str) -> Option<f64> {
    figures.iter().find(|figure| figure.name == name)?.value
}

#[cfg(test)]
mod tests {
    use super::super::environment::Setting;
    use super::super::figure::Unit;
    use super::super::machine::Machine;
    use super::*;

    fn environment(settings: &[(&str, &str)], round_trip_ms: f64, commit_ms: f64) -> Environment {
        Environment {
            postrider: "1",
            machine: Machine { cores: Some(2), memory_mib: None, os: String::new(), debug_build: false },
            postgres: "15".to_owned(),
            same_host: true,
            settings: settings
                .iter()
                .map(|(name, value)| Setting { name: (*name).to_owned(), value: Some((*value).to_owned()) })
                .collect(),
            round_trip_ms: Some(round_trip_ms),
            commit_ms: Some(commit_ms),
        }
    }

    fn rate(name: &str, value: f64, baseline: f64) -> Figure {
        Figure::single(name, Unit::JobsPerSecond, Some(value)).against(Some(baseline))
    }

    #[test]
    fn what_makes_figures_worthless_comes_first() {
        let found =
            limits(&environment(&[("fsync", "off"), ("synchronous_commit", "off")], 0.1, 0.11), &[], Some(0.99));
        assert!(found[0].contains("fsync is off") && found[1].contains("synchronous_commit is off"), "{found:?}");
        assert!(found[2].contains("all 2 cores were busy (99 %)"), "{found:?}");
    }

    #[test]
    fn a_slow_disk_a_remote_server_and_missed_arrivals_are_reported() {
        let figures = [rate("single.rate", 100.0, 1.0), rate("connections.rate", 1_000.0, 1.0)];
        let found = limits(&environment(&[], 0.1, 10.0), &figures, Some(0.2));
        assert!(found[0].contains("at most 100 a second") && found[0].contains("10.0 times"), "{found:?}");
        let found = limits(&environment(&[], 5.0, 6.0), &[rate("arrivals.at_2000.rate", 900.0, 2_000.0)], None);
        assert!(found[0].contains("5.00 ms there and back") && found[1].contains("only 900"), "{found:?}");
    }

    #[test]
    fn nothing_found_is_said_too() {
        assert!(limits(&environment(&[], 0.1, 0.15), &[], Some(0.3))[0].starts_with("Nothing"));
    }
}
