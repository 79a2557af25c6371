//! The steps of `cargo xtask ci`, as data, and how one is run.

use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use super::tally::Tally;
use crate::{cache, sh};

/// One check.
pub struct Step {
    /// One word, for `--only` and the table of times.
    pub name: &'static str,
    /// Program and arguments, run in the workspace's root.
    command: &'static [&'static str],
    /// Added to the environment.
    env: &'static [(&'static str, &'static str)],
    /// After so many minutes the step is killed, and has failed.
    minutes: u64,
    /// Runs beside the steps that follow: what waits leaves it a core.
    pub in_background: bool,
    /// Begins when the steps in the background have ended.
    pub needs_background: bool,
}

impl Step {
    const DEFAULT: Self =
        Self { name: "", command: &[], env: &[], minutes: 0, in_background: false, needs_background: false };
}

/// The object as this run built it, below the workspace. The tests that follow load it, so that they prove the sources, also where the
/// toolchain is newer than the committed object's.
const REBUILT_OBJECT: &str = "target/longwave.bpf.o";

/// In running order: what is quick to fail comes first, what takes the machine for itself last.
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
    // Go builds on what the others leave of two cores.
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
        // What only takes long under emulation and shows nothing of the kernel's version is left to the end-to-end step.
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
        // Every byte and every connection change: what depends most on a kernel's structures and on how it runs the programs.
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
        // What the unit step built, and the binary: without `--tests` some features are off, and most would be compiled again.
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
    // Privileged tests, the real Collector, Docker and Kubernetes, and the examples' validation.
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
    /// As one would type it.
    pub fn line(&self) -> String {
        let mut line = String::new();
        for (name, value) in self.env {
            line.push_str(&format!("{name}={value} "));
        }
        line + &self.command.join(" ")
    }

    /// Runs the step, prints its output as it comes, and counts the tests in it into `tally`.
    pub fn run(&self, tally: &Mutex<Tally>) -> Result<()> {
        // setpriv: the step ends with us. timeout: so do its children, and in bounded time.
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
