//! The handlers of a worker, by kind, and the middleware around them.
//!
//! Promise: `check` refuses a kind with two handlers, and a worker without a handler. It does not change while the
//! worker runs.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::Error;
use crate::job::check_kind;
use crate::worker::Context;
use crate::worker::handler::{Handler, HandlerFuture};
use crate::worker::middleware::{self, Middleware};

/// The handlers of a worker, by kind.
pub(super) struct Registry<S> {
    handlers: HashMap<&'static str, Arc<Handler<S>>>,
    twice: Option<&'static str>,
    /// The first is the outermost.
    middleware: Arc<Vec<Middleware<S>>>,
}

impl<S> Default for Registry<S> {
    fn default() -> Self {
        Self { handlers: HashMap::new(), twice: None, middleware: Arc::default() }
    }
}

impl<S> Registry<S> {
    pub fn insert(&mut self, handler: Handler<S>) {
        let kind = handler.kind;
        if self.handlers.insert(kind, Arc::new(handler)).is_some() {
            self.twice = Some(kind);
        }
    }

    pub fn add_middleware(&mut self, layer: Middleware<S>) {
        Arc::make_mut(&mut self.middleware).push(layer);
    }

    pub fn get(&self, kind: &str) -> Option<&Arc<Handler<S>>> {
        self.handlers.get(kind)
    }

    pub fn kinds(&self) -> Vec<&'static str> {
        let mut kinds: Vec<_> = self.handlers.keys().copied().collect();
        kinds.sort_unstable();
        kinds
    }

    /// Decodes the args and starts the handler, within the middleware.
    pub fn start(&self, handler: Arc<Handler<S>>, args: String, context: Context<S>) -> HandlerFuture
    where
        S: Send + Sync + 'static,
    {
        middleware::within(&self.middleware, context, move |context| handler.start(args, context))
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
