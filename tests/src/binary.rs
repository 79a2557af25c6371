//! Path of the binary under test.

use std::path::PathBuf;

/// Returns `$LONGWAVE_BIN`, or else the `longwave` binary in the target directory of this test.
///
/// # Panics
/// If there is no binary. The message says how to build it.
pub fn longwave() -> PathBuf {
    if let Some(path) = std::env::var_os("LONGWAVE_BIN") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "LONGWAVE_BIN={}: no such file", path.display());
        return path;
    }
    let test = std::env::current_exe().unwrap();
    // The test is target/debug/deps/<test>, the binary target/debug/longwave.
    for folder in test.ancestors().skip(1).take(2) {
        let candidate = folder.join("longwave");
        if candidate.is_file() {
            return candidate;
        }
    }
    panic!(
        "no `longwave` beside {}: build it first with `cargo build`, or set LONGWAVE_BIN to its path",
        test.display()
    );
}
