//! The answers: one JSON object a line, on standard output.

use std::io::Write;

use serde_json::{Value, json};

use crate::Failure;

pub(crate) fn produced(jobs: u64, began: u64, ended: u64) -> Result<(), Failure> {
    line(&json!({ "jobs": jobs, "began": began, "ended": ended }))
}

pub(crate) fn committed(times: &[u64]) -> Result<(), Failure> {
    line(&json!({ "committed": times }))
}

pub(crate) fn event(name: &str, at: u64) -> Result<(), Failure> {
    line(&json!({ "event": name, "at": at }))
}

pub(crate) fn handled(at: u64, started: &[(u64, u64)]) -> Result<(), Failure> {
    line(&json!({ "event": "handled", "at": at, "started": started }))
}

fn line(value: &Value) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()?;
    Ok(())
}
