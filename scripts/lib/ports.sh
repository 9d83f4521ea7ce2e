# shellcheck shell=bash
# Loopback ports. A free port may be taken a moment later: callers must be ready to
# try another.

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Chooses below the range of ephemeral ports, so that no outgoing connection takes
# the port while its owner restarts.
free_port() {
    local port
    while port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000)); do
        if port_is_free "$port"; then
            printf '%s\n' "$port"
            return
        fi
    done
}
