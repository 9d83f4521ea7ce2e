# shellcheck shell=bash
# The checkout of a script, its messages and its locks.

if ((BASH_VERSINFO[0] < 5 && (BASH_VERSINFO[0] < 4 || BASH_VERSINFO[1] < 4))); then
    echo "Postrider's scripts need bash 4.4 or newer, this is $BASH_VERSION" >&2
    exit 1
fi

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
# All files that the scripts create. None of them is committed.
dev=$checkout/.dev

# Files must be readable whatever the caller's umask is, because another user may
# run Postgres. Files with secrets get stricter permissions one by one.
umask 022

say() { printf '%s\n' "$*" >&2; }

fail() {
    printf '%s: %s\n' "${0#"$checkout/"}" "$*" >&2
    exit 1
}

# Exit status 2 distinguishes a usage error from a failure.
usage_error() {
    printf '%s: %s (--help tells how)\n' "${0#"$checkout/"}" "$*" >&2
    exit 2
}

# Prints the head comment of the script.
print_help() { sed -n '2,/^$/ { s/^# \{0,1\}//; p; }' "$0"; }

make_dev_folder() {
    # The user that runs Postgres for root must be able to enter the folder.
    [[ -d $dev ]] || mkdir -m 755 "$dev" || fail "cannot make $dev"
    [[ -w $dev ]] || fail "$dev belongs to $(owner_of "$dev"): remove it, or run as that user"
}

owner_of() {
    local line
    # shellcheck disable=SC2012 # `stat` has other options on every system
    read -r _ _ line _ < <(ls -ld -- "$1")
    printf '%s\n' "$line"
}

# take_lock NAME [--now]: takes a lock until the script ends. With --now it fails if
# another process holds the lock. Daemons must not inherit it: see `start_daemon`.
take_lock() {
    make_dev_folder
    exec {lock}>"$dev/$1.lock"
    if command -v flock >/dev/null; then
        flock ${2:+--nonblock} "$lock"
    else
        # The lock belongs to the open file, so it survives the Python process.
        python3 - "$lock" ${2:+now} <<'PYTHON'
import fcntl, sys
try:
    fcntl.flock(int(sys.argv[1]), fcntl.LOCK_EX | (fcntl.LOCK_NB if sys.argv[2:] else 0))
except BlockingIOError:
    sys.exit(1)
PYTHON
    fi
}

# with_lock NAME COMMAND…: uses a subshell, so that the lock ends with the command.
with_lock() {
    local name=$1
    shift
    (
        take_lock "$name"
        "$@"
    )
}
