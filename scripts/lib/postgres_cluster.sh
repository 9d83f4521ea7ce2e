# shellcheck shell=bash
# A private Postgres: a folder with its `data`, `log`, `port` and socket, owned by
# the user that runs it. Needs checkout.sh, processes.sh, ports.sh, postgres_home.sh
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
        --no-instructions >"$folder/initdb.log" 2>&1 ||
        fail "initdb failed:"$'\n'"$(<"$folder/initdb.log")"
    rm -f "$folder/password.new"
    printf '%s\n' "listen_addresses = '127.0.0.1'" "unix_socket_directories = '$folder'" \
        "$@" >>"$new/postgresql.conf"
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

# start_cluster BINARIES FOLDER: reuses its former port if that is free.
start_cluster() {
    local binaries=$1 folder=$2 port
    cluster_is_running "$folder" || forget_dead_postmaster "$folder"
    port=$(read_line "$folder/port")
    [[ -n $port ]] && port_is_free "$port" || port=$(free_port)
    local tries=20
    while ! launch_postmaster "$binaries" "$folder" "$port"; do
        ((tries-- > 0)) || cluster_failed "$folder"
        if grep -q 'could not bind' "$folder/log"; then
            port=$(free_port)
        elif grep -Eq 'still in use|shared memory block' "$folder/log"; then
            # Orphaned backends of a killed postmaster are still exiting.
            sleep 0.5
        else
            cluster_failed "$folder"
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
    [[ ! -f $2/log ]] || mv "$2/log" "$2/log.before"
    (
        [[ -z ${lock:-} ]] || exec {lock}>&-
        as_postgres_user "$1/pg_ctl" start --silent --wait --timeout 60 -D "$2/data" \
            --log "$2/log" --options "-p $3" >/dev/null 2>&1 </dev/null
    )
}

cluster_failed() { fail "Postgres does not start:"$'\n'"$(tail -n 20 "$1/log")"; }

# stop_cluster BINARIES FOLDER: terminates all sessions. No commit is lost.
stop_cluster() {
    cluster_is_running "$2" || return 0
    as_postgres_user "$1/pg_ctl" stop --silent --mode fast --timeout 60 -D "$2/data" >/dev/null 2>&1 ||
        as_postgres_user "$1/pg_ctl" stop --silent --mode immediate -D "$2/data" >/dev/null 2>&1 ||
        fail "Postgres does not stop: see $2/log"
}

# cluster_url FOLDER PASSWORD DATABASE
cluster_url() { printf 'postgres://%s:%s@127.0.0.1:%s/%s\n' "$postgres_superuser" "$2" "$(read_line "$1/port")" "$3"; }
