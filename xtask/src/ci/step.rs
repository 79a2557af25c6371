//! The steps of `cargo xtask ci`, as data, and how one is run.

use std::process::{Command, Stdio};

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
}

/// The object as this run built it, below the workspace. The tests that follow load it, so that they prove the sources, also where the
/// toolchain is newer than the committed object's.
const REBUILT_OBJECT: &str = "target/longwave.bpf.o";

/// In running order: what is quick to fail comes first, what takes the machine for itself last.
pub const STEPS: &[Step] = &[
    Step { name: "fmt", command: &["cargo", "fmt", "--all", "--", "--check"], env: &[], minutes: 2 },
    Step {
        name: "fmt-ebpf",
        command: &["cargo", "fmt", "--manifest-path", "ebpf/programs/Cargo.toml", "--", "--check"],
        env: &[],
        minutes: 2,
    },
    Step {
        name: "deny",
        command: &["cargo", "deny", "--locked", "check", "bans", "licenses", "sources"],
        env: &[],
        minutes: 5,
    },
    Step {
        name: "clippy",
        command: &["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
        env: &[],
        minutes: 15,
    },
    Step {
        name: "object",
        command: &["cargo", "xtask", "ebpf", "build", "--check", "--output", REBUILT_OBJECT],
        env: &[],
        minutes: 15,
    },
    Step { name: "peers", command: &["cargo", "xtask", "peers"], env: &[], minutes: 30 },
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
    },
    Step {
        name: "vm",
        // What only takes long under emulation and shows nothing of the kernel's version is left to the end-to-end step.
        command: &[
            "cargo",
            "xtask",
            "vm",
            "test",
            "--kernel",
            "6.12",
            "--",
            "--skip",
            "over_4_gib",
            "--skip",
            "a_hundred_thousand",
        ],
        env: &[],
        minutes: 25,
    },
    Step { name: "build", command: &["cargo", "build", "--workspace", "--locked"], env: &[], minutes: 15 },
    // Privileged tests, the real Collector, Docker and Kubernetes, and the examples' validation.
    Step {
        name: "end-to-end",
        command: &["cargo", "test", "--package", "longwave-tests", "--locked", "--no-fail-fast"],
        env: &[("LONGWAVE_REQUIRE_BPF", "1"), ("LONGWAVE_REQUIRE_PEERS", "1")],
        minutes: 40,
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

    /// Runs the step, prints its output as it comes, and counts the tests in it.
    pub fn run(&self, tally: &mut Tally) -> Result<()> {
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
            tally.add(&line);
        }
        let status = child.wait().context("wait for the step")?;
        match status.code() {
            Some(0) => Ok(()),
            Some(124) => bail!("took longer than {} minutes: {}", self.minutes, self.line()),
            _ => bail!("{status}: {}", self.line()),
        }
    }
}
