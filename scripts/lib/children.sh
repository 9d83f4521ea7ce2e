# shellcheck shell=bash
# Runs children in separate process groups. Ctrl-C in a terminal signals a whole
# group, so it reaches only the script. The script forwards each signal exactly once
# (a second one makes a worker cut off its running attempts).

children=()
stopping=

# launch COMMAND…: starts it in the background and sets `launched` to its pid.
launch() {
    # Job control puts the child into its own group. Without it, bash makes the child
    # ignore SIGINT.
    set -m
    # The child may write to the terminal, but must not wait for input.
    if [[ -n ${lock:-} ]]; then
        "$@" </dev/null {lock}>&- &
    else
        "$@" </dev/null &
    fi
    launched=$!
    set +m
    children+=("$launched")
}

is_alive() { kill -0 "$1" 2>/dev/null; }

# await PID: returns its exit status, even if signals interrupt the wait.
await() {
    local status
    while true; do
        status=0
        wait "$1" || status=$?
        is_alive "$1" || return "$status"
    done
}

pass_on_signals() {
    trap 'pass_on INT' INT
    trap 'pass_on TERM' TERM HUP
}

pass_on() {
    stopping=$1
    signal_children "$1"
}

signal_children() {
    local child
    for child in "${children[@]}"; do
        kill -s "$1" -- "-$child" 2>/dev/null || true
    done
}
