# shellcheck shell=bash
# Children in process groups of their own. Ctrl-C in a terminal goes to a whole
# group: this way it reaches the script alone, which passes on exactly one signal
# for each that it gets (a second one tells a worker to hurry).

children=()
stopping=

# launch COMMAND…: in the background; its pid is in `launched`.
launch() {
    # Job control gives the child its group, and leaves it its signals.
    set -m
    # Its output may still go to the terminal, but it must not wait for input.
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

# await PID: its exit status, however many signals arrive meanwhile.
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
