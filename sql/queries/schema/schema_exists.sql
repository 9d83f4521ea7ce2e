SELECT to_regnamespace('postrider') IS NOT NULL
