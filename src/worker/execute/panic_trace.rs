//! The backtrace of a panic in an attempt.
//!
//! Only the process-wide panic hook knows where a panic happened, so the first worker installs one. It keeps the trace
//! of a panic in an attempt for the attempt's record.
//!
//! Promise: the former hook (Sentry's, color-eyre's) is called for every panic, with one exception: the standard hook
//! is not called for an attempt, because its text is in the log line of the job. Panics are caught elsewhere.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use crate::worker::error_text::{MAX_TRACE_BYTES, storable};

tokio::task_local! {
    static IN_ATTEMPT: ();
}

thread_local! {
    static TRACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs the hook, once per process.
pub(in crate::worker) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = take_hook();
        let is_standard = is_standard(&before);
        set_hook(Box::new(move |info| {
            let in_attempt = is_in_attempt();
            if in_attempt {
                keep_trace(info);
            }
            if !(in_attempt && is_standard) {
                before(info);
            }
        }));
    });
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send>;

/// Whether a hook that was just taken is the standard one.
fn is_standard(taken: &Hook) -> bool {
    // After a hook was taken, the standard one is in place. It has no state, so no address of its own. The comparison
    // includes its code, which tells it apart.
    std::ptr::eq(&raw const **taken, &raw const *take_hook())
}

/// Whether this code runs in an attempt.
pub(crate) fn is_in_attempt() -> bool {
    IN_ATTEMPT.try_with(|()| ()).is_ok()
}

/// Runs `attempt` and keeps the trace of its panic.
pub(in crate::worker) fn in_attempt<F: Future>(attempt: F) -> impl Future<Output = F::Output> {
    IN_ATTEMPT.scope((), attempt)
}

/// The same for code that runs on this thread.
pub(in crate::worker) fn in_attempt_sync<T>(attempt: impl FnOnce() -> T) -> T {
    IN_ATTEMPT.sync_scope((), attempt)
}

/// Keeps the trace of a panic that was caught elsewhere and goes on on this thread.
pub(in crate::worker) fn set(caught: Option<String>) {
    TRACE.with(|trace| {
        if let Ok(mut trace) = trace.try_borrow_mut() {
            *trace = caught;
        }
    });
}

/// The message of a panic.
pub(in crate::worker) fn payload_text(payload: Box<dyn Any + Send>) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panicked without a message".to_owned());
    // A payload whose drop panics would end the worker's task.
    if catch_unwind(AssertUnwindSafe(move || drop(payload))).is_err() {
        tracing::error!("the payload of a panic panicked when it was dropped");
    }
    text
}

/// Takes the trace of the panic that was just caught on this thread.
pub(in crate::worker) fn take() -> Option<String> {
    TRACE.with(|trace| trace.try_borrow_mut().ok().and_then(|mut trace| trace.take()))
}

fn keep_trace(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(|| "unknown place".to_owned(), ToString::to_string);
    let text = storable(&format!("panicked at {place}\n{}", Backtrace::force_capture()), MAX_TRACE_BYTES);
    set(Some(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_hook_is_distinguished_from_any_other() {
        let _ = take_hook();
        assert!(is_standard(&take_hook()));
        for hook in [Box::new(|_: &PanicHookInfo<'_>| {}) as Hook, take_chained()] {
            set_hook(hook);
            assert!(!is_standard(&take_hook()));
        }
    }

    fn take_chained() -> Hook {
        let before = take_hook();
        Box::new(move |info| before(info))
    }
}
