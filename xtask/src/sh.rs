//! Runs other programs. Errors contain the command.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

use anyhow::{Context, Result, bail};

/// Formats a command as one line, for errors and progress.
pub fn display(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

/// Runs a command with inherited output. A non-zero exit code is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("{}: could not be started: is it installed?", display(command)))?;
    if !status.success() {
        bail!("{}: {status}", display(command));
    }
    Ok(())
}

/// Runs a command and returns its stdout. It inherits stderr.
pub fn output(command: &mut Command) -> Result<String> {
    captured(command.stderr(Stdio::inherit()))
}

fn captured(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("{}: could not be started: is it installed?", display(command)))?;
    if !output.status.success() {
        bail!("{}: {}", display(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{}: output is not UTF-8", display(command)))
}

/// Runs a command whose stdout goes to stderr, so that the stdout of `cargo xtask` contains only its result.
pub fn run_quiet(command: &mut Command) -> Result<()> {
    command.stdout(std::io::stderr());
    run(command)
}

/// Like [`output`], but discards stderr. For programs that are expected to fail in some cases.
pub fn output_silent(command: &mut Command) -> Result<String> {
    captured(command.stderr(Stdio::null()))
}

/// Returns the stdout of a child as lines. A thread reads them, so that the caller can wait for a line with a time limit.
pub fn lines(child: &mut Child) -> Result<Receiver<String>> {
    let stdout = child.stdout.take().context("the child's stdout is not a pipe")?;
    let (sender, receiver) = sync_channel(1024);
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line);
            if sender.send(line.trim_end_matches('\r').to_owned()).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
