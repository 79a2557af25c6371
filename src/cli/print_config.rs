//! `longwave print-config`.

use longwave_config::to_yaml;
use longwave_pipeline::registry::Registry;

use super::{SourceArgs, configuration, print};

pub(super) fn run(sources: &SourceArgs, registry: &Registry) -> anyhow::Result<()> {
    let configured = configuration::plan(sources, registry)?;
    print(&to_yaml(&configured.plan.effective)?)
}
