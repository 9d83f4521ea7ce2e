//! Claiming: which due jobs this worker takes, when, and from which position of the index.
//!
//! ```text
//!   notification, due time, poll ──▶ wake ──▶ timing ──┐
//!   free slots, prefetch, cursor ──────────────────────┼──▶ fetcher ── one statement ──▶ execute
//!   idle lock ◀── acquire, release ────────────────────┘
//! ```
//!
//! - `fetcher` runs the claim loop: one statement for all queues of the worker. It does the I/O
//! - `plan` decides the next step of a queue, without I/O
//! - `timing` decides when to claim from a queue next, `wake` collects the signals to claim earlier
//! - `peer_checks` decides which notifications to follow while a peer is idle, too
//! - `prefetch` decides how many jobs are claimed beyond the free slots
//! - `cursor` stores the position at which the index scan resumes, `catch_up` scans behind it
//! - `idle_lock` makes an enqueue send a notification while a worker is idle
//! - `turns` makes workers that share a backlog claim one after the other
//! - `unanswered` releases the jobs of claims whose answer was lost
//! - `clock` converts the database's time to ours
//!
//! Promises: one claim is in flight at a time; a failed claim loses no job; no job depends on a notification.
//!
//! It runs no handler and records no outcome. `execute` gets the claimed jobs.

pub(super) mod catch_up;
pub(super) mod clock;
pub(super) mod cursor;
pub(super) mod fetcher;
pub(super) mod idle_lock;
pub(super) mod peer_checks;
pub(super) mod plan;
pub(super) mod prefetch;
pub(super) mod timing;
pub(super) mod turns;
pub(super) mod unanswered;
pub(super) mod wake;
