//! What is told of failures: each kind once, again after a while, and its end.

use std::time::{Duration, Instant};

use super::failure::Failure;
use super::resource::Resource;

/// What was told.
#[derive(Debug)]
pub(super) struct FailureLog {
    resource: Resource,
    told: Option<(&'static str, Instant)>,
    /// Of objects that cannot be read.
    told_undecodable: Option<Instant>,
}

/// Between two lines on the same failure_log.
const AGAIN: Duration = Duration::from_secs(300);

// === impl FailureLog ===

impl FailureLog {
    pub fn new(resource: &Resource) -> Self {
        Self { resource: resource.clone(), told: None, told_undecodable: None }
    }

    /// Tells of a failure, if it is another one than before or is going on for long.
    pub fn report(&mut self, failure: &Failure) {
        // Ends of watches are everyday things: they are counted.
        if matches!(failure, Failure::Gone(_) | Failure::Cut(_)) {
            tracing::debug!(resource = self.resource.name, "{}", explain(&self.resource, failure));
            return;
        }
        let reason = failure.reason();
        if self.told.is_some_and(|(told, when)| told == reason && when.elapsed() < AGAIN) {
            return;
        }
        self.told = Some((reason, Instant::now()));
        tracing::warn!(resource = self.resource.name, reason, "{}", explain(&self.resource, failure));
    }

    /// All is well again.
    pub fn recovered(&mut self) {
        if self.told.take().is_some() {
            tracing::info!(
                resource = self.resource.name,
                "extensions::kubernetes: {} are watched again",
                self.resource.name
            );
        }
    }

    /// Tells of an object that cannot be read.
    pub fn undecodable(&mut self, error: &serde_json::Error) {
        if self.told_undecodable.is_none_or(|when| when.elapsed() >= AGAIN) {
            self.told_undecodable = Some(Instant::now());
            tracing::warn!(
                resource = self.resource.name,
                "extensions::kubernetes: one of the {} is not understood and passed over: {error}",
                self.resource.name
            );
        }
    }
}

/// What happened, the likely cause, the remedy.
pub(super) fn explain(resource: &Resource, failure: &Failure) -> String {
    let Resource { name, group, .. } = resource;
    let text = match failure {
        Failure::Unreachable(cause) => format!(
            "cannot reach the API server: {cause}. Is its address right, and may this pod or host connect to it (NetworkPolicy, firewall)?"
        ),
        Failure::Silent(time) => format!(
            "nothing was heard of {name} for {} s: the API server or something on the way to it is stuck",
            time.as_secs_f32()
        ),
        Failure::Cut(cause) => format!("the watch of {name} was cut: {cause}"),
        Failure::Gone(cause) => format!(
            "the place where the watch of {name} would go on is forgotten, all are listed again: {cause}"
        ),
        Failure::Malformed(cause) => {
            format!(
                "the answer on {name} is not understood: {cause}. Is it an API server that answers, or a proxy?"
            )
        }
        Failure::NoStreaming => format!("listings of {name} cannot be streamed"),
        Failure::Status { code: 401, message, .. } => format!(
            "the API server does not accept the credentials: {message}. Is the service account's token mounted (automountServiceAccountToken), or the kubeconfig's user valid?"
        ),
        Failure::Status { code: 403, message, .. } => format!(
            "may not list and watch {name}: add the rule `apiGroups: [\"{group}\"], resources: [\"{name}\"], verbs: [\"list\", \"watch\"]` to the ClusterRole, or bind it by a ClusterRoleBinding: {message}"
        ),
        Failure::Status { code: 404, message, .. } => {
            format!("the API server does not know {name}: {message}. Longwave needs Kubernetes 1.21 or later")
        }
        Failure::Status { code: 429, message, .. } => format!("the API server asks to wait: {message}"),
        Failure::Status { code, message, .. } => {
            format!("the API server answers {code} for {name}: {message}")
        }
    };
    let stop = if text.ends_with('?') { "" } else { "." };
    format!("extensions::kubernetes: {text}{stop} Trying again; names come from what is known")
}
