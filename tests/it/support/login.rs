//! A role that may log in, for what a program may do that is no superuser.

use postrider::Database;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::database::TestDatabase;

/// What every administrator runs after a migration.
pub const ROLES: &str = include_str!("../../../sql/roles.sql");

/// A login of its own, and the address of its database under it.
pub struct Login {
    pub name: String,
    pub url: String,
}

impl Login {
    /// `options` is what else `CREATE ROLE` says, e.g. `IN ROLE …`. Made by an administrator of `database`.
    pub async fn new(database: &TestDatabase, options: &str) -> Self {
        Self::with_password(database, options, "a-password").await
    }

    /// As [`Self::new`]; the password must need no encoding.
    pub async fn with_password(database: &TestDatabase, options: &str, password: &str) -> Self {
        let name = format!("login_{}", Uuid::now_v7().simple());
        let create = format!("CREATE ROLE {name} LOGIN PASSWORD '{password}' {options}");
        database.connect().await.batch_execute(&create).await.expect(&create);
        let (_, place) = database.url.rsplit_once('@').expect("a URL with a user");
        let url = format!("postgres://{name}:{password}@{place}");
        Self { name, url }
    }

    /// A plain connection.
    pub async fn connect(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.expect("connect");
        tokio::spawn(connection);
        client
    }

    pub fn database(&self) -> Database {
        Database::from_url(&self.url).expect("a good URL")
    }
}
