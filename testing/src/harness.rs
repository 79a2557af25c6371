//! Harness for test binaries whose tests may be skipped, or that also run as another program (`harness = false` in the crate's
//! `Cargo.toml`).
//!
//! The standard harness counts a test that returns early as passed, and it has no entry point for another program. This harness takes the
//! same arguments and prints the same lines, but reports a test that [`crate::gate`] skips as ignored, with the reason. It does not capture
//! the output of tests.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::gate::Skipped;

/// Name and function of a test.
pub type Test = (&'static str, fn());

/// Lists tests with their names, for [`harness::run`](crate::harness::run). If a test is missing in the list, the compiler reports its
/// function as dead code.
#[macro_export]
macro_rules! tests {
    ($($test:path),+ $(,)?) => {
        &[$((stringify!($test), $test as fn())),+]
    };
}

/// Runs the tests that the command line selects, prints the results, and returns the exit code of the process.
pub fn run(tests: &'static [Test]) -> ExitCode {
    let trials = tests.iter().map(|(name, test)| {
        Trial::ignorable_test(*name, move || {
            catch_unwind(AssertUnwindSafe(test)).map(|()| Completion::Completed).or_else(ignored)
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn ignored(panic: Box<dyn Any + Send>) -> Result<Completion, Failed> {
    match panic.downcast::<Skipped>() {
        Ok(skipped) => Ok(Completion::ignored_with(skipped.0)),
        Err(panic) => resume_unwind(panic),
    }
}

/// Returns whether the first argument of this process is `role`, for example `--peer`. A test binary starts itself again with a role to run
/// another program.
pub fn started_as(role: &str) -> bool {
    std::env::args().nth(1).is_some_and(|argument| argument == role)
}
