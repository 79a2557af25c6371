//! `cargo xtask ci`: runs every check that a change must pass, and times each. `.ci/run` installs missing tools and then calls it.

mod step;
mod tally;

use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use step::{STEPS, Step};
use tally::Tally;

/// `cargo xtask ci`
#[derive(Args)]
pub struct Options {
    /// Run only this step. Repeatable.
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Leave this step out. Repeatable.
    #[arg(long, value_name = "STEP")]
    skip: Vec<String>,
    /// Print the steps with their commands, and run none.
    #[arg(long)]
    list: bool,
    /// Seconds that an earlier step of `.ci/run` took, for the table of times. Repeatable.
    #[arg(long, value_name = "NAME=SECS")]
    took: Vec<String>,
}

/// Runs the steps in order and stops at the first that fails. Some steps run in the background. The last line has the number of all tests:
/// `N passed, N failed`.
pub fn main(options: &Options) -> Result<ExitCode> {
    for name in options.only.iter().chain(&options.skip) {
        if !STEPS.iter().any(|step| step.name == name) {
            let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
            bail!("ci: no step is named {name} (steps: {})", names.join(" "));
        }
    }
    if options.list {
        STEPS.iter().for_each(|step| println!("{:<12} {}", step.name, step.line()));
        return Ok(ExitCode::SUCCESS);
    }

    let chosen = |step: &&Step| {
        let named = |names: &[String]| names.iter().any(|name| name == step.name);
        (options.only.is_empty() || named(&options.only)) && !named(&options.skip)
    };
    let steps: Vec<&Step> = STEPS.iter().filter(chosen).collect();
    let mut times = earlier(&options.took);
    let tally = Mutex::default();
    let mut failure = None;
    let before: Duration = times.iter().map(|(_, took)| *took).sum();
    let started = Instant::now();
    thread::scope(|scope| {
        let mut ended = |step: &Step, (took, result): (Duration, Result<()>)| {
            times.push((step.name.to_owned(), took));
            if let Err(error) = result {
                failure.get_or_insert(format!("ci: FAILED in step {}: {error:#}", step.name));
            }
            failure.is_some()
        };
        let mut background = Vec::new();
        for step in steps {
            if step.in_background {
                background.push((step, scope.spawn(|| timed(step, &tally))));
                continue;
            }
            if step.needs_background && background.drain(..).any(|(step, thread)| ended(step, joined(thread)))
            {
                break;
            }
            if ended(step, timed(step, &tally)) {
                break;
            }
        }
        for (step, thread) in background {
            ended(step, joined(thread));
        }
    });
    times.push(("total".to_owned(), before + started.elapsed()));
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    report(&times, &tally, failure.as_deref());
    Ok(if failure.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn timed(step: &Step, tally: &Mutex<Tally>) -> (Duration, Result<()>) {
    println!("ci: {}: {}", step.name, step.line());
    let started = Instant::now();
    let result = step.run(tally);
    let took = started.elapsed();
    println!("ci: {}: {:.1} s", step.name, took.as_secs_f64());
    (took, result)
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn report(times: &[(String, Duration)], tally: &Tally, failure: Option<&str>) {
    println!("\nci: times");
    for (name, took) in times {
        println!("{name:<24} {:>8.1} s", took.as_secs_f64());
    }
    println!();
    if let Some(failure) = failure {
        println!("{failure}\n");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
}

fn earlier(took: &[String]) -> Vec<(String, Duration)> {
    let pairs = took.iter().filter_map(|pair| pair.rsplit_once('='));
    pairs.map(|(name, secs)| (name.to_owned(), Duration::from_secs(secs.parse().unwrap_or(0)))).collect()
}
