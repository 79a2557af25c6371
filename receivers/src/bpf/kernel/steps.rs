//! Outcomes of the steps of loading and attaching. The receiver requires most of them to succeed. `longwave check` prints all.

use std::fmt;

use super::Diagnosis;

/// Step of loading and attaching. The variants are in the order of execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Checking the kernel's version and the capabilities.
    Host,
    /// Reading the kernel's types.
    Types,
    /// Deriving the settings of the programs from the configuration.
    Settings,
    /// Creating the maps.
    Maps,
    /// Loading the program of this name.
    Load(&'static str),
    /// Running the program of this name once.
    Run(&'static str),
    /// Attaching the program of this name.
    Attach(&'static str),
}

/// Outcome of a step.
#[derive(Debug)]
pub struct Outcome {
    /// The step.
    pub step: Step,
    /// Reason of the failure; `None` if the step succeeded.
    pub failure: Option<Diagnosis>,
    /// Whether the receiver needs the step to succeed.
    pub is_needed: bool,
}

/// Outcomes of the steps so far, in order.
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
    /// Adds the outcome of a step that the receiver needs. Returns the value of a successful step.
    pub fn need<T>(&mut self, step: Step, result: Result<T, Diagnosis>) -> Option<T> {
        self.add(step, true, result)
    }

    /// Adds the outcome of a step that the receiver does not need. Returns the value of a successful step.
    pub fn want<T>(&mut self, step: Step, result: Result<T, Diagnosis>) -> Option<T> {
        self.add(step, false, result)
    }

    /// Returns whether a step failed that the receiver needs.
    pub fn failed(&self) -> bool {
        self.0.iter().any(|outcome| outcome.is_needed && outcome.failure.is_some())
    }

    /// Returns the first failure of a step that the receiver needs.
    pub fn into_failure(self) -> Option<Diagnosis> {
        self.0.into_iter().filter(|outcome| outcome.is_needed).find_map(|outcome| outcome.failure)
    }

    /// Returns the failed steps that the receiver does not need, with the reasons.
    pub fn refusals(&self) -> impl Iterator<Item = (Step, &Diagnosis)> {
        let refused = self.0.iter().filter(|outcome| !outcome.is_needed);
        refused.filter_map(|outcome| Some((outcome.step, outcome.failure.as_ref()?)))
    }

    fn add<T>(&mut self, step: Step, is_needed: bool, result: Result<T, Diagnosis>) -> Option<T> {
        let (value, failure) = match result {
            Ok(value) => (Some(value), None),
            Err(failure) => (None, Some(failure)),
        };
        self.0.push(Outcome { step, failure, is_needed });
        value
    }
}
