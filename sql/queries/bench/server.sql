-- The server: its version, and whether it is on the same host as we are.
SELECT current_setting('server_version') AS version,
       inet_server_addr() IS NULL OR inet_server_addr() = inet_client_addr() AS is_here
