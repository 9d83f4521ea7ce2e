//! `sql/functions` holds the present text of each function of the schema.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::database::TestDatabase;

/// The definition and the comment of each function, by its signature.
async fn functions(db: &TestDatabase) -> BTreeMap<String, (String, String, Option<String>)> {
    let rows = db
        .connect()
        .await
        .query(
            "SELECT oid::regprocedure::text, proname::text, pg_get_functiondef(oid), obj_description(oid, 'pg_proc')
             FROM pg_proc WHERE pronamespace = 'postrider'::regnamespace",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3)))).collect()
}

#[tokio::test]
async fn a_migrated_database_has_the_functions_of_the_files() {
    let db = TestDatabase::new().await;
    let before = functions(&db).await;
    assert!(before.len() > 10, "{:?}", before.keys());

    let mut files = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/functions")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap().replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION");
        db.connect().await.batch_execute(&text).await.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        files.push(path.file_stem().unwrap().to_string_lossy().into_owned());
    }
    let after = functions(&db).await;
    for (signature, function) in &after {
        assert_eq!(before.get(signature), Some(function), "{signature} differs from sql/functions");
        assert!(files.contains(&function.0), "{signature} has no file in sql/functions");
    }
    for file in files {
        assert!(
            after.values().any(|(name, ..)| *name == file),
            "sql/functions/{file}.sql is no function of the schema"
        );
    }
}
