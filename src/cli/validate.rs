//! `longwave validate`: checks the configuration and creates its components, without starting them.

use std::sync::Arc;

use longwave_exporters::Downloads;
use longwave_pipeline::component::Registry;
use longwave_pipeline::runtime::Runtime;

use super::{SourceArgs, configuration};

pub(super) fn run(sources: &SourceArgs, registry: &Registry) -> anyhow::Result<()> {
    let configured = configuration::plan(sources, registry, Downloads::default())?;
    for warning in &configured.warnings {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "Warning: {warning}");
    }
    Runtime::dry_run(&configured.plan, &Arc::new(configured.resource()))?;
    Ok(())
}
