//! The integration tests, in one program: a folder a subject. Each test has a database of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod admin;
mod app;
mod cli;
mod conformance;
mod house;
mod postgres;
mod queue;
mod support;
mod testing;
mod wait;
mod web;
mod worker;
