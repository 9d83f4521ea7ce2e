//! The command line: `DRIVER PRESET CALL [NUMBER…]`, with the database in `DATABASE_URL`.

use std::time::Duration;

use crate::Failure;

pub(crate) struct Invocation {
    pub(crate) preset: String,
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
        let preset = words.next().ok_or("the first argument is the preset")?.to_owned();
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
