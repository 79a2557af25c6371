//! `cargo xtask docs`: writes `docs/SETTINGS.md` and `docs/METRICS.md`.

use std::process::Command;

use anyhow::Result;

use crate::sh;

/// Runs the tests that compare the pages, with the variable by which they write them.
pub fn main() -> Result<()> {
    let args = ["test", "-p", "longwave", "--bin", "longwave", "page_is_current"];
    sh::run(Command::new("cargo").args(args).env("LONGWAVE_UPDATE_DOCS", "1"))
}
