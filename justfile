# Shortcuts for `scripts/`, for those who have just. `just` alone lists them.

set positional-arguments

# The services' environment, for the programs that are started alone.
with_services := "scripts/services start && set -a && . .dev/env && set +a"

[private]
default:
    @just --list

# Everything: Postgres, S3 store, web and worker, until Ctrl-C (--reset: from empty)
dev *ARGS:
    @scripts/dev "$@"

# The worker alone, against the development services
worker *ARGS:
    @{{ with_services }} && cargo build --features bin && worker migrate && exec worker run "$@"

# The web service alone, against the development services
web *ARGS:
    @{{ with_services }} && cargo build --features bin && worker migrate && exec web "$@"

# All checks and tests (--only CHECK, --pg VERSION, -- NEXTEST-ARGUMENTS)
test *ARGS:
    @scripts/test "$@"

# The programs of an older revision beside these, through a migration ([REVISION])
upgrade-check *ARGS:
    @scripts/upgrade-check "$@"

# Asks the web service whatever its description allows and forbids (--seed N, --seconds N)
http-fuzz *ARGS:
    @scripts/http-fuzz "$@"

# Injects faults into the queue and checks its promises (--minutes N, --seed N)
chaos *ARGS:
    @scripts/chaos "$@"

# Measures this machine with the queue, on the development services (--quick, --only NAME,…)
bench *ARGS:
    @{{ with_services }} && cargo build --release --features bin && exec target/release/worker bench "$@"

# Measures Postrider beside its rivals (--quick, --rounds N, --systems NAME,…, --only NAME,…)
bench-peers *ARGS:
    @benches/peers/run "$@"

# Starts the development services in the background
db-up:
    @scripts/services start

# Stops them; their data stays
db-down:
    @scripts/services stop

# Formats the code
fmt:
    @cargo fmt --all
