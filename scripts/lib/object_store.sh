# shellcheck shell=bash
# The private S3 store: `scripts/s3_dev_server.rs`, which serves a folder. Needs
# checkout.sh, processes.sh and build.sh.

store=$dev/s3
store_bucket=postrider
store_access_key=postrider

# S3_ENDPOINT in the environment means that the user has a store, unless the value
# comes from a sourced `.dev/env`.
store_is_elsewhere() { [[ -n ${S3_ENDPOINT:-} && $S3_ENDPOINT != "$(read_line "$store/endpoint")" ]]; }

store_is_running() { is_process "$(read_line "$store/pid")" "$store/objects"; }

start_store() {
    ! store_is_running || return 0
    local former port
    former=$(read_line "$store/endpoint")
    port=${former##*:}
    mkdir -p "$store/objects"
    [[ -s $store/secret ]] || (umask 077 && random_secret >"$store/secret")
    rm -f "$store/endpoint.new"
    [[ ! -f $store/log ]] || mv "$store/log" "$store/log.before"
    # Passes the keys in the environment, which other users cannot list.
    S3_ACCESS_KEY=$store_access_key S3_SECRET_KEY=$(<"$store/secret") \
        start_daemon "$store/log" "$(built_program examples/s3_dev_server)" \
        --root "$store/objects" --bucket "$store_bucket" \
        --port "${port:-0}" --endpoint-file "$store/endpoint.new" >"$store/pid"
    local tenths=100 pid
    pid=$(<"$store/pid")
    until [[ -s $store/endpoint.new ]]; do
        # Not `store_is_running`: the process may not have its command line yet.
        if ! kill -0 "$pid" 2>/dev/null || ((tenths-- == 0)); then
            fail "the S3 store does not start:"$'\n'"$(<"$store/log")"
        fi
        sleep 0.1
    done
    mv "$store/endpoint.new" "$store/endpoint"
}

stop_store() {
    end_process "$(read_line "$store/pid")" "$store/objects" 5
    rm -f "$store/pid"
}
