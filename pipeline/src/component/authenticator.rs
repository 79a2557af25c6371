//! [`Authenticator`]: adds credentials to the requests of exporters. Extensions provide authenticators, exporters use them.

use std::sync::Arc;

use hashbrown::HashMap;
use http::{HeaderName, HeaderValue};

use crate::component::error::ComponentError;

/// Adds a header with credentials to every request.
pub trait Authenticator: Send + Sync {
    /// Returns the name of the header, which never changes.
    fn header_name(&self) -> HeaderName;

    /// Returns the current value of the header, which is marked as sensitive.
    fn header_value(&self) -> HeaderValue;
}

/// The authenticators of a running graph, by the ids of their extensions.
#[derive(Clone, Default)]
pub struct Authenticators {
    by_id: Arc<HashMap<String, Arc<dyn Authenticator>>>,
}

// === impl Authenticators ===

impl Authenticators {
    /// Collects the authenticators of extensions, by their ids.
    pub fn new(authenticators: impl IntoIterator<Item = (String, Arc<dyn Authenticator>)>) -> Self {
        Self { by_id: Arc::new(authenticators.into_iter().collect()) }
    }

    /// Returns the authenticator of extension `id`.
    ///
    /// # Errors
    /// The extension does not authenticate requests (`health_check`), or does not exist.
    pub fn get(&self, id: &str) -> Result<Arc<dyn Authenticator>, ComponentError> {
        self.by_id.get(id).cloned().ok_or_else(|| {
            ComponentError::new(format!(
                "requested authenticator is not a client authenticator: extensions::{id} has no credentials (use bearertokenauth or basicauth)"
            ))
        })
    }
}

/// Returns whether OTLP's protocols set the header with this name, so that a configuration cannot choose it.
pub fn is_protocol_header(name: &str) -> bool {
    const NAMES: [&str; 5] = ["content-type", "content-encoding", "content-length", "te", "grpc-encoding"];
    NAMES.iter().any(|protocol| name.eq_ignore_ascii_case(protocol))
}

#[cfg(test)]
mod tests;
