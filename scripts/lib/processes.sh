# shellcheck shell=bash
# Processes that outlive the script, and checks that a pid belongs to one of them.

# is_process PID TEXT: PID is alive and its command line contains TEXT. A pid file
# alone is not enough: after a crash or a reboot the pid may belong to any process.
is_process() {
    [[ ${1:-} =~ ^[0-9]+$ ]] || return 1
    local command_line
    if [[ -d /proc/self ]]; then
        command_line=$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline") || return 1
    else
        command_line=$(ps -o args= -p "$1" 2>/dev/null) || return 1
    fi
    [[ $command_line == *"$2"* ]]
}

# end_process PID TEXT SECONDS: sends SIGTERM, and SIGKILL after SECONDS.
end_process() {
    local tenths=$(($3 * 10))
    is_process "$1" "$2" || return 0
    kill -TERM "$1" 2>/dev/null || return 0
    while is_process "$1" "$2"; do
        if ((tenths-- == 0)); then
            kill -KILL "$1" 2>/dev/null || return 0
        fi
        sleep 0.1
    done
}

# start_daemon LOG COMMAND…: prints its pid. The daemon has a separate process group,
# so that Ctrl-C in the terminal does not reach it, and does not inherit our lock.
start_daemon() {
    local log=$1
    shift
    (
        [[ -z ${lock:-} ]] || exec {lock}>&-
        set -m
        nohup "$@" </dev/null >>"$log" 2>&1 &
        echo "$!"
    )
}

# read_line FILE: prints its first line, or nothing if the file does not exist.
read_line() {
    local line=
    [[ ! -r $1 ]] || read -r line <"$1" || true
    printf '%s' "$line"
}
