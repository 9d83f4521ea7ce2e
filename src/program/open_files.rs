//! The limit of open files.
//!
//! Many systems start processes with a soft limit of 1,024, for programs that still use `select`. Each connection of a
//! client takes an open file, so the service could not serve as many clients as it allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard limit, as far as the system allows it. Returns the soft limit. None: unlimited.
pub(crate) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    // Refused where the system has a lower limit of its own. The service then runs with what it has.
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}
