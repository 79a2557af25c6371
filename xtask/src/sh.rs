//! Running other programs, with errors that name the command.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A command as one readable line, for errors and progress.
pub fn display(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

/// Runs a command with inherited output; a non-zero exit is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("{}: could not be started: is it installed?", display(command)))?;
    if !status.success() {
        bail!("{}: {status}", display(command));
    }
    Ok(())
}

/// Runs a command and returns its stdout; stderr is inherited.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{}: could not be started: is it installed?", display(command)))?;
    if !output.status.success() {
        bail!("{}: {}", display(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{}: output is not UTF-8", display(command)))
}
