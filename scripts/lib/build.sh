# shellcheck shell=bash
# Builds the project's programs. Needs checkout.sh and tools.sh. With `build_features`, as scripts/test has compiled them
# already.

build() {
    need_rust
    say "Building: the first time takes some minutes"
    (cd "$checkout" && cargo build --features "${build_features:-bin}" --bins --example s3_dev_server) || fail "the build failed"
}

# built_program NAME: prints its path.
built_program() {
    print_target_folder >/dev/null
    printf '%s/debug/%s\n' "$target_folder" "$1"
}

# Prints the target folder, which may be a non-default one, and sets `target_folder`.
print_target_folder() {
    [[ -n ${target_folder:-} ]] || target_folder=$(
        cd "$checkout" && cargo metadata --format-version 1 --no-deps --offline |
            python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
    ) || fail "cargo metadata does not work here"
    printf '%s\n' "$target_folder"
}
