//! The rules of the house that a compiler does not check.

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

/// What each part of the crate may name of the others, as `crate::PART`. The list is the whole of it.
const ARROWS: [(&str, &[&str]); 20] = [
    ("error_chain", &[]),
    ("sql", &[]),
    ("driver_error", &["error", "error_chain"]),
    ("error", &["driver_error", "error_chain", "job"]),
    ("job", &["error"]),
    ("postgres", &["driver_error", "error", "error_chain", "sql"]),
    ("store", &["error", "job", "postgres", "sql"]),
    ("schema", &["error", "error_chain", "postgres", "store"]),
    ("observe", &["job"]),
    ("enqueue", &["error", "job", "postgres", "store"]),
    ("admin", &["error", "job", "postgres", "store"]),
    ("wait", &["admin", "error", "job", "postgres", "store"]),
    ("worker", &["enqueue", "error", "error_chain", "job", "observe", "postgres", "schema", "store"]),
    ("testing", &["error", "job", "postgres", "schema", "store", "worker"]),
    ("program", &["error_chain", "worker"]),
    ("app", &["admin", "enqueue", "error", "error_chain", "job", "postgres", "program", "schema", "worker"]),
    ("bench", &["admin", "enqueue", "error", "error_chain", "job", "postgres", "program", "schema", "wait", "worker"]),
    (
        "web",
        &["admin", "app", "enqueue", "error", "error_chain", "job", "postgres", "program", "schema", "wait", "worker"],
    ),
    (
        "cli",
        &[
            "admin",
            "app",
            "bench",
            "enqueue",
            "error",
            "error_chain",
            "job",
            "postgres",
            "program",
            "schema",
            "web",
            "worker",
        ],
    ),
    ("bin", &[]),
];

/// The names behind `crate::`. There are no braces behind it, and no names re-exported by the root.
fn parts_named(text: &str) -> Vec<String> {
    // A link of a comment depends on nothing.
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let word = |text: &str| text.chars().take_while(|c| *c == '_' || c.is_alphanumeric()).collect::<String>();
    code.split("crate::").skip(1).map(word).collect()
}

#[test]
fn each_part_names_only_those_below_it() {
    let mut missing = Vec::new();
    for (part, allowed) in ARROWS {
        let (folder, file) = (format!("src/{part}"), format!("src/{part}.rs"));
        let files = if Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder).is_dir() {
            sources(&folder)
        } else {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let text = fs::read_to_string(&path).expect("text");
            vec![(path, text)]
        };
        for (path, text) in files {
            assert!(!text.contains("crate::{"), "{}: one part a line", path.display());
            for other in parts_named(&text) {
                let is_part = ARROWS.iter().any(|(part, _)| *part == other);
                if is_part && other != part && !allowed.contains(&other.as_str()) {
                    missing.push(format!("{}: {part} names {other}", path.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_queue_names_no_library_of_the_programs() {
    for part in ["job", "enqueue", "store", "schema", "observe", "postgres", "wait", "worker", "testing", "admin"] {
        for (path, text) in sources(&format!("src/{part}")) {
            for other in ["aws_config", "aws_sdk", "aws_smithy", "axum", "clap", "hyper"] {
                assert!(!text.contains(other), "{} names {other}", path.display());
            }
        }
    }
    for (path, text) in sources("src/bench") {
        for other in ["clap", "indicatif", "println!"] {
            assert!(!text.contains(other), "{} names {other}", path.display());
        }
    }
}

#[test]
fn only_the_stores_run_the_statements_and_each_statement_is_run() {
    let statements = sources("sql/queries");
    let rust = sources("src");
    for (path, text) in &rust {
        let runs_sql = ["/store/", "/postgres/transaction/", "src/sql.rs"];
        if !runs_sql.iter().any(|place| path.to_string_lossy().contains(place)) {
            assert!(!text.contains("sql!("), "{} runs SQL", path.display());
        }
    }
    let room = |room: &str| -> String {
        let of_room = rust.iter().filter(|(path, _)| path.to_string_lossy().contains(room));
        of_room.map(|(_, text)| text.as_str()).collect()
    };
    let (queue, app, bench) =
        (room("/src/store/") + &room("/src/postgres/transaction/"), room("/src/app/store/"), room("/src/bench/store/"));
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/queries");
    for (path, _) in statements {
        let name = path.strip_prefix(&queries).expect("below").with_extension("");
        let name = name.to_string_lossy();
        // Each store module runs the statements of its own folder.
        let (store, own) = match name.split_once('/') {
            Some(("app", own)) => (&app, own),
            Some(("bench", own)) => (&bench, own),
            _ => (&queue, &*name),
        };
        assert!(store.contains(&format!("sql!(\"{own}\")")), "{name}.sql is run by nobody");
    }
}

/// A caller may have any search path.
#[test]
fn statements_name_tables_with_their_schema() {
    let tables = ["tablos", "tablo_files", "orphan_cleanup", "idempotency_keys", "job_history", "periodic"];
    for (path, text) in sources("sql/queries") {
        let words: Vec<&str> = text.split_whitespace().collect();
        for pair in words.windows(2) {
            let takes_a_table = ["FROM", "JOIN", "INTO", "UPDATE", "ONLY", "TABLE"].contains(&pair[0]);
            let name = pair[1].trim_end_matches([';', ',', '(', ')']);
            assert!(!(takes_a_table && tables.contains(&name)), "{}: {} {}", path.display(), pair[0], pair[1]);
        }
    }
}

/// A database in another encoding refuses what it cannot hold, also in a comment.
#[test]
fn statements_and_migrations_are_plain_ascii() {
    for (path, text) in sources("sql") {
        let odd = text.lines().position(|line| !line.is_ascii());
        assert_eq!(odd, None, "{}, counted from 0, is not ASCII", path.display());
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
fn each_test_that_measures_a_time_runs_alone() {
    let alone = include_str!("../../../.config/nextest.toml");
    let mut measuring = 0;
    for (path, text) in sources("tests/it").into_iter().filter(|(path, _)| !path.ends_with("architecture.rs")) {
        for test in text.split("#[tokio::test").skip(1) {
            if test.contains("takes_less_than(") || test.contains("in_some_round(") {
                measuring += 1;
                let name = test.split_once("async fn ").and_then(|(_, rest)| rest.split_once('(')).expect("a test").0;
                let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
                let module = path.strip_prefix(folder).expect("below").with_extension("");
                let name = format!("{}::{name}", module.to_string_lossy().replace('/', "::"));
                assert!(alone.contains(&format!("test(={name})")), "{name} has neighbours");
            }
        }
    }
    assert_eq!(alone.matches("test(=").count(), measuring, "one that is named measures nothing, or is not there");
}

#[test]
fn each_test_that_the_documents_name_is_there() {
    let document = concat!(
        include_str!("../../../docs/architecture.md"),
        include_str!("../../../docs/features.md"),
        include_str!("../../../docs/guarantees.md"),
        include_str!("../../../docs/releases.md"),
        include_str!("../../../CONTRIBUTING.md"),
        include_str!("../../../SECURITY.md")
    )
    .split_whitespace()
    .collect::<Vec<_>>()
    .join(" ");
    let tests = [sources("tests"), sources("src")].concat();
    let named: Vec<(&str, &str)> = document
        .split('`')
        .filter_map(|code| code.split_once(": "))
        .filter(|(file, test)| {
            [*file, *test]
                .iter()
                .all(|name| !name.is_empty() && name.chars().all(|c| c == '_' || c == '/' || c.is_alphanumeric()))
        })
        .collect();
    assert!(named.len() > 10, "{named:?}");
    for (file, test) in named {
        let found = tests.iter().any(|(path, text)| {
            (path.ends_with(format!("{file}.rs"))
                || path.ends_with(format!("{file}/mod.rs"))
                || path.ends_with(format!("{file}/main.rs")))
                && ["(", "<"].iter().any(|next| text.contains(&format!("fn {test}{next}")))
        });
        assert!(found, "tests/{file}.rs has no {test}");
    }
}

#[test]
fn each_line_of_conformance_has_a_test() {
    // Written so that this file does not find itself.
    const TAG: &str = concat!("(", "CONFORMANCE ");
    let document = include_str!("../../../docs/CONFORMANCE.md");
    let number = |line: &str| line.split_once(". ").and_then(|(number, _)| number.parse::<u32>().ok());
    let lines: Vec<u32> = document.lines().filter_map(number).collect();
    assert!(lines.len() > 30, "{lines:?}");
    let mut held = Vec::new();
    for (_, text) in sources("tests") {
        let prose: String = text.lines().map(|line| line.trim_start_matches("//!").trim_start_matches("///")).collect();
        for list in prose.split(TAG).skip(1).filter_map(|rest| rest.split_once(')')).map(|(list, _)| list) {
            for part in list.split(", ") {
                let (first, last) = part.split_once(" to ").unwrap_or((part, part));
                let bound = |text: &str| text.trim().parse::<u32>().expect("a number");
                held.extend(bound(first)..=bound(last));
            }
        }
    }
    let untested: Vec<_> = lines.iter().filter(|line| !held.contains(line)).collect();
    assert!(untested.is_empty(), "no test names CONFORMANCE {untested:?}");
}
