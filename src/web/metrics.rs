//! Prometheus metrics of requests, queues and a worker.
//!
//! Promises: a scrape ends within 2 s and costs the database at most one query in 5 s, for any number of scrapers.
//! Labels have few values: a route is its pattern, never the requested path.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::admin::{self, QueueStats};
use crate::postgres::Database;
use crate::postgres::Limits;
use crate::worker;

/// How long the stats of the queues are cached.
const STATS_AGE: Duration = Duration::from_secs(5);
/// How long reading them may take.
const STATS_TIMEOUT: Duration = Duration::from_secs(2);
/// The same on the server, so that nothing is left waiting there.
const STATS_LIMITS: Limits = Limits { statement: STATS_TIMEOUT, lock: Duration::from_secs(1) };
/// The most queues. With more, names of queues contain something else than a queue.
const MAX_QUEUES: usize = 500;
/// Bounds of the request latency, in seconds.
const LATENCY_BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What `/metrics` shows.
pub(crate) struct Metrics {
    registry: Registry,
    http: HttpMetrics,
    queues: Arc<QueueFigures>,
}

/// Counts and latencies of requests.
#[derive(Clone)]
pub(crate) struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    latency: Family<RouteLabels, Histogram>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

impl Metrics {
    pub fn new(worker: Option<Arc<worker::Metrics>>) -> Self {
        let mut registry = Registry::default();
        let http = HttpMetrics {
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
        };
        registry.register("postrider_http_requests", "Requests answered", http.requests.clone());
        registry.register(
            "postrider_http_request_duration_seconds",
            "Time from a request's head to its answer's head",
            http.latency.clone(),
        );
        let queues = Arc::new(QueueFigures::default());
        registry.register_collector(Box::new(Arc::clone(&queues)));
        if let Some(worker) = worker {
            registry.register_collector(Box::new(WorkerCollector(worker)));
        }
        Self { registry, http, queues }
    }

    pub fn http(&self) -> HttpMetrics {
        self.http.clone()
    }

    /// All metrics in the text format of Prometheus.
    pub async fn text(&self, database: &Database) -> Result<String, fmt::Error> {
        self.queues.refresh(database).await;
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl HttpMetrics {
    /// Counts a request. Without a latency, the histogram leaves it out.
    pub fn count(&self, method: &axum::http::Method, route: &str, status: u16, latency: Option<Duration>) {
        let method = known_method(method);
        let route = route.to_owned();
        if let Some(latency) = latency {
            self.latency.get_or_create(&RouteLabels { method, route: route.clone() }).observe(latency.as_secs_f64());
        }
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    }
}

/// A client may invent methods, and a label must not contain them.
fn known_method(method: &axum::http::Method) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("other")
}

/// The stats of all queues, as last read.
#[derive(Debug, Default)]
struct QueueFigures {
    /// None if the last read failed.
    latest: Mutex<Option<Vec<QueueStats>>>,
    /// When they were last read. Locked during a read.
    read_at: tokio::sync::Mutex<Option<Instant>>,
}

impl QueueFigures {
    async fn refresh(&self, database: &Database) {
        let mut read_at = self.read_at.lock().await;
        if read_at.is_some_and(|at| at.elapsed() < STATS_AGE) {
            return;
        }
        let read = match tokio::time::timeout(STATS_TIMEOUT, read(database)).await {
            Ok(Ok(stats)) => Some(stats),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the stats of the queues cannot be read");
                None
            }
            Err(_) => {
                tracing::warn!(timeout_ms = STATS_TIMEOUT.as_millis(), "the stats of the queues took too long");
                None
            }
        };
        *self.latest.lock() = read;
        *read_at = Some(Instant::now());
    }
}

async fn read(database: &Database) -> Result<Vec<QueueStats>, crate::error::Error> {
    let mut stats = admin::stats(&database.begin(STATS_LIMITS).await?).await?;
    stats.truncate(MAX_QUEUES);
    Ok(stats)
}

impl Collector for QueueFigures {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let latest = self.latest.lock();
        let (name, help) = ("postrider_queue_figures_up", "Whether the figures of the queues could be read.");
        let up = ConstGauge::new(u64::from(latest.is_some()));
        up.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;

        let queues = latest.as_deref().unwrap_or_default();
        let jobs = queues.iter().flat_map(|stats| {
            let counts = [
                ("available", stats.available),
                ("running", stats.running),
                ("scheduled", stats.scheduled),
                ("retryable", stats.retryable),
            ];
            counts.map(|(state, count)| ([("queue", label(&stats.queue)), ("state", state.into())], count.value))
        });
        gauges(&mut encoder, "postrider_queue_jobs", "Unfinished jobs, counted up to 10000.", jobs)?;

        let workers = queues.iter().map(|stats| ([("queue", label(&stats.queue))], stats.workers));
        gauges(&mut encoder, "postrider_queue_workers", "Live workers that serve the queue.", workers)?;

        let oldest = queues
            .iter()
            .map(|stats| ([("queue", label(&stats.queue))], stats.oldest_waiting_seconds.unwrap_or_default()));
        let name = "postrider_queue_oldest_waiting_seconds";
        gauges(&mut encoder, name, "How long the oldest due job has waited; 0 when none waits.", oldest)?;

        let paused = queues.iter().map(|stats| ([("queue", label(&stats.queue))], u64::from(stats.paused)));
        gauges(&mut encoder, "postrider_queue_paused", "1 while the queue is paused.", paused)
    }
}

/// The value of a label. A name in the database may have been written by hand, and the encoder does not escape it.
fn label(name: &str) -> Cow<'_, str> {
    if !name.contains(['\\', '"', '\n']) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n"))
}

/// One gauge with a value per set of labels.
fn gauges<'q, V: EncodeGaugeValue, const LABELS: usize>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    values: impl Iterator<Item = ([(&'q str, Cow<'q, str>); LABELS], V)>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        family.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

/// The counters of the worker in this process, if there is one.
#[derive(Debug)]
struct WorkerCollector(Arc<worker::Metrics>);

impl Collector for WorkerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let counted = &self.0;
        for (name, help, value) in [
            ("postrider_worker_claimed", "Attempts claimed.", counted.claimed()),
            ("postrider_worker_completed", "Jobs completed.", counted.completed()),
            ("postrider_worker_failed", "Attempts that failed, by error, panic or timeout.", counted.failed()),
            ("postrider_worker_panicked", "Attempts that panicked; also counted as failed.", counted.panicked()),
            ("postrider_worker_discarded", "Jobs discarded.", counted.discarded()),
            ("postrider_worker_cancelled", "Jobs cancelled.", counted.cancelled()),
            ("postrider_worker_snoozed", "Attempts snoozed.", counted.snoozed()),
            (
                "postrider_worker_released",
                "Attempts released: not started, or cut off by the shutdown. They do not count.",
                counted.released(),
            ),
            ("postrider_worker_stale", "Outcomes refused because another attempt has the job.", counted.stale()),
            ("postrider_worker_failovers", "Changes of the server: restarts and failovers.", counted.failovers()),
            ("postrider_worker_rescued", "Jobs taken back from dead workers.", counted.rescued()),
        ] {
            ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let running = ConstGauge::new(counted.running());
        let name = "postrider_worker_running";
        running.encode(encoder.encode_descriptor(name, "Attempts running now.", None, MetricType::Gauge)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn figures_are_shown_also_while_the_database_cannot_be_reached() -> Result<(), Box<dyn std::error::Error>> {
        let nowhere = Database::from_url("postgres://nobody@127.0.0.1:1/none")?;
        let metrics = Metrics::new(Some(Arc::default()));
        metrics.http().count(&axum::http::Method::GET, "/jobs/{id}", 200, Some(Duration::from_millis(3)));
        metrics.http().count(&axum::http::Method::from_bytes(b"BREW")?, "unmatched", 404, None);
        let text = metrics.text(&nowhere).await?;
        for line in [
            "postrider_http_requests_total{method=\"GET\",route=\"/jobs/{id}\",status=\"200\"} 1",
            "postrider_http_requests_total{method=\"other\",route=\"unmatched\",status=\"404\"} 1",
            "postrider_worker_claimed_total 0",
            "postrider_worker_running 0",
            "postrider_queue_figures_up 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        Ok(())
    }
}
