//! Reads the cases and runs their steps.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};

use super::client::{Client, Options};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Step {
    Call(CallStep),
    Given(GivenStep),
    Query(QueryStep),
    Transaction(TransactionStep),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallStep {
    call: String,
    with: Options,
    #[serde(default, deserialize_with = "present")]
    returns: Option<Value>,
    refused: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenStep {
    given: String,
    id: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryStep {
    query: String,
    #[serde(default)]
    params: Vec<Value>,
    rows: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TransactionStep {
    transaction: String,
}

/// Tells `null` from nothing.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Case {
    /// Its calls and their options. A call of several jobs has the options of each.
    pub fn calls(&self) -> impl Iterator<Item = (&str, &Options)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Call(call) => Some((call.call.as_str(), &call.with)),
            _ => None,
        })
    }

    pub fn has_transaction(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Transaction(_)))
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

/// The cases of all files.
pub fn all_cases() -> Vec<Case> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder().join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        serde_json::from_str::<Vec<Case>>(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let cases: Vec<Case> = files.iter().flat_map(read).collect();
    assert!(cases.len() > 20, "{} cases", cases.len());
    cases
}

/// Runs the steps of a case.
pub async fn run(case: &Case, client: &mut impl Client, observer: &tokio_postgres::Client) {
    let mut variables = Variables::default();
    for (place, step) in case.steps.iter().enumerate() {
        let at = format!("{:?}, step {}: {step:?}", case.name, place + 1);
        match step {
            Step::Call(call) => {
                let with = variables.filled(&Value::Object(call.with.clone()));
                let answer = client.call(&call.call, with.as_object().unwrap()).await;
                match (&call.returns, &call.refused, answer) {
                    (Some(expected), None, Ok(found)) => variables.expect(expected, &found, &at),
                    (None, Some(words), Err(error)) => assert!(error.contains(words.as_str()), "{at}: {error}"),
                    (_, _, other) => panic!("{at}: {other:?}"),
                }
            }
            Step::Given(given) => {
                let statement = fs::read_to_string(folder().join(format!("given/{}.sql", given.given))).expect(&at);
                let id = variables.filled(&given.id).to_string();
                let changed = observer.query_typed(&format!("{statement} RETURNING 1"), &[(&id, Type::TEXT)]).await;
                assert_eq!(changed.expect(&at).len(), 1, "{at}");
            }
            Step::Query(query) => {
                let params: Vec<String> = query.params.iter().map(|param| as_text(&variables.filled(param))).collect();
                let typed: Vec<(&(dyn ToSql + Sync), Type)> =
                    params.iter().map(|param| (param as _, Type::TEXT)).collect();
                let statement = format!("SELECT to_jsonb(found) FROM ({}) AS found", query.query);
                let rows = observer.query_typed(&statement, &typed).await.expect(&at);
                let found = rows.iter().map(|row| row.get::<_, Value>(0)).collect();
                variables.expect(&query.rows, &Value::Array(found), &at);
            }
            Step::Transaction(TransactionStep { transaction }) => client.transaction(transaction).await,
        }
    }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The values of `$name`.
#[derive(Default)]
struct Variables(BTreeMap<String, Value>);

impl Variables {
    /// The value with its variables replaced.
    fn filled(&self, value: &Value) -> Value {
        match value {
            Value::String(text) if text.starts_with('$') => {
                self.0.get(text).unwrap_or_else(|| panic!("{text} has no value yet")).clone()
            }
            Value::Array(elements) => elements.iter().map(|element| self.filled(element)).collect(),
            Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), self.filled(value))).collect(),
            other => other.clone(),
        }
    }

    /// Fails unless what was found matches, and binds new variables.
    fn expect(&mut self, expected: &Value, found: &Value, at: &str) {
        match (expected, found) {
            (Value::String(name), _) if name.starts_with('$') => {
                let bound = self.0.entry(name.clone()).or_insert_with(|| found.clone());
                assert_eq!(bound, found, "{at}: {name}");
            }
            (Value::Array(expected), Value::Array(elements)) => {
                assert_eq!(expected.len(), elements.len(), "{at}: {found}");
                for (expected, element) in expected.iter().zip(elements) {
                    self.expect(expected, element, at);
                }
            }
            (Value::Object(expected), Value::Object(members)) => {
                for (name, expected) in expected {
                    let member = members.get(name).unwrap_or_else(|| panic!("{at}: no {name} in {found}"));
                    self.expect(expected, member, at);
                }
            }
            _ => assert_eq!(expected, found, "{at}"),
        }
    }
}
