//! The three floors of this crate (`model`, `component`, `runtime`) use only those below them.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

/// *Scenario*: every source file of `model` and `component`.
/// *Guarantees*: none of them has a path to a higher floor outside a doc comment.
#[test]
fn floors_use_only_what_is_below_them() {
    let mut upward = Vec::new();
    for (floor, higher) in [("model", &["component", "runtime"][..]), ("component", &["runtime"])] {
        find_paths_to(higher, &Path::new("src").join(floor), &mut upward);
    }
    assert!(upward.is_empty(), "a lower floor uses a higher one:\n{}", upward.join("\n"));
}

fn find_paths_to(floors: &[&str], directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_paths_to(floors, &path, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in
            text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            if floors.iter().any(|floor| line.contains(&format!("crate::{floor}"))) {
                found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
}
