//! The machine of a run.

use std::fs;

use serde::Serialize;

/// The machine, as far as it can be determined.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: Option<usize>,
    /// Total memory in MiB.
    pub memory_mib: Option<u64>,
    /// The operating system.
    pub os: String,
    /// Whether this is a debug build. Its figures are invalid.
    pub debug_build: bool,
}

impl Machine {
    /// Returns this machine.
    pub(super) fn here() -> Self {
        Self {
            cores: std::thread::available_parallelism().map(usize::from).ok(),
            memory_mib: memory_mib(),
            os: os(),
            debug_build: cfg!(debug_assertions),
        }
    }
}

fn memory_mib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

fn os() -> String {
    let (family, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or_default();
    let parts = [name.trim_matches('"'), family, kernel.trim(), arch];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
