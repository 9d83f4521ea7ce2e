-- Who we are, and whether we may make a database.
SELECT current_user::text, rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user
