//! `longwave check`: what the host, the container or the pod offers and lacks.

pub(super) mod surroundings;
pub(super) mod view;

#[cfg(test)]
mod tests;

use std::fmt::Write;

use longwave_receivers::bpf::kernel::{HostFact, Verdict, probe};

use super::print;
use view::View;

/// Prints each fact; fails if something is missing without which Longwave cannot run.
pub(super) fn run() -> anyhow::Result<()> {
    let mut facts = probe();
    facts.extend(surroundings::look(&View::of_this_process()));
    print(&table(&facts)?)?;
    let missing = facts.iter().filter(|fact| fact.verdict == Verdict::Missing).count();
    anyhow::ensure!(
        missing == 0,
        "the bpf receiver cannot run here: {missing} of {} facts missing",
        facts.len()
    );
    Ok(())
}

/// One line a fact, and below it what to do where something is wanting.
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
