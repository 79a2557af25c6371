//! `longwave check`: what the host, the container or the pod provides, what is missing, and the remedy.

pub(super) mod host_facts;
mod stores;
pub(super) mod view;

#[cfg(test)]
mod tests;

use std::fmt::Write;

use longwave_config::{ConfigPath, decode};
use longwave_exporters::Downloads;
use longwave_pipeline::component::{Registry, Signal};
use longwave_pipeline::runtime::Plan;
use longwave_receivers::bpf::Config;
use longwave_receivers::bpf::kernel::{HostFact, Options, Verdict, probe};

use super::{SourceArgs, configuration, print};
use view::View;

/// Prints each fact. Fails if the `bpf` receiver cannot run.
pub(super) fn run(sources: &SourceArgs, registry: &Registry) -> anyhow::Result<()> {
    let plan = configuration::plan(sources, registry, Downloads::default())?.plan;
    let mut facts = probe(&options(&plan)?);
    facts.extend(host_facts::collect(&View::of_this_process()));
    facts.extend(stores::facts(&plan));
    print(&table(&facts)?)?;
    let missing = facts.iter().filter(|fact| fact.verdict == Verdict::Missing).count();
    anyhow::ensure!(
        missing == 0,
        "the bpf receiver cannot run here: {missing} of {} requirements are missing; without --config, longwave uses the receiver sock_diag",
        facts.len()
    );
    Ok(())
}

/// Returns the kernel options of the first receiver of type `bpf` in the configuration, or the defaults if there is none.
fn options(plan: &Plan) -> anyhow::Result<Options> {
    let receiver = plan.receivers.iter().find(|receiver| receiver.id.split('/').next() == Some("bpf"));
    let Some(receiver) = receiver else { return Ok(Config::default().options(false)) };
    let settings = plan.effective.get("receivers").and_then(|receivers| receivers.get(&receiver.id));
    let config: Config = match settings {
        Some(settings) => {
            decode(settings, &ConfigPath::root()).map_err(|errors| anyhow::anyhow!("{errors:?}"))?
        }
        None => Config::default(),
    };
    let reports_opens = receiver.pipelines.iter().any(|index| plan.pipelines[*index].signal == Signal::Logs);
    Ok(config.options(reports_opens))
}

/// Formats one line per fact, followed by a line with the remedy if something is missing.
fn table(facts: &[HostFact]) -> Result<String, std::fmt::Error> {
    let width = facts.iter().map(|fact| fact.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for HostFact { name, found, verdict, remedy } in facts {
        let mark = match verdict {
            Verdict::Good => "ok",
            Verdict::Degraded => "degraded",
            Verdict::Missing => "missing",
        };
        writeln!(text, "{mark:<8}  {name:<width$}  {found}")?;
        if !remedy.is_empty() {
            writeln!(text, "{:<8}  {:<width$}  → {remedy}", "", "")?;
        }
    }
    Ok(text)
}
