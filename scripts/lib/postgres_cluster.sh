# shellcheck shell=bash
# A private Postgres: a folder with its `data`, `log`, `port`, `binaries` and socket,
# owned by the user that runs it. Needs checkout.sh, processes.sh, ports.sh, postgres_home.sh
# and postgres_binaries.sh.

postgres_superuser=postrider

random_secret() { head -c 20 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# create_cluster BINARIES FOLDER PASSWORD DATABASE [SETTING…]: every connection
# requires the password, because the machine may have other users.
create_cluster() {
    local binaries=$1 folder=$2 password=$3 database=$4
    shift 4
    local new=$folder/data.new
    mkdir -p "$folder"
    # Removes what an interrupted start has left.
    rm -rf "$new"
    printf '%s\n' "$password" >"$folder/password.new"
    chmod 600 "$folder/password.new"
    chmod 700 "$folder"
    give_to_postgres_user "$folder" "$folder/password.new"
    as_postgres_user "$binaries/initdb" --pgdata "$new" --username "$postgres_superuser" \
        --pwfile "$folder/password.new" --auth scram-sha-256 --encoding UTF8 --no-locale \
        --no-instructions --no-sync >"$folder/initdb.log" 2>&1 ||
        fail "initdb failed:"$'\n'"$(<"$folder/initdb.log")"
    rm -f "$folder/password.new"
    printf '%s\n' "listen_addresses = '127.0.0.1'" "$@" >>"$new/postgresql.conf"
    printf '%s\n' "$binaries" >"$folder/binaries"
    create_database "$binaries" "$folder" "$database"
    mv "$new" "$folder/data"
}

# Runs before the first start, because not every build of Postgres includes a client.
create_database() {
    [[ $3 != postgres ]] || return 0
    echo "CREATE DATABASE $3" |
        as_postgres_user "$1/postgres" --single -D "$2/data.new" postgres >"$2/initdb.log" 2>&1 ||
        fail "cannot create the database:"$'\n'"$(<"$2/initdb.log")"
}

cluster_is_running() { is_process "$(read_line "$1/data/postmaster.pid")" "$1/data"; }

# control_cluster FOLDER ARGUMENT…: runs the pg_ctl of the Postgres that created the
# cluster, or another one of its version if that is gone. Its log tells more than pg_ctl.
control_cluster() {
    local binaries
    binaries=$(read_line "$1/binaries")
    [[ -x $binaries/pg_ctl ]] || binaries=$(find_postgres "$(read_line "$1/data/PG_VERSION")") ||
        fail "the Postgres that created $1 is gone from this machine"
    as_postgres_user "$binaries/pg_ctl" -D "$1/data" "${@:2}" </dev/null >/dev/null 2>&1
}

# start_cluster FOLDER: reuses its former port if that is free.
start_cluster() {
    local folder=$1 port
    cluster_is_running "$folder" || forget_dead_postmaster "$folder"
    port=$(read_line "$folder/port")
    [[ -n $port ]] && port_is_free "$port" || port=$(free_port)
    local tries=20
    while ! launch_postmaster "$folder" "$port"; do
        ((tries-- > 0)) || cluster_failed "$folder" "does not start"
        if grep -q 'could not bind' "$folder/log"; then
            port=$(free_port)
        elif grep -Eq 'still in use|shared memory block' "$folder/log"; then
            # Orphaned backends of a killed postmaster are still exiting.
            sleep 0.5
        else
            cluster_failed "$folder" "does not start"
        fi
    done
    printf '%s\n' "$port" >"$folder/port"
}

# After a kill or a reboot, the pid may belong to another process, which Postgres
# would take for a running postmaster. Replaces it with a pid that no process can
# have. Keeps the file: Postgres needs it to detect old sessions that still have the
# data open.
forget_dead_postmaster() {
    [[ ! -f $1/data/postmaster.pid ]] || as_postgres_user sed -i '1s/.*/2147483646/' "$1/data/postmaster.pid"
    rm -f "$1"/.s.PGSQL.*
}

launch_postmaster() {
    [[ ! -f $1/log ]] || mv "$1/log" "$1/log.before"
    (
        [[ -z ${lock:-} ]] || exec {lock}>&-
        # The callers look for English messages in the log.
        LC_ALL=C control_cluster "$1" start --timeout 180 --log "$1/log" --options "-p $2 -k '$1'"
    )
}

cluster_failed() { fail "Postgres $2:"$'\n'"$(tail -n 20 "$1/log")"; }

# stop_cluster FOLDER [MODE]: terminates all sessions. No commit is lost.
stop_cluster() {
    ! cluster_is_running "$1" || control_cluster "$1" stop --mode "${2:-fast}" ||
        control_cluster "$1" stop --mode immediate || cluster_failed "$1" "does not stop"
}

# cluster_url FOLDER PASSWORD DATABASE
cluster_url() { printf 'postgres://%s:%s@127.0.0.1:%s/%s\n' "$postgres_superuser" "$2" "$(read_line "$1/port")" "$3"; }
