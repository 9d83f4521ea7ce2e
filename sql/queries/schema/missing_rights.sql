-- Of the rights to read and write tables ($1) and to read others ($2), returns those that the role lacks, such as
-- "INSERT on postrider.job". Skips tables that do not exist.
SELECT n.act || ' on ' || n.name
FROM (
    SELECT t.name, a.act
    FROM unnest($1::text[]) AS t (name) CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS a (act)
    UNION ALL
    SELECT t.name, 'SELECT' FROM unnest($2::text[]) AS t (name)
) AS n
WHERE NOT has_table_privilege(to_regclass(n.name), n.act)
