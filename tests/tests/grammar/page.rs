//! The tables of docs/CONFIGURATION.md that the tests compare with the programs.

use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../../docs/CONFIGURATION.md");

/// Returns the program that accepts a configuration, by the name of the configuration.
///
/// # Panics
/// If a row has no reason, or if a configuration is there twice.
pub fn differences() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for [names, accepted_by, reason] in rows("<!-- differences -->") {
        assert!(["Longwave", "Collector"].contains(&accepted_by), "{names}: accepted by {accepted_by:?}");
        assert!(!reason.is_empty(), "{names}: no reason");
        for name in names_in(names) {
            let before = all.insert(name.clone(), accepted_by.to_owned());
            assert!(before.is_none(), "{name} is there twice");
        }
    }
    all
}

/// Returns the paths of the settings of shared sections that only Longwave has.
pub fn own_settings() -> BTreeSet<String> {
    rows("<!-- own settings -->").into_iter().flat_map(|[paths, _]| names_in(paths)).collect()
}

/// Returns the rows of the table after `mark`.
fn rows<const N: usize>(mark: &str) -> Vec<[&'static str; N]> {
    let (_, after) = PAGE.split_once(mark).unwrap_or_else(|| panic!("docs/CONFIGURATION.md has no {mark}"));
    let lines = after.trim_start().lines().take_while(|line| line.starts_with('|')).skip(2);
    let cells = |line: &'static str| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        cells.try_into().unwrap_or_else(|cells: Vec<_>| panic!("{} cells: {line}", cells.len()))
    };
    lines.map(cells).collect()
}

/// Returns what is between backticks.
fn names_in(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
