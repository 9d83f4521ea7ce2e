# shellcheck shell=bash
# The project's own programs. Needs checkout.sh and tools.sh.

build() {
    need_rust
    say "Building: the first time takes some minutes"
    (cd "$checkout" && cargo build --bins --example s3_dev_server) || fail "the build failed"
}

# built_program NAME: its path, wherever this machine has its target folder.
built_program() {
    [[ -n ${target_folder:-} ]] || target_folder=$(
        cd "$checkout" && cargo metadata --format-version 1 --no-deps --offline |
            python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
    ) || fail "cargo metadata does not work here"
    printf '%s/debug/%s\n' "$target_folder" "$1"
}
