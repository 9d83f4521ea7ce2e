//! An HTTP service of axum that enqueues in a handler, with a worker in the same process and one shutdown for both.
//!
//! The program sends itself one request and then stops. A service would wait for its signal instead.
//!
//! ```sh
//! scripts/services start; set -a; . .dev/env; set +a
//! worker migrate
//! cargo run --example axum_service
//! ```

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::extract::{self, Path};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use postrider::{Context, Database, Job, Shutdown, Waiter, Worker};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

const QUEUE: &str = "example_axum_service";

#[derive(Serialize, Deserialize)]
struct Greet {
    name: String,
}

impl Job for Greet {
    const KIND: &'static str = "example_axum_service_greet";
    const QUEUE: Option<&'static str> = Some(QUEUE);
}

/// The state of the service. Its clones share one pool and one listening connection.
#[derive(Clone)]
struct Service {
    database: Database,
    waiter: Waiter,
}

/// An error of the database, as the client sees it.
struct Unavailable(postrider::Error);

impl From<postrider::Error> for Unavailable {
    fn from(error: postrider::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Unavailable {
    fn into_response(self) -> Response {
        // The details are for the log, not for strangers.
        eprintln!("{}", self.0);
        (StatusCode::SERVICE_UNAVAILABLE, "try again later").into_response()
    }
}

async fn greet(
    extract::State(service): extract::State<Service>,
    Path(name): Path<String>,
) -> Result<(StatusCode, String), Unavailable> {
    let client = service.database.client().await?;
    let job = postrider::enqueue(&client, &Greet { name }).awaited().await?;
    // Back to the pool: a wait holds no connection.
    drop(client);
    let Some(done) = service.waiter.wait(job.id, Duration::from_secs(5)).await? else {
        return Ok((StatusCode::ACCEPTED, format!("job {} is not done yet", job.id)));
    };
    match done.output_as::<String>() {
        Ok(Some(greeting)) => Ok((StatusCode::OK, greeting)),
        _ => Ok((StatusCode::INTERNAL_SERVER_ERROR, format!("job {} is {}", done.id, done.state))),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    let database = Database::from_url(&url)?;
    let service = Service { database: database.clone(), waiter: Waiter::new(&database) };

    // Ctrl-C and SIGTERM stop both halves, and so does `begin` below.
    let shutdown = Shutdown::on_signals()?;
    let worker = Worker::new(database, ()).queue(QUEUE, 10).handle(|greet: Greet, _: Context<()>| async move {
        println!("the worker greets {}", greet.name);
        Ok(format!("Hello, {}!", greet.name))
    });
    let working = tokio::spawn(worker.run(shutdown.clone()));

    // Port 0: any that is free.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/greetings/{name}", post(greet)).with_state(service);
    let begun = shutdown.clone();
    let serving = tokio::spawn(async move {
        axum::serve(listener, app).with_graceful_shutdown(async move { begun.begun().await }).await
    });

    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(8)).build()?;
    let response = http.post(format!("http://{address}/greetings/Ada")).send().await?;
    let (status, text) = (response.status().as_u16(), response.text().await?);
    println!("POST /greetings/Ada: {status} {text}");
    assert_eq!((status, text.as_str()), (200, "Hello, Ada!"));
    // Closes its connection, which the service would otherwise close itself once it is idle.
    drop(http);

    // Open requests are answered, running jobs finish. A request whose job was not claimed any more is answered with
    // 202, and the job stays for the next worker.
    shutdown.begin();
    serving.await??;
    let summary = working.await??;
    println!("the service and the worker have stopped, and {} jobs were cut off", summary.abandoned);
    assert_eq!(summary.abandoned, 0);
    Ok(())
}
