//! Which handler runs which kind.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Context, JobError};
use crate::Error;
use crate::job::{Job, check_kind};

/// A running handler.
pub(super) type HandlerFuture = Pin<Box<dyn Future<Output = Result<(), JobError>> + Send>>;

type Start<S> = dyn Fn(&str, Context<S>) -> HandlerFuture + Send + Sync;

/// A kind's handler and the kind's own defaults.
pub(super) struct Handler<S> {
    pub kind: &'static str,
    pub timeout: Option<Duration>,
    pub retry_after: fn(u32) -> Option<Duration>,
    start: Box<Start<S>>,
}

impl<S: Send + Sync + 'static> Handler<S> {
    pub fn of<J, F, Fut>(handler: F) -> Self
    where
        J: Job,
        F: Fn(J, Context<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        let start = move |args: &str, context: Context<S>| -> HandlerFuture {
            match serde_json::from_str::<J>(args) {
                Ok(payload) => Box::pin(handler(payload, context)),
                Err(error) => {
                    let text = format!("args do not decode as {}: {}", J::KIND, decode_problem(&error));
                    Box::pin(std::future::ready(Err(JobError::retry(text))))
                }
            }
        };
        Self { kind: J::KIND, timeout: J::TIMEOUT, retry_after: J::retry_after, start: Box::new(start) }
    }

    /// Decodes the args and starts the handler on them.
    pub fn start(&self, args: &str, context: Context<S>) -> HandlerFuture {
        (self.start)(args, context)
    }
}

/// What is wrong with args, without anything that they contain: errors are logged, args are not.
fn decode_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // These name only fields of the payload's own type.
    if text.starts_with("missing field") || text.starts_with("duplicate field") {
        return text;
    }
    format!(
        "a field that it does not know, or a value that it cannot hold, at line {} column {}",
        error.line(),
        error.column()
    )
}

/// The handlers of a worker, by kind.
pub(super) struct Registry<S> {
    handlers: HashMap<&'static str, Arc<Handler<S>>>,
    twice: Option<&'static str>,
}

impl<S> Default for Registry<S> {
    fn default() -> Self {
        Self { handlers: HashMap::new(), twice: None }
    }
}

impl<S> Registry<S> {
    pub fn insert(&mut self, handler: Handler<S>) {
        let kind = handler.kind;
        if self.handlers.insert(kind, Arc::new(handler)).is_some() {
            self.twice = Some(kind);
        }
    }

    pub fn get(&self, kind: &str) -> Option<&Arc<Handler<S>>> {
        self.handlers.get(kind)
    }

    pub fn kinds(&self) -> Vec<&'static str> {
        let mut kinds: Vec<_> = self.handlers.keys().copied().collect();
        kinds.sort_unstable();
        kinds
    }

    pub fn check(&self) -> Result<(), Error> {
        if let Some(kind) = self.twice {
            return Err(Error::invalid("kind", format!("{kind:?} has two handlers")));
        }
        if self.handlers.is_empty() {
            return Err(Error::invalid("kind", "has no handler: a worker handles at least one"));
        }
        self.handlers.keys().try_for_each(|kind| check_kind(kind))
    }
}
