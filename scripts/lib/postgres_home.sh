# shellcheck shell=bash
# The user that runs Postgres, and the folder of its data. Needs checkout.sh.

# Postgres refuses to run as root.
postgres_user=postgres
id "$postgres_user" >/dev/null 2>&1 || postgres_user=nobody

as_postgres_user() {
    if ((EUID != 0)); then
        "$@"
    elif command -v runuser >/dev/null; then
        (cd / && runuser -u "$postgres_user" -- "$@")
    else
        (cd / && su -s /bin/sh "$postgres_user" -c "$(printf '%q ' "$@")")
    fi
}

give_to_postgres_user() { ((EUID != 0)) || chown "$postgres_user" "$@"; }

# postgres_home: prints the folder for the cluster and for downloaded binaries:
# `.dev/postgres`, or the folder named in `.dev/data-dir` if Postgres cannot use the
# former. Call it in a checked assignment: it may fail.
postgres_home() {
    local home
    if home=$(recorded_postgres_home); then
        printf '%s\n' "$home"
    elif suits_postgres "$dev" postgres/cluster; then
        mkdir -p "$dev/postgres"
        chmod 711 "$dev/postgres"
        printf '%s\n' "$dev/postgres"
    else
        # /var/tmp, unlike /tmp, survives a reboot.
        home=$(mktemp -d /var/tmp/postrider.XXXXXX 2>/dev/null || mktemp -d) || fail "cannot make a temporary folder"
        chmod 711 "$home"
        printf '%s\n' "$checkout" >"$home/checkout"
        printf '%s\n' "$home" >"$dev/data-dir"
        say "Postgres cannot live in $dev, so its data goes to $home"
        printf '%s\n' "$home"
    fi
}

recorded_postgres_home() {
    [[ -s $dev/data-dir ]] || return 1
    local home
    home=$(<"$dev/data-dir")
    # A copy of the checkout includes this record, but must not share the data.
    [[ -f $home/checkout && $(<"$home/checkout") == "$checkout" ]] || return 1
    printf '%s\n' "$home"
}

# suits_postgres PARENT NAME: checks that PARENT/NAME can hold a cluster. The path
# must be short enough for a socket (107 bytes at most), contain no characters that
# the configuration would have to escape, and be accessible to the user of Postgres.
suits_postgres() {
    local socket=$1/$2/.s.PGSQL.65535 LC_ALL=C
    ((${#socket} <= 100)) && [[ $socket != *[\'\",\\]* ]] && as_postgres_user test -x "$1"
}
