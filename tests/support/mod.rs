//! What the integration tests share: a database each, processes, clocks with deadlines.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod board;
pub mod database;
pub mod interruption;
pub mod object_store;
