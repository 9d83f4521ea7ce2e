//! What the integration tests share: a database each, processes, clocks with deadlines.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod cluster;
pub mod command;
pub mod database;
pub mod interruption;
pub mod jobs;
pub mod login;
pub mod notifications;
pub mod object_store;
pub mod pooler;
pub mod process;
pub mod producer;
pub mod proxy;
pub mod rows;
pub mod small_disk;
pub mod standby;
pub mod tablo_fixture;
pub mod timing;
pub mod wait;
pub mod web;
pub mod worker;
