//! The examples that the README and the documentation refer to.

use std::process::Command;

use longwave_tests::binary;

/// *Scenario*: `longwave validate` with each file of config/examples.
/// *Guarantees*: every example is a valid configuration, without a warning.
#[test]
fn every_example_is_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/examples");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).expect("config/examples is there") {
        let path = entry.expect("readable").path();
        let output = Command::new(binary::longwave())
            .arg("validate")
            .arg("--config")
            .arg(&path)
            .output()
            .expect("longwave runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{}: {stderr}", path.display());
        checked += 1;
    }
    assert!(checked >= 5, "only {checked} examples found");
}
