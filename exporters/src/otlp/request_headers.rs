//! [`RequestHeaders`]: the headers of requests.

use std::sync::Arc;

use http::HeaderMap;
use longwave_pipeline::component::{Authenticator, ComponentError, ExporterContext};

use super::ClientConfig;
use super::auth_config::AUTHENTICATOR;

/// The headers of requests: those of the configuration, and that of the authenticator, which can change.
pub(super) struct RequestHeaders {
    /// Headers that all requests have.
    pub fixed: HeaderMap,
    authenticator: Option<Arc<dyn Authenticator>>,
}

impl RequestHeaders {
    /// Takes the headers of the configuration, and the authenticator that it names.
    ///
    /// # Errors
    /// The extension is no authenticator, or `headers` has its header too.
    pub fn new(config: &ClientConfig, context: &ExporterContext) -> Result<Self, ComponentError> {
        let section = format!("exporters::{}", context.id);
        let fixed = config.header_map();
        let Some(auth) = &config.auth else { return Ok(Self { fixed, authenticator: None }) };
        let authenticator = context
            .authenticators
            .get(&auth.authenticator)
            .map_err(|error| ComponentError::new(format!("{section}: {AUTHENTICATOR}: {error}")))?;
        let name = authenticator.header_name();
        if fixed.contains_key(&name) {
            return Err(ComponentError::new(format!(
                "{section}: headers::{name}: cannot be combined with auth, because extensions::{} sets this header: remove one of them",
                auth.authenticator
            )));
        }
        Ok(Self { fixed, authenticator: Some(authenticator) })
    }

    /// Returns the headers of the next request.
    pub fn next(&self) -> HeaderMap {
        let mut headers = self.fixed.clone();
        if let Some(authenticator) = &self.authenticator {
            headers.insert(authenticator.header_name(), authenticator.header_value());
        }
        headers
    }
}
