-- Returns the role, and whether it may create a database.
SELECT current_user::text, rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user
