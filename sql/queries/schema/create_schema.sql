CREATE SCHEMA postrider
