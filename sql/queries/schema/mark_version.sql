COMMENT ON TABLE {record} IS 'Applied migrations, up to version {version}. For schema-only dumps, which contain this comment but not the rows.'
