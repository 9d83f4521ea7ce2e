//! Middleware: what runs around the handler of each attempt.
//!
//! Promise: it is a part of the attempt. Its panics are caught, and a timeout, a cancel or a shutdown ends it as it ends
//! the handler. Without middleware, nothing is called.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::job::CheckedJson;
use crate::worker::handler::HandlerFuture;
use crate::worker::{Context, JobError};

/// The handler, and the middleware between it and the one that has this.
pub struct Next(Box<dyn FnOnce() -> HandlerFuture + Send>);

/// The value of a handler that has succeeded, as it is kept with the job.
#[derive(Debug)]
pub struct HandlerOutput(Option<CheckedJson>);

/// One layer of middleware.
pub(super) type Middleware<S> = Arc<dyn Fn(Context<S>, Next) -> MiddlewareFuture + Send + Sync>;

type MiddlewareFuture = Pin<Box<dyn Future<Output = Result<HandlerOutput, JobError>> + Send>>;

impl Next {
    /// Decodes the args and runs the handler.
    ///
    /// # Errors
    /// What the handler returns, or that its args do not decode.
    pub async fn run(self) -> Result<HandlerOutput, JobError> {
        (self.0)().await.map(HandlerOutput)
    }
}

/// The function as a layer.
pub(super) fn layer<S, F, Fut>(function: F) -> Middleware<S>
where
    F: Fn(Context<S>, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<HandlerOutput, JobError>> + Send + 'static,
{
    Arc::new(move |context, next| Box::pin(function(context, next)))
}

/// Starts the handler within the layers, of which the first is the outermost.
pub(super) fn within<S: Send + Sync + 'static>(
    layers: &Arc<Vec<Middleware<S>>>,
    context: Context<S>,
    start: impl FnOnce(Context<S>) -> HandlerFuture + Send + 'static,
) -> HandlerFuture {
    if layers.is_empty() {
        return start(context);
    }
    let running = from_layer(Arc::clone(layers), 0, context, Box::new(start));
    Box::pin(async move { running.await.map(|HandlerOutput(output)| output) })
}

type Start<S> = Box<dyn FnOnce(Context<S>) -> HandlerFuture + Send>;

fn from_layer<S: Send + Sync + 'static>(
    layers: Arc<Vec<Middleware<S>>>,
    number: usize,
    context: Context<S>,
    start: Start<S>,
) -> MiddlewareFuture {
    let Some(layer) = layers.get(number).map(Arc::clone) else {
        return Box::pin(Next(Box::new(move || start(context))).run());
    };
    let inner = context.clone();
    let next = Next(Box::new(move || {
        Box::pin(async move { from_layer(layers, number + 1, inner, start).await.map(|HandlerOutput(output)| output) })
    }));
    layer(context, next)
}
