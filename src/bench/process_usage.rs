//! Resource usage of a process and of the machine, from `/proc`. Available on Linux only.

use std::fs;

/// Ticks per second in `/proc`, the same on every Linux.
const TICKS: f64 = 100.0;

/// The resource usage of a process so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usage {
    /// CPU seconds.
    pub cpu: f64,
    /// Peak memory in MiB.
    pub peak_mebibytes: f64,
}

impl Usage {
    pub fn of(pid: u32) -> Option<Self> {
        let (stat, status) = (read(&format!("/proc/{pid}/stat"))?, read(&format!("/proc/{pid}/status"))?);
        Some(Self { cpu: cpu_seconds(&stat)?, peak_mebibytes: peak_mebibytes(&status)? })
    }
}

/// The busy and total time of all cores since the system started.
#[derive(Clone, Copy, Debug)]
pub(super) struct MachineTime {
    busy: f64,
    total: f64,
}

impl MachineTime {
    pub fn now() -> Option<Self> {
        let times: Vec<f64> = read("/proc/stat")?
            .lines()
            .next()?
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|ticks| ticks.parse().ok())
            .collect();
        let total = times.iter().sum();
        // The fourth and fifth values are idle and iowait.
        Some(Self { busy: total - times.get(3)? - times.get(4)?, total })
    }

    /// Returns the share of all cores' time that was busy since `before`.
    pub fn busy_since(self, before: Self) -> Option<f64> {
        let total = self.total - before.total;
        (total > 0.0).then(|| (self.busy - before.busy) / total)
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Reads fields 14 and 15. Counts from the end of the name, which may contain spaces and parentheses.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    Some((ticks.next()?.ok()? + ticks.next()?.ok()?) / TICKS)
}

fn peak_mebibytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 4 0 123 456 789";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(peak_mebibytes("Name:\tx\nVmHWM:\t   20480 kB\n"), Some(20.0));
        assert_eq!((cpu_seconds("nonsense"), peak_mebibytes("")), (None, None));
    }

    #[test]
    fn the_share_is_of_the_time_between() {
        let before = MachineTime { busy: 100.0, total: 1000.0 };
        assert_eq!(MachineTime { busy: 250.0, total: 1200.0 }.busy_since(before), Some(0.75));
        assert_eq!(before.busy_since(before), None);
    }
}
