//! A service on loopback without a token, and the web pages that a developer visits beside it.

use crate::support::database::TestDatabase;
use crate::support::web::{Answer, WebService, web_command};
use reqwest::{Method, RequestBuilder};

async fn start() -> (TestDatabase, WebService) {
    let database = TestDatabase::new().await;
    let web = WebService::start(&database).await;
    (database, web)
}

/// Requests that change something, with or without a body: a browser sends these without asking.
const CHANGES: [(&str, Method); 5] = [
    ("/jobs", Method::POST),
    ("/queues/default/pause", Method::POST),
    ("/jobs/1/cancel", Method::POST),
    ("/jobs/1/retry", Method::POST),
    ("/tablos/0191e4f0-0000-7000-8000-000000000000", Method::DELETE),
];

#[tokio::test]
async fn no_page_of_another_origin_changes_anything() {
    let (database, web) = start().await;
    for (path, method) in &CHANGES {
        let ask = |set: fn(RequestBuilder) -> RequestBuilder| Answer::of(set(web.request(method.clone(), path)));
        ask(|request| request.header("origin", "https://evil.example")).await.problem(403);
        ask(|request| request.header("origin", "null")).await.problem(403);
        ask(|request| request.header("sec-fetch-site", "cross-site")).await.problem(403);
    }
    assert_eq!(database.count("postrider.queue").await, 0);
    let own = web.request(Method::POST, "/queues/default/pause").header("origin", format!("http://{}", web.addr));
    Answer::of(own.header("sec-fetch-site", "same-origin")).await.json(200);
    // A page may follow a link here, as anybody may.
    Answer::of(web.request(Method::GET, "/jobs").header("sec-fetch-site", "cross-site")).await.json(200);
}

#[tokio::test]
async fn a_name_that_was_made_to_lead_here_is_not_answered() {
    let (database, web) = start().await;
    for path in ["/jobs", "/metrics", "/openapi.json"] {
        Answer::of(web.request(Method::GET, path).header("host", "evil.example:8080")).await.problem(421);
        assert_eq!(Answer::of(web.request(Method::GET, path).header("host", "localhost")).await.status, 200);
    }
    // Probes tell nothing, and orchestrators ask by any name.
    assert_eq!(Answer::of(web.request(Method::GET, "/healthz").header("host", "evil.example")).await.status, 200);
    drop(web);

    let told = WebService::from(web_command(&database.url).env("WEB_HOSTS", "box.lan, other.lan")).await;
    for (host, status) in [("box.lan:8080", 200), ("OTHER.lan", 200), ("evil.example", 421)] {
        let answer = Answer::of(told.request(Method::GET, "/jobs").header("host", host)).await;
        assert_eq!(answer.status, status, "{host}");
    }
    drop(told);

    // A client with the token was not led here by such a name.
    let guarded = WebService::from(web_command(&database.url).env("WEB_TOKEN", "s3cret")).await;
    let request = guarded.request(Method::GET, "/jobs").header("host", "jobs.example.org").bearer_auth("s3cret");
    assert_eq!(Answer::of(request).await.status, 200);
}
