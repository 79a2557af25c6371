//! Runs tests in virtual machines: one machine for each test binary and kernel, so that a kernel panic ends only one of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Machine;
use super::machine::{self, GuestFile, Job};
use super::series::KernelSeries;
use crate::{cache, sh};

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Folders that tests read by their path in the source tree.
const FIXTURES: &[&str] = &["config/examples", "tests/fixtures"];

/// Runs each test binary under each kernel. If one fails, the others still run, and the exit code is that of a failure.
pub fn run(machine: &Machine, binaries: &[String], arguments: &[String]) -> Result<ExitCode> {
    let kernels = machine.kernels()?;
    let built = build(&["build", "--package", "longwave", "--bin", "longwave"])?;
    let Some(longwave) = built.into_iter().next() else { bail!("vm: cargo built no longwave binary") };

    let mut summary = Vec::new();
    let mut failed = false;
    for (series, kernel) in &kernels {
        for test in tests(*series, binaries)? {
            println!("vm: {} under {}", test.name, kernel.release);
            let job = job(machine, *series, &longwave, &test, arguments)?;
            // After a kernel panic, the other test binaries still run.
            let outcome = match machine::run(kernel, &job) {
                Ok(ended) => {
                    failed |= ended.code != 0;
                    format!("{ended}; {}; log: {}", ended.results.join("; "), job.log.display())
                }
                Err(error) => {
                    failed = true;
                    eprintln!("{error:#}");
                    error.root_cause().to_string()
                }
            };
            summary.push(format!("{}: {}: {outcome}", kernel.release, test.name));
        }
    }
    for line in summary {
        println!("vm: {line}");
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Builds the test binaries that `--binary` selects, or the default ones of the series.
fn tests(series: KernelSeries, selected: &[String]) -> Result<Vec<Binary>> {
    let mut names: Vec<&str> = selected.iter().map(String::as_str).collect();
    if names.is_empty() {
        names.push(if series.too_old { "too_old_kernel" } else { "privileged*" });
    }
    let mut arguments = vec!["test", "--no-run", "--package", "longwave-tests"];
    names.iter().for_each(|name| arguments.extend(["--test", name]));
    let mut tests = build(&arguments)?;
    if tests.is_empty() {
        bail!("vm: cargo built no test binary for {}", names.join(", "));
    }
    // The order in which cargo reports them differs from run to run.
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tests)
}

fn job(
    machine: &Machine,
    series: KernelSeries,
    longwave: &Binary,
    test: &Binary,
    arguments: &[String],
) -> Result<Job> {
    let program = format!("/bin/{}", test.name);
    let mut files = vec![
        GuestFile { host: longwave.path.clone(), guest: "/bin/longwave".into() },
        GuestFile { host: test.path.clone(), guest: program.clone() },
    ];
    let root = cache::workspace();
    FIXTURES.iter().try_for_each(|folder| fixtures(&root.join(folder), &mut files))?;
    let env = ["LONGWAVE_REQUIRE_BPF=1", "LONGWAVE_BIN=/bin/longwave", "RUST_BACKTRACE=1"];
    Ok(Job {
        timeout: machine.timeout(),
        files,
        env: env.map(str::to_owned).to_vec(),
        command: [program].into_iter().chain(arguments.iter().cloned()).collect(),
        log: machine::log_file(series, &test.name)?,
    })
}

/// A static program that cargo has built.
pub struct Binary {
    /// Name of its target.
    pub name: String,
    /// Path of the file. Its name contains a hash if it is a test.
    pub path: PathBuf,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    target: Option<MessageTarget>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct MessageTarget {
    name: String,
}

/// Builds static binaries with cargo, in a separate target folder, because their flags would rebuild everything in the usual one.
pub fn build(arguments: &[&str]) -> Result<Vec<Binary>> {
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" -C target-feature=+crt-static");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = sh::output(
        Command::new(cargo)
            .args(arguments)
            .args(["--profile", "vm", "--target", TARGET, "--message-format", "json-render-diagnostics"])
            .arg("--target-dir")
            .arg(cache::workspace().join("target/vm"))
            .env("RUSTFLAGS", flags.trim())
            .current_dir(cache::workspace())
            .stdin(Stdio::null()),
    )?;
    let mut binaries = Vec::new();
    for line in output.lines().filter(|line| line.starts_with('{')) {
        let message: Message =
            serde_json::from_str(line).with_context(|| format!("vm: cargo's message {line}"))?;
        if message.reason != "compiler-artifact" {
            continue;
        }
        if let (Some(target), Some(path)) = (message.target, message.executable) {
            binaries.push(Binary { name: target.name, path });
        }
    }
    Ok(binaries)
}

fn fixtures(folder: &Path, files: &mut Vec<GuestFile>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).with_context(|| format!("vm: read {}", folder.display()))? {
        let path = entry.with_context(|| format!("vm: read {}", folder.display()))?.path();
        if path.is_dir() {
            fixtures(&path, files)?;
        } else {
            files.push(GuestFile { guest: path.to_string_lossy().into_owned(), host: path });
        }
    }
    Ok(())
}
