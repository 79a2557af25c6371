//! What this host offers and lacks, for `longwave check`.

use super::{btf, capabilities, diagnosis, namespaces};

/// What a fact means for Longwave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As needed.
    Good,
    /// Something is not seen or not known without it.
    Degraded,
    /// Longwave cannot run.
    Missing,
}

/// One thing that Longwave needs or uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFact {
    /// What.
    pub name: &'static str,
    /// What was found, in words.
    pub found: String,
    /// What that means.
    pub verdict: Verdict,
    /// What to do about it; empty if all is well.
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
        Self { name, found: found.into(), verdict, remedy: if good { "" } else { remedy } }
    }
}

/// Looks at everything that matters, without loading anything.
pub fn probe() -> Vec<HostFact> {
    vec![kernel(), kernel_types(), loading(), lockdown(), all_namespaces(), processes()]
}

fn kernel() -> HostFact {
    let release = diagnosis::release();
    let new_enough = diagnosis::version(&release).is_none_or(|version| version >= diagnosis::OLDEST);
    HostFact::new(
        "kernel",
        release,
        new_enough,
        Verdict::Missing,
        "upgrade to 5.15 or later (tested from 6.1)",
    )
}

fn kernel_types() -> HostFact {
    let remedy = "use a kernel with CONFIG_DEBUG_INFO_BTF=y; in a container mount /sys";
    let (found, good) = match std::fs::read(btf::VMLINUX) {
        Err(error) => (format!("{}: {error}", btf::VMLINUX), false),
        Ok(bytes) => match btf::offsets(&bytes) {
            Ok(_) => (format!("{} ({} KiB)", btf::VMLINUX, bytes.len() / 1024), true),
            Err(error) => (error.to_string(), false),
        },
    };
    HostFact::new("kernel types (BTF)", found, good, Verdict::Missing, remedy)
}

fn loading() -> HostFact {
    let missing = capabilities::missing();
    let (found, good) = match (missing.is_empty(), capabilities::in_first_user_namespace()) {
        (false, _) => (format!("missing {}", missing.join(", ")), false),
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
    let remedy = "grant CAP_SYS_ADMIN: else connections of other network namespaces that are older than Longwave and that no process holds are not seen";
    HostFact::new("network namespaces", words, can, Verdict::Degraded, remedy)
}

fn processes() -> HostFact {
    let can = capabilities::can_see_processes();
    let words = if can { "all can be looked at" } else { "CAP_SYS_PTRACE is missing" };
    let remedy = "grant CAP_SYS_PTRACE: else network namespaces that only other processes hold are not found, nor what CAP_SYS_ADMIN shows of them";
    HostFact::new("processes", words, can, Verdict::Degraded, remedy)
}
