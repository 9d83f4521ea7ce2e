-- Returns the server's version, and whether it runs on this host.
SELECT current_setting('server_version') AS version,
       inet_server_addr() IS NULL OR inet_server_addr() = inet_client_addr() AS is_here
