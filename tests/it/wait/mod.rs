//! Waiting for jobs to finish: results, lost notifications, many at once.

mod notifications;
mod results;
