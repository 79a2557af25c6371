//! `longwave validate`.

use longwave_pipeline::registry::Registry;

use super::{SourceArgs, configuration};

pub(super) fn run(sources: &SourceArgs, registry: &Registry) -> anyhow::Result<()> {
    let configured = configuration::plan(sources, registry)?;
    for warning in &configured.warnings {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "Warning: {warning}");
    }
    Ok(())
}
