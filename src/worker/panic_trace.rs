//! The trace of a panic inside an attempt.
//!
//! A panic's place is known only to the process-wide hook, so one is installed with the first
//! worker. It keeps the trace of a panic that happens inside an attempt, for the attempt's record;
//! all other panics go on to the hook that was there before.

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::future::Future;
use std::panic::PanicHookInfo;
use std::sync::Once;

use super::text::{MAX_TRACE_BYTES, storable};

tokio::task_local! {
    static IN_ATTEMPT: ();
}

thread_local! {
    static TRACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs the hook, once for the process.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if IN_ATTEMPT.try_with(|()| ()).is_ok() {
                keep_trace(info);
            } else {
                before(info);
            }
        }));
    });
}

/// Runs `attempt` so that the trace of its panic is kept.
pub(super) fn tracing<F: Future>(attempt: F) -> impl Future<Output = F::Output> {
    IN_ATTEMPT.scope((), attempt)
}

/// The trace of the panic that was just caught on this thread.
pub(super) fn take() -> Option<String> {
    TRACE.with(|trace| trace.try_borrow_mut().ok().and_then(|mut trace| trace.take()))
}

fn keep_trace(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(|| "unknown place".to_owned(), ToString::to_string);
    let text = storable(&format!("panicked at {place}\n{}", Backtrace::force_capture()), MAX_TRACE_BYTES);
    TRACE.with(|trace| {
        if let Ok(mut trace) = trace.try_borrow_mut() {
            *trace = Some(text);
        }
    });
}
