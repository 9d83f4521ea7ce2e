# shellcheck shell=bash
# A Postgres for one run of the tests, removed afterwards. Needs checkout.sh,
# postgres_home.sh, postgres_binaries.sh and postgres_cluster.sh.

test_cluster=
test_database_url=

# start_test_postgres [MAJOR]: sets `test_database_url` to the URL of its superuser.
# fsync stays on, because the tests measure latency.
start_test_postgres() {
    local binaries password parent=${TMPDIR:-/tmp}
    binaries=$(need_postgres "${1:-}")
    # Tests that start their own clusters take the first on the PATH.
    [[ $(command -v postgres) -ef $binaries/postgres ]] || PATH=$binaries:$PATH
    suits_postgres "$parent" postrider-test.XXXXXX || parent=/tmp
    test_cluster=$(mktemp -d "$parent/postrider-test.XXXXXX")
    password=$(random_secret)
    # Each test has its own database and pools, and many tests run at a time.
    create_cluster "$binaries" "$test_cluster" "$password" postgres 'max_connections = 300'
    start_cluster "$test_cluster"
    test_database_url=$(cluster_url "$test_cluster" "$password" postgres)
    say "Postgres $(read_line "$test_cluster/data/PG_VERSION") for the tests: $test_cluster"
}

drop_test_postgres() {
    [[ -n $test_cluster ]] || return 0
    # A second Ctrl-C must not interrupt the cleanup.
    trap '' INT TERM HUP
    stop_cluster "$test_cluster"
    cp "$test_cluster/log" "$dev/test-postgres.log" 2>/dev/null || true
    rm -rf "$test_cluster"
    test_cluster=
}
