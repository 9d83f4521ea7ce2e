# shellcheck shell=bash
# `.dev/env`: the environment with which the programs find the services. Needs
# checkout.sh, build.sh, object_store.sh and postgres_cluster.sh.

environment_file=$dev/env

# write_environment_file DATABASE_URL POSTGRES_BINARIES
write_environment_file() {
    local new=$environment_file.new
    (
        # The file contains passwords.
        umask 077
        {
            print_assignment DATABASE_URL "$1"
            if store_is_elsewhere; then
                print_store_of_the_user
            else
                print_assignment S3_ENDPOINT "$(<"$store/endpoint")"
                print_assignment S3_BUCKET "$store_bucket"
                print_assignment S3_REGION us-east-1
                print_assignment S3_ACCESS_KEY "$store_access_key"
                print_assignment S3_SECRET_KEY "$(<"$store/secret")"
                print_assignment S3_USE_PATH_STYLE true
            fi
            print_assignment PATH "$(path_with_programs "$2")"
        } >"$new"
    )
    mv "$new" "$environment_file"
}

print_store_of_the_user() {
    local name
    for name in S3_ENDPOINT S3_BUCKET S3_REGION S3_ACCESS_KEY S3_SECRET_KEY S3_USE_PATH_STYLE; do
        [[ -z ${!name:-} ]] || print_assignment "$name" "${!name}"
    done
}

# Quotes only values that a shell would misread. Our own values need no quotes.
print_assignment() {
    if [[ $2 =~ ^[A-Za-z0-9_./:@%+=,?\&~-]*$ && $2 != *\&* ]]; then
        printf '%s=%s\n' "$1" "$2"
    else
        printf '%s=%q\n' "$1" "$2"
    fi
}

# Puts `worker`, `web` and `psql` on the PATH.
path_with_programs() {
    local name
    mkdir -p "$dev/bin"
    for name in worker web; do
        ln -sf "$(built_program "$name")" "$dev/bin/$name"
    done
    rm -f "$dev/bin/psql"
    [[ ! -x $1/psql ]] || command -v psql >/dev/null || ln -s "$1/psql" "$dev/bin/psql"
    case :$PATH: in
        *:"$dev/bin":*) printf '%s\n' "$PATH" ;;
        *) printf '%s\n' "$dev/bin:$PATH" ;;
    esac
}
