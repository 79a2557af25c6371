//! Reads the configuration that the flags refer to, and checks it.

use anyhow::anyhow;
use longwave_config::{ConfigErrors, Document, Loaded, Sources, load_and_check, without_credentials};
use longwave_exporters::Downloads;
use longwave_pipeline::component::Registry;
use longwave_pipeline::runtime::Plan;
use longwave_receivers::bpf::Config;
use longwave_receivers::bpf::kernel::{Diagnosis, Kernel};

use super::check::view::View;
use super::default::Defaults;
use super::{SourceArgs, default, resource};

/// A checked configuration.
pub(super) struct Configured {
    pub(super) plan: Plan,
    /// The settings as they were written, secrets included. A reload compares them with the new ones.
    pub(super) document: Document,
    /// Warnings to log once logging has started.
    pub(super) warnings: Vec<String>,
    /// Where the configuration comes from, for the log: paths, names of variables and keys of `--set`, but no values.
    pub(super) sources: String,
}

// === impl Configured ===

impl Configured {
    /// Returns the resource of everything that is exported.
    pub(super) fn resource(&self) -> Vec<(String, String)> {
        resource::resource(&View::of_this_process(), &self.plan.telemetry.resource)
    }
}

/// Reads and checks the configuration. Blocks, also while something is downloaded.
///
/// # Errors
/// Returns all errors, one per line.
pub(super) fn plan(
    args: &SourceArgs,
    registry: &Registry,
    downloads: Downloads,
) -> anyhow::Result<Configured> {
    let Defaults { configs, warning } = match args.config.as_slice() {
        [] => default::for_host(&View::of_this_process(), || {
            // If it is configured, its own error says why it cannot run.
            if names_bpf(args) { Ok(()) } else { try_bpf() }
        }),
        configs => Defaults { configs: configs.to_vec(), warning: None },
    };
    let Loaded { document, warnings, .. } =
        load_and_check(&Sources::new(configs, args.set.clone()).with_downloads(downloads), |document| {
            Plan::check_configs(document, registry)
        })
        .map_err(invalid)?;
    let plan = Plan::new(&document, registry).map_err(invalid)?;
    let warnings = warnings.iter().map(ToString::to_string).chain(plan.warnings.iter().cloned());
    let warnings = warning.into_iter().chain(warnings).collect();
    Ok(Configured { plan, document, warnings, sources: sources(args) })
}

/// Returns whether `--set` configures the receiver `bpf`.
fn names_bpf(args: &SourceArgs) -> bool {
    args.set.iter().any(|set| set.starts_with("receivers.bpf") || set.starts_with("receivers::bpf"))
}

/// Loads and attaches the programs of the receiver `bpf`, and detaches them again.
pub(super) fn try_bpf() -> Result<(), Diagnosis> {
    Kernel::load(&Config::default().options(false)).map(drop)
}

/// Names the sources. Leaves out values, which may be secrets.
fn sources(args: &SourceArgs) -> String {
    let configs = args.config.iter().map(|config| match config.split_once(':') {
        Some(("yaml", _)) => "yaml: (inline)".to_owned(),
        Some(("http" | "https", _)) => without_credentials(config),
        _ => config.clone(),
    });
    let sets = args.set.iter().map(|set| format!("--set {}", set.split('=').next().unwrap_or_default()));
    let mut names: Vec<String> = configs.collect();
    if names.is_empty() {
        names.push("built in".to_owned());
    }
    names.extend(sets);
    names.join(", ")
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
