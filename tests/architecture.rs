//! The rules of the house that a compiler does not check.

#![allow(clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).expect("text");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} is empty");
    found
}

#[test]
fn the_queue_knows_nothing_of_app_web_bench_and_command_line() {
    for room in ["src/job", "src/enqueue", "src/store", "src/database", "src/worker", "src/operate"] {
        for (path, text) in sources(room) {
            for other in ["crate::app", "crate::web", "crate::cli", "crate::bench", "aws_", "axum", "clap"] {
                assert!(!text.contains(other), "{} names {other}", path.display());
            }
        }
    }
}

#[test]
fn the_bench_measures_the_queue_from_outside() {
    for (path, text) in sources("src/bench") {
        for other in ["crate::app", "crate::web", "crate::cli", "crate::store", "clap", "indicatif", "println!"] {
            assert!(!text.contains(other), "{} names {other}", path.display());
        }
    }
}

#[test]
fn only_the_stores_run_the_statements_and_each_statement_is_run() {
    let statements = sources("sql/queries");
    let rust = sources("src");
    for (path, text) in &rust {
        if !path.to_string_lossy().contains("/store/") {
            assert!(!text.contains("sql!("), "{} runs SQL", path.display());
        }
    }
    let room = |room: &str| -> String {
        let of_room = rust.iter().filter(|(path, _)| path.to_string_lossy().contains(room));
        of_room.map(|(_, text)| text.as_str()).collect()
    };
    let (queue, app, bench) = (room("/src/store/"), room("/src/app/store/"), room("/src/bench/store/"));
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/queries");
    for (path, _) in statements {
        let name = path.strip_prefix(&queries).expect("below").with_extension("");
        let name = name.to_string_lossy();
        // Each store runs the statements of its own folder.
        let (store, own) = match name.split_once('/') {
            Some(("app", own)) => (&app, own),
            Some(("bench", own)) => (&bench, own),
            _ => (&queue, &*name),
        };
        assert!(store.contains(&format!("sql!(\"{own}\")")), "{name}.sql is run by nobody");
    }
}

#[test]
fn no_file_of_code_is_over_four_hundred_lines() {
    let rust = sources("src").into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "rs"));
    for (path, text) in rust {
        let lines = text.lines().count();
        assert!(lines <= 400, "{}: {lines} lines, one concept a file", path.display());
    }
}

#[test]
fn each_test_that_the_documents_name_is_there() {
    let document = concat!(include_str!("../docs/architecture.md"), include_str!("../docs/guarantees.md"))
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let tests = sources("tests");
    let named: Vec<(&str, &str)> = document
        .split('`')
        .filter_map(|code| code.split_once(": "))
        .filter(|(file, test)| [*file, *test].iter().all(|name| name.chars().all(|c| c == '_' || c.is_alphanumeric())))
        .collect();
    assert!(named.len() > 10, "{named:?}");
    for (file, test) in named {
        let found = tests.iter().any(|(path, text)| {
            (path.file_stem().is_some_and(|stem| stem == file) || path.ends_with(format!("{file}/main.rs")))
                && text.contains(&format!("fn {test}("))
        });
        assert!(found, "tests/{file}.rs has no {test}");
    }
}
