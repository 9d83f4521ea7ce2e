//! Over HTTP.

use serde_json::{Value, json};

use super::client::{Client, Options, number};
use crate::support::web::{Answer, WebService};

/// A running `web`.
pub struct Http(pub WebService);

const LACKING: [&str; 5] = ["enqueue_many", "pause", "resume", "stats", "wait"];
const LACKING_OPTIONS: [&str; 2] = ["tags", "only_failed"];

impl Client for Http {
    fn lacks(&self, call: &str, options: &Options) -> bool {
        LACKING.contains(&call) || LACKING_OPTIONS.iter().any(|option| options.contains_key(*option))
    }

    fn has_transactions(&self) -> bool {
        false
    }

    async fn call(&mut self, call: &str, options: &Options) -> Result<Value, String> {
        let path = || format!("/jobs/{}", number(options, "id"));
        match call {
            "enqueue" => {
                let answer = self.0.post("/jobs", &Value::Object(options.clone())).await;
                let outcome = match answer.status {
                    201 => "inserted",
                    200 => "existing",
                    _ => return Err(detail(&answer)),
                };
                Ok(json!({"id": body(&answer)["id"], "outcome": outcome}))
            }
            "job" => {
                let answer = self.0.get(&path()).await;
                Ok(if answer.status == 404 { Value::Null } else { body(&answer) })
            }
            "retry" => outcome(&self.0.act(&format!("{}/retry", path())).await, |_| "retried", "running"),
            "cancel" => {
                let cancelled =
                    |job: &Value| if job["state"] == "cancelled" { "cancelled" } else { "cancel_requested" };
                outcome(&self.0.act(&format!("{}/cancel", path())).await, cancelled, "finished")
            }
            other => panic!("no call {other}"),
        }
    }

    async fn transaction(&mut self, _: &str) {
        unreachable!("it has no transactions");
    }
}

/// The outcome that a status stands for. `refused` is that of a state which forbids the change.
fn outcome(answer: &Answer, changed: fn(&Value) -> &'static str, refused: &str) -> Result<Value, String> {
    match answer.status {
        200 => Ok(json!(changed(&body(answer)))),
        404 => Ok(json!("not_found")),
        409 if detail(answer).contains("unique key") => Ok(json!("key_taken")),
        409 => Ok(json!(refused)),
        _ => Err(detail(answer)),
    }
}

fn body(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).expect("JSON")
}

fn detail(answer: &Answer) -> String {
    body(answer)["detail"].as_str().expect("a detail").to_owned()
}
