//! A small disk under the queue's tables, that can be filled.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use tokio_postgres::Client;

use super::cluster::Cluster;
use super::database::TestDatabase;

/// Larger than the tables of a test.
const SIZE: &str = "size=32m";

/// All tables and indexes of a database lie on it.
pub struct SmallDisk {
    sql: Client,
    /// None where this machine lets us mount none.
    mounted: Option<PathBuf>,
}

impl SmallDisk {
    /// Moves the tables of the database to a small disk in memory.
    pub async fn under(cluster: &Cluster, db: &TestDatabase) -> Self {
        let (sql, folder) = (db.connect().await, cluster.make_folder("disk"));
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(&folder).output();
        if !mount.is_ok_and(|mount| mount.status.success()) {
            eprintln!("\n!!! NO DISK CAN BE MOUNTED HERE (that takes root): triggers say that it is full\n");
            let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                          $$BEGIN RAISE EXCEPTION 'the disk is full' USING ERRCODE = 'disk_full'; END$$";
            sql.batch_execute(refuse).await.expect("a trigger");
            return Self { sql, mounted: None };
        }
        let tables = cluster.make_folder("disk/tables");
        let disk = Self { sql, mounted: Some(folder) };
        for statement in [
            &format!("CREATE TABLESPACE small LOCATION '{}'", tables.display()),
            "ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE small",
            "ALTER INDEX ALL IN TABLESPACE pg_default SET TABLESPACE small",
        ] {
            disk.sql.batch_execute(statement).await.expect(statement);
        }
        disk
    }

    /// Leaves no room for a single page more.
    pub async fn fill(&self) {
        match &self.mounted {
            Some(folder) => {
                let mut file = File::create(folder.join("ballast")).expect("a file");
                while file.write_all(&[0; 4096]).is_ok() {}
            }
            None => {
                self.change("CREATE TRIGGER refuse BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION refuse()").await;
            }
        }
    }

    /// Makes room again.
    pub async fn free(&self) {
        match &self.mounted {
            Some(folder) => fs::remove_file(folder.join("ballast")).expect("a file"),
            None => self.change("DROP TRIGGER refuse ON {}").await,
        }
    }

    async fn change(&self, statement: &str) {
        for table in ["postrider.job", "postrider.job_history"] {
            self.sql.batch_execute(&statement.replace("{}", table)).await.expect(statement);
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Some(folder) = &self.mounted {
            // Lazily: the server, which has files open on it, is stopped later.
            let _ = Command::new("umount").arg("--lazy").arg(folder).status();
        }
    }
}
