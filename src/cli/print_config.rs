//! `longwave print-config`: prints the configuration with all defaults.

use longwave_exporters::Downloads;
use longwave_pipeline::component::Registry;

use super::{SourceArgs, configuration, print};

pub(super) fn run(sources: &SourceArgs, registry: &Registry) -> anyhow::Result<()> {
    let configured = configuration::plan(sources, registry, Downloads::default())?;
    print(&configured.plan.to_yaml()?)
}
