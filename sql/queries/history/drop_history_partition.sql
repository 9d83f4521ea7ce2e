DROP TABLE IF EXISTS postrider.{partition}
