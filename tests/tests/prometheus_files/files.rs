//! The files, and what `promtool` says of the rules.

use std::path::{Path, PathBuf};

use longwave_tests::prometheus::{self, promtool};
use serde_json::Value;

pub fn docker() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker").canonicalize().unwrap()
}

/// Returns the rule files.
pub fn rules() -> [PathBuf; 2] {
    ["recording", "alerts"].map(|name| docker().join(format!("prometheus/{name}.rules.yaml")))
}

fn yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// *Scenario*: `promtool check` and `promtool test` with the rules and their tests, in which alerts fire and do not fire. Then the list of
/// alerts, and the alerts that fire in the tests.
/// *Guarantees*: the rules are valid and behave as expected. Every alert fires in a test, has a severity, and has a runbook.
pub fn rules_are_valid_and_tested() {
    prometheus::require();
    for rules in rules() {
        promtool(&["check", "rules", &rules.display().to_string()]);
    }
    let tests = ["recording", "alerts"].map(|name| docker().join(format!("prometheus/tests/{name}.yaml")));
    for test in &tests {
        promtool(&["test", "rules", &test.display().to_string()]);
    }
    let fired = std::fs::read_to_string(&tests[1]).unwrap();
    for group in yaml(&rules()[1])["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let name = rule["alert"].as_str().unwrap();
            let fires = format!("'ALERTS{{alertname=\"{name}\", alertstate=\"firing\"");
            assert!(fired.contains(&fires), "{name} fires in no test");
            assert!(
                ["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()),
                "{name}"
            );
            for annotation in ["summary", "description", "runbook"] {
                let text = rule["annotations"][annotation].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{name} has no {annotation}");
            }
        }
    }
}
