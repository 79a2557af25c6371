//! [`ClientAuth`]: an extension that adds one header to requests.

use std::sync::Arc;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use longwave_pipeline::component::{Authenticator, ComponentError, Extension, Reloading, Running};
use tokio_util::sync::CancellationToken;

use super::basic_config::BasicConfig;
use super::bearer_config::BearerConfig;

/// Extension `bearertokenauth` or `basicauth`, ready to be started.
pub(super) struct ClientAuth {
    id: String,
    header: Arc<CredentialsHeader>,
    /// A setting that is ignored, and the one that takes precedence.
    ignored: Option<(&'static str, &'static str)>,
}

/// The header with the credentials.
struct CredentialsHeader {
    name: HeaderName,
    value: Reloading<HeaderValue>,
}

// === impl ClientAuth ===

impl ClientAuth {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// The file has no token.
    pub(super) fn bearer(config: &BearerConfig, id: &str) -> Result<Self, ComponentError> {
        let name = HeaderName::from_bytes(config.header.as_bytes())
            .map_err(|error| ComponentError::new(format!("extensions::{id}: header: {error}")))?;
        let (loaded, section) = (config.clone(), format!("extensions::{id}"));
        let load = move || {
            let value = loaded.header_value();
            value.map_err(|what| ComponentError::new(format!("{section}: filename: {what}")))
        };
        let value = follow(config.follows_file(), load)?;
        let header = Arc::new(CredentialsHeader { name, value });
        Ok(Self { id: id.to_owned(), header, ignored: config.ignored() })
    }

    /// Reads the files, if there are any.
    ///
    /// # Errors
    /// A file has no user name or no password.
    pub(super) fn basic(config: &BasicConfig, id: &str) -> Result<Self, ComponentError> {
        let (loaded, section) = (config.clone(), format!("extensions::{id}"));
        let load = move || {
            let value = loaded.header_value();
            value.map_err(|(key, what)| ComponentError::new(format!("{section}: {key}: {what}")))
        };
        let value = follow(config.follows_files(), load)?;
        let header = Arc::new(CredentialsHeader { name: AUTHORIZATION, value });
        Ok(Self { id: id.to_owned(), header, ignored: None })
    }
}

/// Makes a value once, or at each use if it is read from files.
fn follow(
    files: bool,
    load: impl Fn() -> Result<HeaderValue, ComponentError> + Send + Sync + 'static,
) -> Result<Reloading<HeaderValue>, ComponentError> {
    if files { Reloading::always(load) } else { Reloading::new(std::time::Duration::ZERO, load) }
}

#[async_trait]
impl Extension for ClientAuth {
    fn authenticator(&self) -> Option<Arc<dyn Authenticator>> {
        Some(Arc::clone(&self.header) as Arc<dyn Authenticator>)
    }

    async fn start(self: Box<Self>, stop: CancellationToken) -> Result<Running, ComponentError> {
        if let Some((ignored, used)) = self.ignored {
            tracing::warn!("extensions::{}: {ignored} is ignored, because {used} is set", self.id);
        }
        Ok(Box::pin(async move {
            stop.cancelled().await;
            Ok(())
        }))
    }
}

// === impl CredentialsHeader ===

impl Authenticator for CredentialsHeader {
    fn header_name(&self) -> HeaderName {
        self.name.clone()
    }

    fn header_value(&self) -> HeaderValue {
        HeaderValue::clone(&self.value.get())
    }
}
