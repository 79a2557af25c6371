//! Client of the API server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use longwave_pipeline::component::ComponentError;
use tower::util::MapRequestLayer;

use super::bearer::BearerToken;
use super::config::KubernetesConfig;

/// Time limit for connecting to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns a client with the credentials that the configuration names. Does not connect yet.
///
/// # Errors
/// There are no credentials, or they cannot be read.
pub(super) async fn connect(id: &str, config: &KubernetesConfig) -> Result<Client, ComponentError> {
    let failed = |key: &str, remedy: &str, error: &(dyn std::error::Error + 'static)| {
        let causes = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        ComponentError::new(format!("extensions::{id}: {key}{error}{causes}. {remedy}"))
    };
    let context = Some(config.context.clone()).filter(|context| !context.is_empty());
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let file_remedy = "Is the file there, readable for this user, and the context in it?";
    let mut config = if !config.kubeconfig.is_empty() {
        let failed = |error| failed(&format!("kubeconfig: {:?}: ", config.kubeconfig), file_remedy, &error);
        let file = Kubeconfig::read_from(&config.kubeconfig).map_err(failed)?;
        Config::from_custom_kubeconfig(file, &options).await.map_err(failed)?
    } else if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        let remedy =
            "Does the pod have a service account with its token mounted (automountServiceAccountToken)?";
        Config::incluster().map_err(|error| failed("the pod's credentials: ", remedy, &error))?
    } else {
        let remedy =
            "Outside of a pod, set kubeconfig to a file with the API server's address and credentials";
        Config::from_kubeconfig(&options).await.map_err(|error| failed("", remedy, &error))?
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // The watches retry, and count each failure.
    config.default_retry = false;
    let agent = http::HeaderValue::from_static(concat!("longwave/", env!("CARGO_PKG_VERSION")));
    config.headers.push((http::header::USER_AGENT, agent));
    let unusable = "the API server's address or credentials cannot be used: ";
    let token =
        BearerToken::take(&mut config.auth_info).map_err(|error| failed(unusable, file_remedy, &error))?;
    let builder = ClientBuilder::try_from(config).map_err(|error| failed(unusable, file_remedy, &error))?;
    Ok(match token {
        Some(token) => {
            let token = Arc::new(token);
            let authorize = move |mut request: http::Request<Body>| {
                request.headers_mut().insert(http::header::AUTHORIZATION, token.header(Instant::now()));
                request
            };
            builder.with_layer(&MapRequestLayer::new(authorize)).build()
        }
        None => builder.build(),
    })
}
