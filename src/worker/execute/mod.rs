//! Running claimed jobs: slots, attempts, cancellation.
//!
//! - `executor` starts a claimed job in a free slot, `slots` counts them and buffers what was claimed ahead
//! - `attempt` runs one handler call: timeout, cancellation, panic; `panic_trace` keeps the panic's trace
//! - `args_loader` reads large args when their job starts, `args_memory` limits the bytes of all
//! - `retry_policy` computes the delay after a failure
//! - `isolation` runs a job alone after several workers have died while they ran it
//! - `cancel` carries out requests to cancel, `runtime_waker` keeps the runtime polling while a handler blocks
//!
//! Promises: never more running attempts than slots; a handler's panic ends its attempt and nothing else; each
//! attempt hands exactly one outcome to `finish`.
//!
//! It claims nothing and records nothing. Its only statements read args and requests to cancel.

pub(super) mod args_loader;
pub(super) mod args_memory;
pub(super) mod attempt;
pub(super) mod cancel;
pub(super) mod executor;
pub(super) mod isolation;
pub(super) mod panic_trace;
pub(super) mod retry_policy;
pub(super) mod runtime_waker;
pub(super) mod slots;
