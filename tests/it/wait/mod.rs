//! Waiting for jobs to finish: results, lost notifications, many at once (CONFORMANCE 46, 47).

mod notifications;
mod results;
