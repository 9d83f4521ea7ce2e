//! By SQL alone, as programs in languages without a client do it.

use serde_json::{Value, json};
use tokio_postgres::types::Type;

use super::client::{Client, Options, number, text};

/// A plain connection.
pub struct Sql(pub tokio_postgres::Client);

/// Each option is read from a JSON object, so that the case alone says which are given.
const ENQUEUE: &str =
    "SELECT jsonb_agg(jsonb_build_object('id', added.id, 'outcome', added.outcome) ORDER BY job.place)
    FROM (SELECT * FROM jsonb_array_elements($1) WITH ORDINALITY AS job (options, place) ORDER BY place) AS job,
         LATERAL (SELECT ARRAY(SELECT jsonb_array_elements_text(options -> 'tags')) AS tags) AS list,
         LATERAL postrider.enqueue_with_outcome(
             options ->> 'kind', args => options -> 'args', queue => options ->> 'queue',
             priority => (options ->> 'priority')::integer, run_at => (options ->> 'run_at')::timestamptz,
             max_attempts => (options ->> 'max_attempts')::integer, unique_key => options ->> 'unique_key',
             tags => CASE WHEN options ? 'tags' THEN list.tags END, trace_context => options ->> 'trace_context',
             group_key => options ->> 'group_key', cost => (options ->> 'cost')::integer,
             kind_version => (options ->> 'kind_version')::integer) AS added";

impl Sql {
    /// The one JSON value that a statement with one parameter returns.
    async fn json(&self, statement: &str, param: Value) -> Result<Value, String> {
        let row = self.0.query_typed_one(statement, &[(&param, Type::JSONB)]).await;
        let found = row.map_err(|error| error.as_db_error().map_or(error.to_string(), |db| db.message().to_owned()))?;
        Ok(found.get::<_, Option<Value>>(0).unwrap_or(Value::Null))
    }
}

impl Client for Sql {
    fn lacks(&self, call: &str, _: &Options) -> bool {
        call == "wait"
    }

    async fn call(&mut self, call: &str, options: &Options) -> Result<Value, String> {
        let id = || json!(number(options, "id"));
        let queue = || json!(text(options, "queue").unwrap());
        match call {
            "enqueue" => Ok(self.json(ENQUEUE, json!([options])).await?[0].take()),
            "enqueue_many" => self.json(ENQUEUE, options["jobs"].clone()).await,
            "job" => {
                let job = "SELECT (SELECT to_jsonb(job) FROM postrider.jobs AS job WHERE id = ($1 #>> '{}')::bigint)";
                self.json(job, id()).await
            }
            "retry" => {
                let only_failed = options.get("only_failed").is_some();
                let retry =
                    format!("SELECT to_jsonb(postrider.retry(($1 #>> '{{}}')::bigint, only_failed => {only_failed}))");
                self.json(&retry, id()).await
            }
            "cancel" => self.json("SELECT to_jsonb(postrider.cancel(($1 #>> '{}')::bigint))", id()).await,
            "pause" => self.json("SELECT to_jsonb(postrider.pause($1 #>> '{}'))", queue()).await,
            "resume" => self.json("SELECT to_jsonb(postrider.resume($1 #>> '{}'))", queue()).await,
            "stats" => {
                let stats = "SELECT coalesce(jsonb_agg(to_jsonb(stats)), $1) FROM postrider.stats() AS stats";
                self.json(stats, json!([])).await
            }
            other => panic!("no call {other}"),
        }
    }

    async fn transaction(&mut self, statement: &str) {
        self.0.batch_execute(statement).await.unwrap();
    }
}
