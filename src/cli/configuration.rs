//! Reads the configuration that the flags refer to, and checks it.

use anyhow::anyhow;
use longwave_config::{ConfigErrors, Loaded, Sources, load_and_check};
use longwave_pipeline::component::Registry;
use longwave_pipeline::runtime::Plan;

use super::check::view::View;
use super::{SourceArgs, default, resource};

/// A checked configuration.
pub(super) struct Configured {
    pub(super) plan: Plan,
    /// Warnings to log once logging has started.
    pub(super) warnings: Vec<String>,
}

// === impl Configured ===

impl Configured {
    /// Returns the resource of everything that is exported.
    pub(super) fn resource(&self) -> Vec<(String, String)> {
        resource::resource(&View::of_this_process(), &self.plan.telemetry.resource)
    }
}

/// Reads and checks the configuration.
///
/// # Errors
/// Returns all errors, one per line.
pub(super) fn plan(args: &SourceArgs, registry: &Registry) -> anyhow::Result<Configured> {
    let configs =
        if args.config.is_empty() { default::configs(&View::of_this_process()) } else { args.config.clone() };
    let Loaded { document, warnings, .. } =
        load_and_check(&Sources::new(configs, args.set.clone()), |document| {
            Plan::check_configs(document, registry)
        })
        .map_err(invalid)?;
    let plan = Plan::new(&document, registry).map_err(invalid)?;
    let warnings = warnings.iter().map(ToString::to_string).chain(plan.warnings.iter().cloned()).collect();
    Ok(Configured { plan, warnings })
}

fn invalid(errors: ConfigErrors) -> anyhow::Error {
    match errors.0.as_slice() {
        [one] => anyhow!("invalid configuration: {one}"),
        many => {
            let lines: Vec<_> = many.iter().map(|error| format!("  {error}")).collect();
            anyhow!("invalid configuration, {} errors:\n{}", many.len(), lines.join("\n"))
        }
    }
}
