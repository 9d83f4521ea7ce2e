//! Looks at the database from outside, so that no system is asked about itself.
//!
//! Reads one request a line from standard input, and answers each with one line:
//!
//! - `{"query": SQL}`: the rows, each an array of texts
//! - `{"until": SQL, "within": SECONDS}`: asks again and again until the query has no row, and says
//!   when that was seen, in microseconds since 1970, or null where it took too long
//!
//! Promises: it is connected before it answers for the first time, so that connecting is in no
//! measured time.

use std::error::Error;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Between two looks: short against what is measured, long against a look.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (client, connection) = tokio_postgres::connect(&std::env::var("DATABASE_URL")?, NoTls).await?;
    tokio::spawn(connection);
    let mut requests = BufReader::new(tokio::io::stdin()).lines();
    let mut answers = tokio::io::stdout();
    while let Some(line) = requests.next_line().await? {
        let answer = match serde_json::from_str(&line).map_err(Into::into) {
            Ok(request) => answer(&client, &request).await,
            Err(error) => Err(error),
        };
        let answer = answer.unwrap_or_else(|error| json!({ "error": describe(error.as_ref()) }));
        answers.write_all(format!("{answer}\n").as_bytes()).await?;
        answers.flush().await?;
    }
    Ok(())
}

async fn answer(client: &Client, request: &Value) -> Result<Value, Box<dyn Error>> {
    if let Some(sql) = request["query"].as_str() {
        Ok(json!({ "rows": rows(client, sql).await? }))
    } else if let (Some(sql), Some(seconds)) = (request["until"].as_str(), request["within"].as_f64()) {
        Ok(json!({ "at": until_empty(client, sql, Duration::from_secs_f64(seconds)).await? }))
    } else {
        Err("a request has `query`, or `until` and `within`".into())
    }
}

async fn until_empty(client: &Client, sql: &str, within: Duration) -> Result<Option<u128>, Box<dyn Error>> {
    let began = Instant::now();
    while began.elapsed() < within {
        // Before the look: what it does not see was over when it began, however long it takes.
        let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        if rows(client, sql).await?.is_empty() {
            return Ok(Some(at));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok(None)
}

/// As text, whatever their types.
async fn rows(client: &Client, sql: &str) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
    let messages = client.simple_query(sql).await?;
    Ok(messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        })
        .collect())
}

/// The driver's own text of a database's error is only "db error".
fn describe(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::as_db_error) {
        Some(error) => error.to_string(),
        None => error.to_string(),
    }
}
