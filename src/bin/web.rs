//! The HTTP service; all of it is in `postrider::web`.

use std::process::ExitCode;

fn main() -> ExitCode {
    postrider::web::main()
}
