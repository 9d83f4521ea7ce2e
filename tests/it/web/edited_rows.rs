//! Tablos and files whose rows were edited by hand.

use crate::support::database::TestDatabase;
use crate::support::web::{WebService, web_command};
use serde_json::json;

const TABLO: &str = "0191e4f0-0000-7000-8000-000000000001";

/// A tablo with three files, of which `b` becomes whatever its test makes of it.
async fn start(database: &TestDatabase) -> WebService {
    let insert = format!(
        "INSERT INTO public.tablos (id, name) VALUES ('{TABLO}', 'plans');
         INSERT INTO public.tablo_files (id, tablo_id, name, s3_key, size, state)
         SELECT gen_random_uuid(), '{TABLO}', name, 'key-of-' || name, 1, 'ready' FROM unnest(ARRAY['a', 'b', 'c']) AS name"
    );
    database.connect().await.batch_execute(&insert).await.unwrap();
    let mut command = web_command(&database.url);
    // Nothing listens there: only rows are shown.
    command.env("S3_ENDPOINT", "http://127.0.0.1:1").env("S3_BUCKET", "files").env("S3_USE_PATH_STYLE", "true");
    WebService::from(&mut command).await
}

#[tokio::test]
async fn a_time_that_no_calendar_has_hides_no_tablo_and_no_file() {
    let database = TestDatabase::new().await;
    let web = start(&database).await;
    let client = database.connect().await;
    for (time, shown) in [
        ("infinity", "9999-12-31T23:59:59.999999Z"),
        ("-infinity", "0001-01-01T00:00:00Z"),
        ("290000-01-01Z", "9999-12-31T23:59:59.999999Z"),
    ] {
        let edit = format!(
            "UPDATE public.tablos SET created_at = '{time}';
             UPDATE public.tablo_files SET created_at = '{time}' WHERE name = 'b'"
        );
        client.batch_execute(&edit).await.unwrap();
        let tablo = web.get(&format!("/tablos/{TABLO}")).await.json(200);
        assert_eq!(tablo["created_at"], shown);
        assert_eq!(tablo["files"].as_array().unwrap().len(), 3);
        assert_eq!((&tablo["files"][1]["name"], &tablo["files"][1]["created_at"]), (&json!("b"), &json!(shown)));
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_sent_hides_no_tablo_and_no_other_file() {
    // In SQL_ASCII, \xe9 is text. In WIN1252, \x81 is, and stands for no character.
    for (encoding, byte, shown) in [("SQL_ASCII", "e9", r"\351"), ("WIN1252", "81", r"\201")] {
        let database = TestDatabase::encoded(encoding).await;
        let web = start(&database).await;
        let edit = format!(
            "UPDATE public.tablos SET name = convert_from('\\x{byte}', '{encoding}');
             UPDATE public.tablo_files SET name = convert_from('\\x{byte}', '{encoding}'), s3_key = convert_from('\\x{byte}', '{encoding}')
             WHERE name = 'b'"
        );
        database.connect().await.batch_execute(&edit).await.unwrap();
        let tablo = web.get(&format!("/tablos/{TABLO}")).await.json(200);
        assert_eq!(tablo["name"], shown, "{encoding}");
        let names: Vec<&str> =
            tablo["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", "c", shown], "{encoding}");
        // A file whose object cannot be named is found, and so are the others.
        let edit = format!("UPDATE public.tablo_files SET s3_key = convert_from('\\x{byte}', '{encoding}')");
        database.connect().await.batch_execute(&edit).await.unwrap();
        let head = web.request(reqwest::Method::HEAD, &format!("/tablos/{TABLO}/files/a")).send().await.unwrap();
        assert_eq!(head.status(), 200, "{encoding}");
        assert_eq!(web.delete(&format!("/tablos/{TABLO}")).await.status, 204, "{encoding}");
    }
}
