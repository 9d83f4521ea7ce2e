//! The verdict as a table.

use std::collections::BTreeMap;
use std::time::Duration;

use super::verdict::Verdict;

pub fn print(verdict: &Verdict, seed: u64, seconds: f64) {
    let mut faults = BTreeMap::<&str, usize>::new();
    for injected in &verdict.injected {
        *faults.entry(injected.fault.name()).or_default() += 1;
    }
    let mut lines = vec![("seed".to_owned(), seed.to_string()), ("seconds".to_owned(), seconds.to_string())];
    let mut line = |name: &str, value: String| lines.push((name.to_owned(), value));
    for (fault, count) in faults {
        line(&format!("fault: {fault}"), count.to_string());
    }
    let skewed = if verdict.skewed_clock { "3 h ahead" } else { "NOT TESTED: no faketime on this machine" };
    line("a worker's clock", skewed.to_owned());
    for (fate, count) in &verdict.fates {
        line(&format!("jobs {fate}"), count.to_string());
    }
    line("jobs finished", format!("{} ({} of the perhaps committed)", verdict.finished, verdict.perhaps_finished));
    line("lost by the failover that lacks commits", format!("{} jobs, {} ends", verdict.lost, verdict.lost_ends));
    line("queue empty after", format!("{:.1} s", verdict.drained_in.as_secs_f64()));
    line("handler runs", verdict.runs.to_string());
    for (fault, count) in &verdict.reruns {
        line(&format!("run again by: {fault}"), count.to_string());
    }
    line("runs of dead workers that overlap", verdict.overlaps.to_string());
    line("kill -9 to rerun", spread_of(&verdict.delays, "jobs"));
    line("the same, no other fault near", spread_of(&verdict.clean_delays, "jobs"));
    line("end of an outage to work again", spread_of(&verdict.recoveries, "workers"));
    let memory: Vec<String> = verdict.memory_kib.iter().map(|kib| format!("{} MiB", kib / 1024)).collect();
    line("memory of workers", memory.join(", "));
    line("breaches", verdict.breaches.len().to_string());

    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    println!();
    for (name, value) in lines {
        println!("{name:width$}  {value}");
    }
    println!();
}

/// Median and longest of what is sorted.
fn spread_of(delays: &[Duration], what: &str) -> String {
    let Some(longest) = delays.last() else { return "none".to_owned() };
    let median = delays[delays.len() / 2];
    format!("p50 {:.2} s, max {:.2} s, of {} {what}", median.as_secs_f64(), longest.as_secs_f64(), delays.len())
}
