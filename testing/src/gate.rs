//! Conditions of tests. Privileged tests need root and BTF, and run one after the other. Other tests need programs that may be missing.
//!
//! A test whose condition is not met ends immediately and is reported as ignored. Only [`crate::harness`] supports that.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Locked while a test has its turn.
static TURN: Mutex<()> = Mutex::new(());

/// Panic payload of a skipped test: the reason.
pub(crate) struct Skipped(pub(crate) String);

/// Exclusive use of the kernel by one test of the process, until dropped.
pub struct Turn {
    _turn: MutexGuard<'static, ()>,
}

/// Waits for the turn of a privileged test. Skips the test without root or BTF.
///
/// # Panics
/// If the test cannot run and `LONGWAVE_REQUIRE_BPF` is `1`.
pub fn privileged() -> Turn {
    require_privileges();
    alone()
}

/// Skips the test without root or BTF. Does not wait for a turn, unlike [`privileged`]: it is for tests that may run at the same time.
///
/// # Panics
/// If the test cannot run and `LONGWAVE_REQUIRE_BPF` is `1`.
pub fn require_privileges() {
    if !rustix::process::geteuid().is_root() {
        missing("not root", "LONGWAVE_REQUIRE_BPF");
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        missing("no /sys/kernel/btf/vmlinux", "LONGWAVE_REQUIRE_BPF");
    }
    raise_open_files();
}

/// Waits for the turn of a test that needs no privilege, but must run alone.
pub fn alone() -> Turn {
    Turn { _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner) }
}

/// Ends the current test because `what` is missing. The harness reports the test as ignored.
///
/// # Panics
/// If the environment variable `demand` is `1`.
pub fn missing(what: &str, demand: &str) -> ! {
    assert!(!is_set(demand), "cannot run: {what}, but {demand}=1 demands it");
    skip(what)
}

/// Ends the current test, which the harness reports as ignored with this reason.
pub fn skip(reason: impl Into<String>) -> ! {
    // Unlike `panic!`, this prints nothing.
    resume_unwind(Box::new(Skipped(reason.into())))
}

/// Returns whether this is a distribution's stock kernel, which runs tracing programs at every event. On other kernels, `kernel_trace` in
/// `tests/` finds the events at which it does not.
pub fn stock_kernel() -> bool {
    is_set("LONGWAVE_STOCK_KERNEL")
        || rustix::system::uname().release().to_string_lossy().contains("cloud-amd64")
}

/// Returns whether the environment variable `name` is `1`.
fn is_set(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| value == "1")
}

/// Raises the soft limit of open files to the hard one.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
