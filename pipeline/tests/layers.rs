//! Each of this crate's three layers (`model`, `component`, `runtime`) uses only the layers below it.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

/// *Scenario*: every source file of `model` and `component`.
/// *Guarantees*: none of them contains a path to a higher layer outside of comments.
#[test]
fn layers_use_only_lower_layers() {
    let mut upward = Vec::new();
    for (layer, higher) in [("model", &["component", "runtime"][..]), ("component", &["runtime"])] {
        find_paths_to(higher, &Path::new("src").join(layer), &mut upward);
    }
    assert!(upward.is_empty(), "a lower layer uses a higher one:\n{}", upward.join("\n"));
}

fn find_paths_to(layers: &[&str], directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_paths_to(layers, &path, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in
            text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            if layers.iter().any(|layer| line.contains(&format!("crate::{layer}"))) {
                found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
}
