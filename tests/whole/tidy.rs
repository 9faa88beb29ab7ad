//! The rules of the house, held by a test: direction of dependencies, where `unsafe` may stand, what
//! every module says of itself, how long a file may grow.

use stage::program::repository;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates, lowest first: a crate may use only those before it.
const ORDER: [&str; 16] = [
    "kubevigil-model",
    "kubevigil-disk",
    "kubevigil-kernel",
    "kubevigil-http",
    "kubevigil-tsdb",
    "kubevigil-prometheus-tsdb",
    "kubevigil-promql",
    "kubevigil-node",
    "kubevigil-cluster",
    "kubevigil-resource",
    "kubevigil-scrape",
    "kubevigil-export",
    "kubevigil-api",
    "kubevigil-simulate",
    "kubevigil",
    "kubevigil-agent",
];

/// Crates that may hold `unsafe`, each block with its reason (clippy checks the reasons).
const UNSAFE: [&str; 3] = ["kernel", "disk", "tsdb"];

/// Lines of a source file without its tests.
const LINES_MAX: usize = 800;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn dependencies_point_downward() {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--locked"])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut checked = 0;
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("name");
        let Some(level) = ORDER.iter().position(|n| *n == name) else { continue };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let used = dependency["name"].as_str().expect("name");
            if let Some(used_level) = ORDER.iter().position(|n| *n == used) {
                assert!(used_level < level, "{name} uses {used}, which stands above it");
                assert!(
                    !(name == "kubevigil-promql" && used == "kubevigil-tsdb"),
                    "promql must not name tsdb"
                );
                checked += 1;
            }
        }
    }
    assert!(checked >= 10, "only {checked} dependencies were seen");
}

#[test]
fn every_file_keeps_the_rules() {
    let mut broken = Vec::new();
    let mut files = 0;
    for krate in std::fs::read_dir(repository().join("crates")).expect("crates").flatten() {
        let crate_name = krate.file_name().to_string_lossy().into_owned();
        let source_folder = krate.path().join("src");
        let roots = [source_folder.join("lib.rs"), source_folder.join("main.rs")];
        let root = roots.into_iter().find(|p| p.exists()).expect("a crate root");
        let root_text = std::fs::read_to_string(&root).expect("readable");
        if !UNSAFE.contains(&crate_name.as_str()) && !root_text.contains("#![forbid(unsafe_code)]")
        {
            broken.push(format!("{}: does not forbid unsafe code", root.display()));
        }
        for path in sources(&source_folder) {
            files += 1;
            let text = std::fs::read_to_string(&path).expect("readable");
            if !text.starts_with("//!") {
                broken.push(format!("{}: does not begin by saying what it is", path.display()));
            }
            let is_test = path.ends_with("tests.rs") || path.iter().any(|p| p == "tests");
            let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
            let lines = text[..end].lines().count();
            if lines > LINES_MAX && !is_test {
                broken.push(format!("{}: {lines} lines, at most {LINES_MAX}", path.display()));
            }
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if ["utils", "util", "helpers", "common", "misc", "manager"].contains(&stem.as_str()) {
                broken.push(format!("{}: name the concept instead", path.display()));
            }
        }
    }
    assert!(files > 20, "only {files} files were seen");
    assert!(broken.is_empty(), "{} rules broken:\n{}", broken.len(), broken.join("\n"));
}
