//! Log lines of failures: one when a kind of failure begins, one every five minutes while it lasts, and one when it ends.

use std::time::{Duration, Instant};

use super::failure::Failure;
use super::resource::Resource;

/// What was logged last.
#[derive(Debug)]
pub(super) struct FailureLog {
    /// Id of the extension.
    extension: String,
    resource: Resource,
    last: Option<(&'static str, Instant)>,
    /// When an object that cannot be decoded was logged last.
    last_undecodable: Option<Instant>,
}

/// Time between two lines about the same failure.
const REPEAT_AFTER: Duration = Duration::from_secs(300);

// === impl FailureLog ===

impl FailureLog {
    pub fn new(extension: &str, resource: &Resource) -> Self {
        Self {
            extension: extension.to_owned(),
            resource: resource.clone(),
            last: None,
            last_undecodable: None,
        }
    }

    /// Logs a failure if it differs from the last one or lasts long.
    pub fn report(&mut self, failure: &Failure) {
        // Watches end often, so these failures are only counted.
        if matches!(failure, Failure::Gone(_) | Failure::Cut(_)) {
            tracing::debug!(
                resource = self.resource.name,
                "{}",
                explain(&self.extension, &self.resource, failure)
            );
            return;
        }
        let reason = failure.reason();
        if self.last.is_some_and(|(last, when)| last == reason && when.elapsed() < REPEAT_AFTER) {
            return;
        }
        self.last = Some((reason, Instant::now()));
        tracing::warn!(
            resource = self.resource.name,
            reason,
            "{}",
            explain(&self.extension, &self.resource, failure)
        );
    }

    /// Logs that the last failure is over.
    pub fn recovered(&mut self) {
        if self.last.take().is_some() {
            tracing::info!(
                resource = self.resource.name,
                "extensions::{}: {} are watched again",
                self.extension,
                self.resource.name
            );
        }
    }

    /// Logs an object that cannot be decoded.
    pub fn undecodable(&mut self, error: &serde_json::Error) {
        if self.last_undecodable.is_none_or(|when| when.elapsed() >= REPEAT_AFTER) {
            self.last_undecodable = Some(Instant::now());
            tracing::warn!(
                resource = self.resource.name,
                "extensions::{}: one of the {} cannot be decoded and is skipped: {error}",
                self.extension,
                self.resource.name
            );
        }
    }
}

/// Returns what happened, the likely cause and the remedy.
pub(super) fn explain(extension: &str, resource: &Resource, failure: &Failure) -> String {
    let Resource { name, group, .. } = resource;
    let text = match failure {
        Failure::Unreachable(cause) => format!(
            "cannot reach the API server: {cause}. Is its address right, and may this pod or host connect to it (NetworkPolicy, firewall)?"
        ),
        Failure::Silent(time) => format!(
            "nothing was received for {name} for {} s: the API server, or a proxy in front of it, hangs",
            time.as_secs_f32()
        ),
        Failure::Cut(cause) => format!("the watch of {name} was cut: {cause}"),
        Failure::Gone(cause) => format!(
            "the API server no longer has the version at which the watch of {name} would resume, so all are listed again: {cause}"
        ),
        Failure::Malformed(cause) => {
            format!(
                "the response for {name} cannot be decoded: {cause}. Is it from an API server, or from a proxy?"
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
            format!("the API server does not have {name}: {message}. Longwave needs Kubernetes 1.21 or later")
        }
        Failure::Status { code: 429, message, .. } => format!("the API server requests a wait: {message}"),
        Failure::Status { code, message, .. } => {
            format!("the API server responds with {code} for {name}: {message}")
        }
    };
    let stop = if text.ends_with('?') { "" } else { "." };
    format!("extensions::{extension}: {text}{stop} Trying again; known names are kept")
}
