//! Links between the documents.

use std::path::{Component, Path, PathBuf};

/// Returns the paths of README.md and of the other documents, below the root of the workspace.
fn documents(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(PathBuf::from).to_vec();
    for entry in std::fs::read_dir(root.join("docs")).unwrap() {
        found.push(Path::new("docs").join(entry.unwrap().file_name()));
    }
    found
}

/// Returns the lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Returns the targets of the links of a line.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// Returns the anchor that GitHub gives to a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Returns `path` without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}

/// *Scenario*: all links in the documents that are no URLs.
/// *Guarantees*: each leads to a file or folder that exists, and to a heading that exists.
#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut dead, mut count) = (Vec::new(), 0);
    for document in documents(root) {
        let text = std::fs::read_to_string(root.join(&document)).unwrap();
        for target in prose(&text).flat_map(targets).filter(|target| !target.contains("://")) {
            count += 1;
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() {
                document.clone()
            } else {
                normal(&document.parent().unwrap().join(path))
            };
            let is_heading = |text: String| {
                prose(&text)
                    .filter(|line| line.starts_with('#'))
                    .any(|line| anchor(line.trim_start_matches('#')) == heading)
            };
            let exists = root.join(&path).exists();
            if !exists
                || (!heading.is_empty() && !is_heading(std::fs::read_to_string(root.join(&path)).unwrap()))
            {
                dead.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(count > 100, "{count}");
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}
