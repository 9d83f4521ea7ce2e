# shellcheck shell=bash
# Processes that outlive the script, and how to be sure that one is ours.

# is_process PID TEXT: PID lives and TEXT is in its command line. A number in a
# file alone proves nothing: after a crash or a reboot it may be anyone's.
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

# end_process PID TEXT SECONDS: asks, waits, then insists.
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

# start_daemon LOG COMMAND…: prints its pid. The daemon is in a process group of
# its own, so that Ctrl-C in the terminal is not meant for it, and it holds no
# lock of ours.
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

# read_line FILE: its first line, or nothing where there is no such file.
read_line() {
    local line=
    [[ ! -r $1 ]] || read -r line <"$1" || true
    printf '%s' "$line"
}
