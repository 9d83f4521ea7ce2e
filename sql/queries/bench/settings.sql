-- The settings that decide about figures; null for one that this version does not have.
SELECT name, current_setting(name, true) AS setting
FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, place)
ORDER BY place
