//! Why the kernel side cannot run here, and what to do.

use std::io;
use std::path::PathBuf;

use super::{btf::VMLINUX, capabilities};

/// The oldest kernel that has every helper used (`bpf_loop`); 6.1 is the oldest tested.
pub const OLDEST: (u32, u32) = (5, 17);

/// What is missing on this host.
#[derive(Debug, thiserror::Error)]
pub enum Diagnosis {
    /// The kernel is too old.
    #[error(
        "kernel {release} is too old: Longwave needs 5.17 or later (tested from 6.1): upgrade the kernel"
    )]
    Kernel {
        /// `uname -r`.
        release: String,
    },
    /// The kernel has no BTF.
    #[error(
        "{VMLINUX}: {source}: the kernel was built without BTF, or /sys is not mounted here: use a kernel with CONFIG_DEBUG_INFO_BTF=y (all current distributions), and in a container mount /sys"
    )]
    NoBtf {
        /// Why it cannot be read.
        source: io::Error,
    },
    /// The kernel's BTF lacks something.
    #[error("the kernel's BTF {reason}; please report the kernel's version")]
    Btf {
        /// What is wrong with it.
        reason: String,
    },
    /// Capabilities are missing.
    #[error("missing {}: run as root, or grant them (systemd: AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN CAP_SYS_PTRACE CAP_SYS_ADMIN; Kubernetes: securityContext.capabilities.add: [BPF, PERFMON, NET_ADMIN, SYS_PTRACE, SYS_ADMIN]; Docker: --cap-add for each)", missing.join(" and "))]
    Capabilities {
        /// Their names.
        missing: Vec<&'static str>,
    },
    /// Root of a user namespace only.
    #[error(
        "{call}: {source}: this process has its capabilities in a user namespace only, which does not count for BPF: run in the host's user namespace (rootful containers; Docker: --userns=host)"
    )]
    UserNamespace {
        /// Which call was refused.
        call: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Kernel lockdown.
    #[error(
        "{call}: {source}: kernel lockdown is in mode `{mode}`, which keeps BPF from reading kernel memory: boot with lockdown=integrity or none (Secure Boot may enforce it)"
    )]
    Lockdown {
        /// Which call was refused.
        call: String,
        /// The kernel's answer.
        source: io::Error,
        /// `/sys/kernel/security/lockdown`.
        mode: String,
    },
    /// Refused although the capabilities are there.
    #[error("{call}: {source}: the capabilities are there, so something else refuses it: {}", if *seccomp { "this process runs under a seccomp filter: allow bpf(2) in the profile (Docker: --security-opt seccomp=unconfined; Kubernetes: seccompProfile.type: Unconfined)" } else { "a security module (SELinux, AppArmor) or a hardened kernel: look at the audit log" })]
    Refused {
        /// Which call was refused.
        call: String,
        /// The kernel's answer.
        source: io::Error,
        /// Whether a seccomp filter is active.
        seccomp: bool,
    },
    /// `bpf(2)` itself is missing.
    #[error(
        "{call}: {source}: the kernel has no bpf(2): use one with CONFIG_BPF_SYSCALL=y and CONFIG_BPF_JIT=y, and allow bpf(2) where a seccomp profile hides it"
    )]
    NoBpf {
        /// Which call was refused.
        call: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Memory.
    #[error(
        "{call}: {source}: not enough memory for the maps: lower `max_connections` or the ring sizes, raise the container's memory limit, or on kernels before 5.11 RLIMIT_MEMLOCK (LimitMEMLOCK=infinity)"
    )]
    Memory {
        /// Which call was refused.
        call: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A program did not pass the verifier, or another error of the loader.
    #[error(
        "{what}: {reason}; this kernel does not take the program: please report its version with this message"
    )]
    Program {
        /// Which program or step.
        what: String,
        /// The loader's words, with the verifier's log.
        reason: String,
    },
    /// The object given by the environment cannot be read.
    #[error("LONGWAVE_BPF_OBJECT: {}: {source}: unset it to use the built-in object", path.display())]
    Object {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The cgroup scope.
    #[error("cgroup: {}: {reason}: name a folder below the cgroup2 mount, for example /sys/fs/cgroup/system.slice", path.display())]
    Cgroup {
        /// As configured.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A ring buffer could not be mapped.
    #[error(
        "{what}: {source}: the ring buffer could not be mapped: is the address space or the descriptor limit exhausted?"
    )]
    Map {
        /// Which map.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// What a refused call means on this host.
pub fn explain(call: impl Into<String>, error: io::Error, words: String) -> Diagnosis {
    let call = call.into();
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            let missing = capabilities::missing();
            if !missing.is_empty() {
                return Diagnosis::Capabilities { missing };
            }
            if let Some(mode) = lockdown().filter(|mode| mode == "confidentiality") {
                return Diagnosis::Lockdown { call, source: error, mode };
            }
            if !capabilities::in_first_user_namespace() {
                return Diagnosis::UserNamespace { call, source: error };
            }
            // The verifier's own refusals are EACCES too, and have a log.
            if error.raw_os_error() == Some(libc::EACCES) {
                return Diagnosis::Program { what: call, reason: words };
            }
            Diagnosis::Refused { call, source: error, seccomp: capabilities::seccomp() }
        }
        Some(libc::ENOSYS) => Diagnosis::NoBpf { call, source: error },
        Some(libc::ENOMEM) => Diagnosis::Memory { call, source: error },
        _ => match lockdown() {
            Some(mode) if mode == "confidentiality" => Diagnosis::Lockdown { call, source: error, mode },
            _ => Diagnosis::Program { what: call, reason: words },
        },
    }
}

/// The operating system's error at the bottom of a chain.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> io::Error {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref::<io::Error>()
            && let Some(code) = found.raw_os_error()
        {
            return io::Error::from_raw_os_error(code);
        }
        at = error.source();
    }
    io::Error::other(error.to_string())
}

/// What can be told without trying.
pub fn preflight() -> Result<(), Diagnosis> {
    let release = release();
    if version(&release).is_some_and(|version| version < OLDEST) {
        return Err(Diagnosis::Kernel { release });
    }
    let missing = capabilities::missing();
    if missing.is_empty() { Ok(()) } else { Err(Diagnosis::Capabilities { missing }) }
}

/// `uname -r`.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Major and minor number of a release.
pub fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Kernel lockdown's mode, where the kernel has it.
pub fn lockdown() -> Option<String> {
    let modes = std::fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    Some(modes.split_once('[')?.1.split_once(']')?.0.to_owned())
}
