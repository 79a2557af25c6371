//! Messages of Longwave under a kernel that is too old for it. `cargo xtask vm test --kernel 5.10` runs these tests.
#![allow(clippy::unwrap_used)]

use std::process::ExitCode;
use std::time::Duration;

use longwave_testing::{gate, harness, tests};
use longwave_tests::check::{check, fact};
use longwave_tests::longwave::Options;
use longwave_tests::scenario::{UNDER_LOSS, play};
use longwave_tests::verdict::{check_within_one, finals};
use longwave_tests::{Family, Longwave, Network, config};
use serde_json::json;

const SERIES: &str = "5.10";

/// Skips the test unless it runs in the virtual machine with the old kernel.
fn require_the_old_kernel() {
    if std::env::var("LONGWAVE_VM").is_ok_and(|series| series == SERIES) {
        return;
    }
    gate::skip(format!("not in a virtual machine with kernel {SERIES}"));
}

/// Returns the oldest supported version in a message: the word before `or later`.
fn oldest(text: &str) -> (u32, u32) {
    let version = text.split(" or later").next().and_then(|before| before.rsplit(' ').next());
    let (major, minor) =
        version.and_then(|version| version.split_once('.')).unwrap_or_else(|| panic!("{text}"));
    (major.parse().unwrap(), minor.parse().unwrap())
}

/// *Scenario*: `check` under a kernel that is too old.
/// *Guarantees*: it fails. The message names the version of the kernel, the oldest supported version, and the remedy (upgrade).
fn check_says_that_the_kernel_is_too_old() {
    require_the_old_kernel();
    let (text, content) = check(&[]);
    let fact = fact(&text, "kernel ");
    assert!(!content && fact.starts_with("missing ") && fact.contains(&format!(" {SERIES}.")), "{text}");
    assert!(fact.contains("upgrade ") && oldest(&fact) > (5, 10), "{text}");
}

/// *Scenario*: `run` with a valid configuration under a kernel that is too old.
/// *Guarantees*: Longwave exits with an error and prints no data. The error names the version of the kernel, the oldest supported version,
/// and the remedy (upgrade).
fn run_says_that_the_kernel_is_too_old() {
    require_the_old_kernel();
    let ended = Longwave::spawn(config::logs(json!({"interval": "1s"})), Options::default()).wait();
    let stderr = &ended.stderr;
    assert!(!ended.status.success() && ended.records.is_empty() && ended.garbage.is_empty(), "{stderr}");
    let error = stderr.lines().find(|line| line.contains("too old")).unwrap_or_else(|| panic!("{stderr}"));
    let (kernel, rest) = error.split_once(" is too old").unwrap();
    assert!(kernel.contains(&format!("kernel {SERIES}.")), "{stderr}");
    assert!(oldest(rest) > (5, 10) && rest.contains("upgrade the kernel"), "{stderr}");
}

/// *Scenario*: `sock_diag` under a kernel that is too old for BPF, with every scenario on loopback.
/// *Guarantees*: final counts are exact, or off by the one byte that is marked.
fn sock_diag_runs() {
    require_the_old_kernel();
    let longwave = Longwave::start(config::logs_of("sock_diag", json!({"interval": "1s"})));
    let connections = play(UNDER_LOSS, &Network::loopback(Family::V4));
    assert!(longwave.await_finals(&finals(&connections), Duration::from_secs(120)));
    let within = check_within_one(&connections, &longwave.stop().records);
    eprintln!("{} ends, {} marked, {} off by one byte", within.ends, within.marked, within.off);
    assert!(within.problems.is_empty() && within.unreported == 0, "{within:?}");
}

fn main() -> ExitCode {
    harness::run(tests![
        check_says_that_the_kernel_is_too_old,
        run_says_that_the_kernel_is_too_old,
        sock_diag_runs,
    ])
}
