//! Each driver enqueues and completes jobs in transactions of its own: the same cases for all (CONFORMANCE 1, 2, 22, 44, 45).
//!
//! The feature `_driver_tests` adds what only these tests need: a runtime for `sqlx` and `sea-orm`, and a libpq for
//! `diesel`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

// As the macro of sqlx names it.
extern crate sqlx_0_8 as sqlx;

mod contract;
mod diesel_2;
mod diesel_async;
mod diesel_ended;
mod sea_orm_2;
mod sqlx_test;
mod sqlx_versions;
#[path = "../it/support/mod.rs"]
mod support;
mod tokio_postgres;
