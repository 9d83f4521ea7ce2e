//! The command line: `DRIVER PRESET CALL [NUMBER…]`, with the database in `DATABASE_URL`.

use std::time::Duration;

use crate::Failure;

/// How the system is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// As its documentation starts one off.
    Defaults,
    /// As its own benchmarks or tuning notes set it.
    Best,
}

pub(crate) struct Invocation {
    pub(crate) preset: Preset,
    pub(crate) url: String,
    pub(crate) call: Call,
}

pub(crate) enum Call {
    Install,
    EnqueueOne { jobs: u64 },
    EnqueueBulk { jobs: u64, chunk: u64 },
    EnqueuePaced { jobs: u64, pause: Duration },
    Work { jobs: u64, warm_up: u64, recorded: bool },
}

impl Invocation {
    pub(crate) fn from_environment() -> Result<Self, Failure> {
        let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let mut words = arguments.iter().map(String::as_str);
        let preset = match words.next() {
            Some("defaults") => Preset::Defaults,
            Some("best") => Preset::Best,
            _ => return Err("the first argument is the preset: defaults or best".into()),
        };
        let call = words.next().ok_or("the second argument is the call")?;
        let numbers = words.map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        let call = match (call, numbers.as_slice()) {
            ("install", []) => Call::Install,
            ("enqueue-one", &[jobs]) => Call::EnqueueOne { jobs },
            ("enqueue-bulk", &[jobs, chunk]) => Call::EnqueueBulk { jobs, chunk },
            ("enqueue-paced", &[jobs, pause]) => Call::EnqueuePaced { jobs, pause: Duration::from_micros(pause) },
            ("work", &[jobs, warm_up]) => Call::Work { jobs, warm_up, recorded: false },
            ("pickup", &[jobs, warm_up]) => Call::Work { jobs, warm_up, recorded: true },
            (call, numbers) => return Err(format!("no such call: {call} with {} numbers", numbers.len()).into()),
        };
        Ok(Self { preset, url, call })
    }
}
