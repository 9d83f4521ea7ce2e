# shellcheck shell=bash
# Runs checks one after another and collects their results. Needs checkout.sh and
# children.sh.

results=()
failures=0

# run_check NAME FUNCTION…: a failure does not end the script, so that one run
# reports all failures.
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

# Uses one shell per check: an error ends only that check, and stops what it has
# started.
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

# note TEXT: prints a note now and in the summary.
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
