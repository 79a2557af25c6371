//! Where the binary under test is.

use std::path::PathBuf;

/// The `longwave` binary: `$LONGWAVE_BIN`, else the one in the target directory that holds this test.
///
/// # Panics
/// When there is none, saying how to build it.
pub fn longwave() -> PathBuf {
    if let Some(path) = std::env::var_os("LONGWAVE_BIN") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "LONGWAVE_BIN={}: no such file", path.display());
        return path;
    }
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/<test> lies beside target/debug/longwave; two levels are enough.
    for folder in test.ancestors().skip(1).take(2) {
        let candidate = folder.join("longwave");
        if candidate.is_file() {
            return candidate;
        }
    }
    panic!(
        "no `longwave` beside {}: build it first with `cargo build`, or name it in LONGWAVE_BIN",
        test.display()
    );
}
