# shellcheck shell=bash
# The checkout that a script belongs to, the words it speaks, and its locks.

if ((BASH_VERSINFO[0] < 5 && (BASH_VERSINFO[0] < 4 || BASH_VERSINFO[1] < 4))); then
    echo "Postrider's scripts need bash 4.4 or newer, this is $BASH_VERSION" >&2
    exit 1
fi

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
# Everything that the scripts make lives here, and nothing of it is committed.
dev=$checkout/.dev

# What holds a secret is closed one by one; the rest must not depend on the
# caller's habit, because another user may run Postgres.
umask 022

say() { printf '%s\n' "$*" >&2; }

fail() {
    printf '%s: %s\n' "scripts/${0##*/}" "$*" >&2
    exit 1
}

# Exit status 2 tells a wrong call from a failure.
usage_error() {
    printf '%s: %s (--help tells how)\n' "scripts/${0##*/}" "$*" >&2
    exit 2
}

# The head comment of a script is its help.
print_help() { sed -n '2,/^$/ { s/^# \{0,1\}//; p; }' "$0"; }

make_dev_folder() {
    # The user that runs Postgres for root has to pass through.
    [[ -d $dev ]] || mkdir -m 755 "$dev" || fail "cannot make $dev"
    [[ -w $dev ]] || fail "$dev belongs to $(owner_of "$dev"): remove it, or run as that user"
}

owner_of() {
    local line
    # shellcheck disable=SC2012 # `stat` has other options on every system
    read -r _ _ line _ < <(ls -ld -- "$1")
    printf '%s\n' "$line"
}

# take_lock NAME [--now]: held until the script ends. With --now it is an error
# if somebody else holds it. Daemons must not inherit it: see `start_daemon`.
take_lock() {
    make_dev_folder
    exec {lock}>"$dev/$1.lock"
    if command -v flock >/dev/null; then
        flock ${2:+--nonblock} "$lock"
    else
        # The lock belongs to the open file, so it outlives the helper.
        python3 - "$lock" ${2:+now} <<'PYTHON'
import fcntl, sys
try:
    fcntl.flock(int(sys.argv[1]), fcntl.LOCK_EX | (fcntl.LOCK_NB if sys.argv[2:] else 0))
except BlockingIOError:
    sys.exit(1)
PYTHON
    fi
}

# with_lock NAME COMMAND…: in a subshell, so that the lock ends with the command.
with_lock() {
    local name=$1
    shift
    (
        take_lock "$name"
        "$@"
    )
}
