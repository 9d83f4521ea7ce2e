SELECT coalesce(max(version), 0) FROM postrider.schema_version
