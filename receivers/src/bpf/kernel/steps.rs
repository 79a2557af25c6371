//! What the kernel answered to each step of loading and attaching: the receiver needs all to succeed, `longwave check` prints them.

use std::fmt;

use super::Diagnosis;

/// A step of loading and attaching, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What can be told without trying: the kernel's version, capabilities.
    Host,
    /// The kernel's types.
    Types,
    /// The configuration, translated for the programs.
    Settings,
    /// Creating the maps.
    Maps,
    /// Loading a program.
    Load(&'static str),
    /// Running a program once.
    Run(&'static str),
    /// Attaching a program.
    Attach(&'static str),
}

/// A step's outcome.
#[derive(Debug)]
pub struct Outcome {
    /// The step.
    pub step: Step,
    /// Why it failed, if it did.
    pub failure: Option<Diagnosis>,
    /// The receiver cannot start without it.
    pub is_needed: bool,
}

/// The outcomes so far.
#[derive(Debug, Default)]
pub struct Steps(pub Vec<Outcome>);

// === impl Step ===

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("kernel and capabilities"),
            Self::Types => f.write_str("kernel types (BTF)"),
            Self::Settings => f.write_str("settings"),
            Self::Maps => f.write_str("creating the maps"),
            Self::Load(name) => write!(f, "loading `{name}`"),
            Self::Run(name) => write!(f, "running `{name}`"),
            Self::Attach(name) => write!(f, "attaching `{name}`"),
        }
    }
}

// === impl Steps ===

impl Steps {
    /// Notes the outcome of a step that the receiver needs. Returns what the step made.
    pub fn need<T>(&mut self, step: Step, result: Result<T, Diagnosis>) -> Option<T> {
        self.note(step, true, result)
    }

    /// Notes the outcome of a step that the receiver can do without.
    pub fn want<T>(&mut self, step: Step, result: Result<T, Diagnosis>) -> Option<T> {
        self.note(step, false, result)
    }

    /// Whether a step failed that the receiver needs.
    pub fn failed(&self) -> bool {
        self.0.iter().any(|outcome| outcome.is_needed && outcome.failure.is_some())
    }

    /// The first failure of a step that the receiver needs.
    pub fn into_failure(self) -> Option<Diagnosis> {
        self.0.into_iter().filter(|outcome| outcome.is_needed).find_map(|outcome| outcome.failure)
    }

    /// Failures of steps that the receiver can do without.
    pub fn refusals(&self) -> impl Iterator<Item = &Diagnosis> {
        self.0.iter().filter(|outcome| !outcome.is_needed).filter_map(|outcome| outcome.failure.as_ref())
    }

    fn note<T>(&mut self, step: Step, is_needed: bool, result: Result<T, Diagnosis>) -> Option<T> {
        let (made, failure) = match result {
            Ok(made) => (Some(made), None),
            Err(failure) => (None, Some(failure)),
        };
        self.0.push(Outcome { step, failure, is_needed });
        made
    }
}
