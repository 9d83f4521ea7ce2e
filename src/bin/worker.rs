//! The program `worker`: the command line of [`postrider::cli`].

use std::process::ExitCode;

use postrider::cli;

fn main() -> ExitCode {
    let invocation = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(status) => return ExitCode::from(status),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("worker: no runtime: {error}; see that threads and memory are left");
            return ExitCode::from(cli::exit::FAILED);
        }
    };
    let status = runtime.block_on(invocation.execute());
    // A handler that blocks its thread does not delay the exit.
    runtime.shutdown_background();
    ExitCode::from(status)
}
