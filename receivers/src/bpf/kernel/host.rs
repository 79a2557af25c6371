//! Facts on this host for `longwave check`, with the outcomes of the receiver's steps of loading and attaching.

use std::borrow::Cow;

use super::steps::{Outcome, Step, Steps};
use super::{Kernel, Options, btf, diagnosis};
use crate::host::{capabilities, namespaces};

/// Meaning of a fact for Longwave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The fact is as Longwave needs it.
    Good,
    /// Longwave runs, but some connections or names are missing.
    Degraded,
    /// Longwave cannot run.
    Missing,
}

/// State of one feature of the host that Longwave needs or uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFact {
    /// Name of the feature.
    pub name: Cow<'static, str>,
    /// Description of what was found.
    pub found: String,
    /// Meaning for Longwave.
    pub verdict: Verdict,
    /// Remedy; empty if the verdict is good or the description contains it.
    pub remedy: &'static str,
}

impl HostFact {
    fn new(
        name: &'static str,
        found: impl Into<String>,
        good: bool,
        otherwise: Verdict,
        remedy: &'static str,
    ) -> Self {
        let verdict = if good { Verdict::Good } else { otherwise };
        Self { name: name.into(), found: found.into(), verdict, remedy: if good { "" } else { remedy } }
    }
}

/// Collects the facts on this host. Tries all steps of the receiver with these options: creates the maps, loads and attaches every program,
/// and samples once. Detaches everything again.
pub fn probe(options: &Options) -> Vec<HostFact> {
    let mut facts = vec![kernel(), kernel_types(), load_capabilities(), lockdown()];
    let mut steps = Steps::default();
    let loaded = Kernel::load_in_steps(options, &mut steps);
    let explained = facts.iter().any(|fact| fact.verdict == Verdict::Missing);
    // The facts above include the first two steps, unless one failed for a reason that they do not show.
    let is_covered = |outcome: &&Outcome| {
        matches!(outcome.step, Step::Host | Step::Types) && (explained || outcome.failure.is_none())
    };
    facts.extend(steps.0.iter().filter(|outcome| !is_covered(outcome)).map(step_fact));
    if let Some(Err(error)) = loaded {
        let (found, remedy) = (error.to_string(), "");
        facts.push(HostFact { name: "mapping the rings".into(), found, verdict: Verdict::Missing, remedy });
    }
    facts.extend([all_namespaces(), processes()]);
    facts
}

/// Returns the outcome of a step as a fact.
fn step_fact(outcome: &Outcome) -> HostFact {
    let (verdict, remedy) = match outcome.step {
        _ if outcome.failure.is_none() => (Verdict::Good, ""),
        _ if outcome.is_needed => (Verdict::Missing, ""),
        Step::Load("seed_files") => (
            Verdict::Degraded,
            "Longwave runs without it: older connections are reported without their processes",
        ),
        Step::Attach(_) => (
            Verdict::Degraded,
            "Longwave runs without it: a cgroup that is removed before it is read has no name, and the setting `cgroup` selects connections of a new cgroup from the next interval on only",
        ),
        _ => (
            Verdict::Degraded,
            "Longwave runs without it: older connections that no process has open are reported only when they close",
        ),
    };
    let found = outcome.failure.as_ref().map_or("accepted".to_owned(), ToString::to_string);
    HostFact { name: outcome.step.to_string().into(), found, verdict, remedy }
}

fn kernel() -> HostFact {
    let release = diagnosis::release();
    let new_enough = diagnosis::version(&release).is_none_or(|version| version >= diagnosis::OLDEST);
    HostFact::new(
        "kernel",
        release,
        new_enough,
        Verdict::Missing,
        "upgrade to 5.17 or later (tested from 6.1)",
    )
}

fn kernel_types() -> HostFact {
    let remedy = "use a kernel with CONFIG_DEBUG_INFO_BTF=y; in a container, mount /sys";
    let (found, good) = match std::fs::read(btf::VMLINUX) {
        Err(error) => (format!("{}: {error}", btf::VMLINUX), false),
        Ok(bytes) => match btf::offsets(&bytes) {
            Ok(_) => (format!("{} ({} KiB)", btf::VMLINUX, bytes.len() / 1024), true),
            Err(error) => (error.to_string(), false),
        },
    };
    HostFact::new("kernel types (BTF)", found, good, Verdict::Missing, remedy)
}

fn load_capabilities() -> HostFact {
    let missing = capabilities::missing();
    let (found, good) = match (missing.is_empty(), capabilities::in_first_user_namespace()) {
        (false, _) => (format!("missing {}", missing.join(" and ")), false),
        (true, false) => ("in a user namespace only".into(), false),
        (true, true) => ("CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN".into(), true),
    };
    let remedy = "run as root in the host's user namespace, or grant CAP_BPF and CAP_PERFMON";
    HostFact::new("capabilities to load programs", found, good, Verdict::Missing, remedy)
}

fn lockdown() -> HostFact {
    let mode = diagnosis::lockdown();
    let good = mode.as_deref() != Some("confidentiality");
    let found = mode.unwrap_or_else(|| "not in this kernel".into());
    HostFact::new("kernel lockdown", found, good, Verdict::Missing, "boot with lockdown=integrity or none")
}

fn all_namespaces() -> HostFact {
    let found = namespaces::find();
    let can = capabilities::can_enter_namespaces();
    let words = format!(
        "{} found, {}",
        found.paths.len(),
        if can { "all can be entered" } else { "CAP_SYS_ADMIN is missing" }
    );
    let remedy = "grant CAP_SYS_ADMIN; without it, older connections of other network namespaces that no process has open are not reported";
    HostFact::new("network namespaces", words, can, Verdict::Degraded, remedy)
}

fn processes() -> HostFact {
    let can = capabilities::can_see_processes();
    let words = if can { "all can be inspected" } else { "CAP_SYS_PTRACE is missing" };
    let remedy = "grant CAP_SYS_PTRACE; without it, network namespaces that exist only through other processes are not found";
    HostFact::new("processes", words, can, Verdict::Degraded, remedy)
}
