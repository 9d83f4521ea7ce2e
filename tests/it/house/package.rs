//! The package: its features, its commands, the oldest Rust that builds it.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

/// What cargo tells of the locked dependencies.
fn metadata(args: &[&str]) -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let told = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path", MANIFEST])
        .args(args)
        .output()
        .expect("cargo");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).expect("JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// The names of the crates that a build of the library compiles, with these features.
fn compiled(features: &str) -> BTreeSet<String> {
    let told = metadata(&["--filter-platform", "x86_64-unknown-linux-gnu", "--features", features]);
    let nodes = told["resolve"]["nodes"].as_array().expect("nodes");
    let mut waiting = vec![text(&told["resolve"]["root"]).to_owned()];
    let mut found = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !found.insert(id.clone()) {
            continue;
        }
        let node = nodes.iter().find(|node| node["id"] == id.as_str()).expect("a node");
        for dependency in node["deps"].as_array().expect("deps") {
            let kinds = dependency["dep_kinds"].as_array().expect("kinds");
            if kinds.iter().any(|kind| kind["kind"] != "dev") {
                waiting.push(text(&dependency["pkg"]).to_owned());
            }
        }
    }
    found
}

#[test]
fn the_queue_alone_is_small_and_has_neither_s3_nor_http_nor_a_command_line() {
    let queue = compiled("");
    assert!(queue.len() < 120, "{} crates", queue.len());
    let named = |crates: &BTreeSet<String>, name: &str| crates.iter().any(|id| id.contains(&format!("#{name}@")));
    let programs = ["aws-sdk-s3", "axum", "clap", "hyper", "refinery", "croner", "rustls", "tracing-subscriber"];
    for name in programs {
        assert!(!named(&queue, name), "{name}");
    }
    let all = compiled("bin");
    for name in programs {
        assert!(named(&all, name), "{name}");
    }
}

#[test]
fn the_oldest_rust_is_that_of_the_dependencies() {
    let told = metadata(&["--features", "bin,aws-lc-rs"]);
    let version = |text: &str| -> Vec<u32> {
        let mut parts: Vec<u32> = text.split('.').map(|part| part.parse().expect("a number")).collect();
        parts.resize(3, 0);
        parts
    };
    let packages = told["packages"].as_array().expect("packages");
    let (ours, others): (Vec<&Value>, Vec<&Value>) = packages.iter().partition(|one| one["name"] == "postrider");
    let newest = others.iter().filter_map(|one| one["rust_version"].as_str()).map(version).max().expect("some");
    assert_eq!(version(text(&ours[0]["rust_version"])), newest, "rust-version in Cargo.toml");
}

/// `scripts/test --only install` runs those of the README. This compares what all documents name with what there is.
#[test]
fn each_cargo_command_of_the_documents_builds_both_programs() {
    let told = metadata(&["--no-deps"]);
    let packages = told["packages"].as_array().expect("packages");
    let package = packages.iter().find(|package| package["name"] == env!("CARGO_PKG_NAME")).expect("the package");
    let programs: Vec<&Value> = package["targets"]
        .as_array()
        .expect("targets")
        .iter()
        .filter(|target| target["kind"].as_array().is_some_and(|kinds| kinds.contains(&"bin".into())))
        .collect();
    let names: BTreeSet<&str> = programs.iter().map(|program| text(&program["name"])).collect();
    assert_eq!(names, BTreeSet::from(["web", "worker"]));

    let documents = [
        include_str!("../../../README.md"),
        include_str!("../../../justfile"),
        include_str!("../../../scripts/lib/build.sh"),
        include_str!("../../../benches/queue.rs"),
    ];
    let mut commands = 0;
    for command in documents.concat().split("cargo ").skip(1) {
        let command = command.split(['`', '\n', '&', ')']).next().expect("a part");
        let words: Vec<&str> = command.split_whitespace().collect();
        if !["build", "install", "bench"].contains(&words[0]) {
            continue;
        }
        commands += 1;
        let features = words.iter().skip_while(|word| **word != "--features").nth(1).expect(command);
        for program in &programs {
            let needed = program["required-features"].as_array().expect("features");
            let features = features.trim_start_matches("\"${build_features:-").trim_end_matches("}\"");
            assert!(needed.iter().all(|feature| *feature == features), "cargo {command}");
        }
        assert!(!words.contains(&"--bin"), "cargo {command} leaves one out");
    }
    assert!(commands >= 7, "{commands}");
}

#[test]
fn the_version_is_the_same_everywhere() {
    let version = env!("CARGO_PKG_VERSION");
    let description: Value = serde_json::from_str(include_str!("../../../src/web/openapi.json")).unwrap();
    assert_eq!(description["info"]["version"], version);
    let minor = version.rsplit_once('.').expect("three numbers").0;
    let readme = include_str!("../../../README.md");
    let named: Vec<&str> = readme.lines().filter(|line| line.contains("postrider = {")).collect();
    assert!(!named.is_empty());
    for line in named {
        assert!(line.contains(&format!("\"{minor}\"")) || line.contains(&format!("\"{version}\"")), "{line}");
    }
}
