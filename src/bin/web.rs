//! The HTTP service. Its code is in `postrider::web`.

use std::process::ExitCode;

fn main() -> ExitCode {
    postrider::web::main()
}
