# shellcheck shell=bash
# A Postgres for one run of the tests, gone afterwards. Needs checkout.sh,
# postgres_home.sh, postgres_binaries.sh and postgres_cluster.sh.

test_cluster=
test_binaries=
test_database_url=

# start_test_postgres [MAJOR]: its superuser's URL is in `test_database_url`. It
# flushes like a real one, because the tests measure latency.
start_test_postgres() {
    local password parent=${TMPDIR:-/tmp}
    test_binaries=$(need_postgres "${1:-}")
    # For the tests that start clusters of their own.
    PATH=$PATH:$test_binaries
    suits_postgres "$parent" postrider-test.XXXXXX || parent=/tmp
    test_cluster=$(mktemp -d "$parent/postrider-test.XXXXXX")
    password=$(random_secret)
    # Each test has a database and pools of its own, many at a time.
    create_cluster "$test_binaries" "$test_cluster" "$password" postgres 'max_connections = 300'
    start_cluster "$test_binaries" "$test_cluster"
    test_database_url=$(cluster_url "$test_cluster" "$password" postgres)
    say "Postgres $(read_line "$test_cluster/data/PG_VERSION") for the tests: $test_cluster"
}

drop_test_postgres() {
    [[ -n $test_cluster ]] || return 0
    # An impatient second Ctrl-C must not leave it behind.
    trap '' INT TERM HUP
    stop_cluster "$test_binaries" "$test_cluster"
    cp "$test_cluster/log" "$dev/test-postgres.log" 2>/dev/null || true
    rm -rf "$test_cluster"
    test_cluster=
}
