# shellcheck shell=bash
# Checks one after the other, and what became of each. Needs checkout.sh and
# children.sh.

results=()
failures=0

# run_check NAME FUNCTION…: one that fails does not keep the others from running,
# so that one run tells everything.
run_check() {
    local name=$1 began=$SECONDS result=passed status=0
    shift
    say $'\n'"──── $name ────"
    : >"$notes_file"
    children=()
    launch in_check_shell "$@"
    await "$launched" || status=$?
    case $stopping in
        INT) exit 130 ;;
        TERM) exit 143 ;;
    esac
    if ((status != 0)); then
        result=FAILED
        failures=$((failures + 1))
    fi
    results+=("$(printf '%-6s  %5ss  %s' "$result" "$((SECONDS - began))" "$name$(<"$notes_file")")")
}

# A shell for each check: an error ends that check alone, and what it has started
# ends with it.
in_check_shell() {
    set -e
    trap drop_test_postgres EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    "$@"
}

run() {
    say "+ $*"
    "$@"
}

# note TEXT: for the summary too, where nobody overlooks it.
note() {
    say "$1"
    printf ' (%s)' "$1" >>"$notes_file"
}

print_summary() {
    printf '\n──── summary ────\n'
    printf '%s\n' "${results[@]}"
    if ((failures > 0)); then
        echo "$failures of ${#results[@]} checks failed"
        return 1
    fi
    echo "all ${#results[@]} checks passed"
}
