# shellcheck shell=bash
# Package managers that install missing tools. Each function prints the commands
# that it runs, and fails if its manager is missing or does not have the package.

run_visibly() {
    say "+ $*"
    "$@" >&2
}

system_package_manager() {
    local manager
    for manager in apt-get dnf apk brew; do
        if command -v "$manager" >/dev/null; then
            printf '%s\n' "$manager"
            return
        fi
    done
    return 1
}

# system_install_command PACKAGE…: prints the command for manual installation.
system_install_command() {
    case $(system_package_manager) in
        apt-get) echo "apt-get install -y --no-install-recommends $*" ;;
        dnf) echo "dnf install -y $*" ;;
        apk) echo "apk add $*" ;;
        brew) echo "brew install $*" ;;
        *) return 1 ;;
    esac
}

system_install() {
    local command
    ((EUID == 0)) || return 1
    command=$(system_install_command "$@") || return 1
    if [[ $command == apt-get* && -z ${apt_is_up_to_date:-} ]]; then
        run_visibly apt-get update -q || return 1
        apt_is_up_to_date=yes
    fi
    # shellcheck disable=SC2086 # a command line, to be split
    DEBIAN_FRONTEND=noninteractive run_visibly $command
}

# pip_install FOLDER REQUIREMENT [--with-dependencies]: a separate folder needs no
# virtual environment, and works even if the system manages its Python.
pip_install() {
    local alone=--no-deps
    [[ ${3:-} != --with-dependencies ]] || alone=
    python3 -m pip --version >/dev/null 2>&1 || system_install python3-pip || return 1
    PIP_ROOT_USER_ACTION=ignore run_visibly python3 -m pip install --quiet --disable-pip-version-check \
        --only-binary :all: ${alone:+"$alone"} --upgrade --target "$1" "$2"
}

# npm_install FOLDER PACKAGE: does not run install scripts. The caller does.
npm_install() {
    command -v npm >/dev/null || return 1
    mkdir -p "$1"
    run_visibly npm install --prefix "$1" --ignore-scripts --no-save --no-audit --no-fund --no-update-notifier --loglevel error "$2"
}
