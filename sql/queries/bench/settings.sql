-- Settings that determine the results. Null if this version of Postgres does not have the setting.
SELECT name, current_setting(name, true) AS setting
FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, place)
ORDER BY place
