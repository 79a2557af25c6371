//! The steps of `cargo xtask ci`.

use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use super::tally::Tally;
use crate::{cache, sh};

/// One check of a change.
pub struct Step {
    /// One word, for `--only` and the table of times.
    pub name: &'static str,
    /// Program and arguments. The working directory is the root of the workspace.
    command: &'static [&'static str],
    /// Variables that are added to the environment.
    env: &'static [(&'static str, &'static str)],
    /// Minutes after which the step is killed and counts as failed.
    minutes: u64,
    /// Runs at the same time as the following steps.
    pub in_background: bool,
    /// Starts only when the steps in the background have ended.
    pub needs_background: bool,
}

impl Step {
    const DEFAULT: Self =
        Self { name: "", command: &[], env: &[], minutes: 0, in_background: false, needs_background: false };
}

/// Path of the BPF object that this run builds, relative to the workspace. The tests load it instead of the committed object, so that they
/// test the sources even if the toolchain is newer.
const REBUILT_OBJECT: &str = "target/longwave.bpf.o";

/// All steps, in order. Quick checks come first. The steps that must run alone on the machine come last.
pub const STEPS: &[Step] = &[
    Step { name: "fmt", command: &["cargo", "fmt", "--all", "--", "--check"], minutes: 2, ..Step::DEFAULT },
    Step {
        name: "fmt-ebpf",
        command: &["cargo", "fmt", "--manifest-path", "ebpf/programs/Cargo.toml", "--", "--check"],
        minutes: 2,
        ..Step::DEFAULT
    },
    Step {
        name: "deny",
        command: &["cargo", "deny", "--locked", "check", "bans", "licenses", "sources"],
        minutes: 5,
        ..Step::DEFAULT
    },
    // With low priority, so that Go does not slow down the other steps.
    Step {
        name: "peers",
        command: &["nice", "-n", "19", "cargo", "xtask", "peers"],
        minutes: 40,
        in_background: true,
        ..Step::DEFAULT
    },
    Step {
        name: "clippy",
        command: &[
            "cargo",
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            "longwave-receivers/bench",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
        minutes: 15,
        ..Step::DEFAULT
    },
    Step {
        name: "object",
        command: &["cargo", "xtask", "ebpf", "build", "--check", "--output", REBUILT_OBJECT],
        minutes: 15,
        ..Step::DEFAULT
    },
    Step {
        name: "unit",
        command: &[
            "cargo",
            "test",
            "--workspace",
            "--exclude",
            "longwave-tests",
            "--locked",
            "--no-fail-fast",
        ],
        env: &[("LONGWAVE_REQUIRE_BPF", "1")],
        minutes: 25,
        ..Step::DEFAULT
    },
    Step {
        name: "vm-too-old",
        command: &["cargo", "xtask", "vm", "test", "--kernel", "5.10"],
        minutes: 15,
        ..Step::DEFAULT
    },
    Step {
        name: "vm-newest",
        // Tests that take long under emulation and do not depend on the kernel's version run in the end-to-end step only.
        command: &[
            "cargo",
            "xtask",
            "vm",
            "test",
            "--kernel",
            "newest",
            "--",
            "--skip",
            "over_4_gib",
            "--skip",
            "a_hundred_thousand",
        ],
        minutes: 30,
        ..Step::DEFAULT
    },
    Step {
        name: "vm-older",
        // Exact bytes and connection changes depend most on the kernel's structures and on how it runs the programs.
        command: &[
            "cargo",
            "xtask",
            "vm",
            "test",
            "--kernel",
            "6.1",
            "--kernel",
            "6.12",
            "--binary",
            "privileged_exactness",
            "--binary",
            "privileged_transitions",
            "--",
            "--skip",
            "over_4_gib",
            "--skip",
            "a_hundred_thousand",
        ],
        minutes: 20,
        ..Step::DEFAULT
    },
    Step {
        name: "build",
        // With `--tests`, the features are those of the unit step: without it, most crates would be compiled again.
        command: &[
            "cargo",
            "build",
            "--workspace",
            "--exclude",
            "longwave-tests",
            "--bins",
            "--tests",
            "--locked",
        ],
        minutes: 15,
        ..Step::DEFAULT
    },
    // Privileged tests, the real Collector, Docker and Kubernetes, and the validation of the examples.
    Step {
        name: "end-to-end",
        command: &["cargo", "test", "--package", "longwave-tests", "--locked", "--no-fail-fast"],
        env: &[("LONGWAVE_REQUIRE_BPF", "1"), ("LONGWAVE_REQUIRE_PEERS", "1")],
        minutes: 40,
        needs_background: true,
        ..Step::DEFAULT
    },
];

// === impl Step ===

impl Step {
    /// Returns the command line with its environment.
    pub fn line(&self) -> String {
        let mut line = String::new();
        for (name, value) in self.env {
            line.push_str(&format!("{name}={value} "));
        }
        line + &self.command.join(" ")
    }

    /// Runs the step, prints its output, and adds its tests to `tally`.
    pub fn run(&self, tally: &Mutex<Tally>) -> Result<()> {
        // setpriv ends the step when this process dies. timeout ends the step and its children after a limit.
        let rebuilt = Some(cache::workspace().join(REBUILT_OBJECT)).filter(|object| object.is_file());
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "timeout", "--kill-after", "10"])
            .arg((self.minutes * 60).to_string())
            .args(self.command)
            .envs(self.env.iter().copied())
            .envs(rebuilt.map(|object| ("LONGWAVE_BPF_OBJECT", object)))
            .current_dir(cache::workspace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("setpriv could not be started: install util-linux")?;
        for line in sh::lines(&mut child)? {
            println!("{line}");
            tally.lock().unwrap_or_else(PoisonError::into_inner).add(&line);
        }
        let status = child.wait().context("wait for the step")?;
        match status.code() {
            Some(0) => Ok(()),
            Some(124) => bail!("took longer than {} minutes: {}", self.minutes, self.line()),
            _ => bail!("{status}: {}", self.line()),
        }
    }
}
