//! [`HealthCheck`]: the endpoint and its responses.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use longwave_config::GoDuration;
use longwave_pipeline::component::{
    ComponentError, Extension, ExtensionContext, Health, HealthStatus, HttpServer, Running,
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::config::HealthCheckConfig;

/// Extension `health_check`, ready to be started.
pub(super) struct HealthCheck {
    id: String,
    config: HealthCheckConfig,
    health: Health,
}

/// State that all requests share.
struct Endpoint {
    id: String,
    config: HealthCheckConfig,
    health: Health,
    /// Reasons of the last response. Empty if it was healthy.
    logged: Mutex<Vec<String>>,
}

/// Body of a response.
#[derive(Serialize)]
struct Body<'a> {
    status: &'static str,
    #[serde(rename = "upSince")]
    up_since: String,
    uptime: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reasons: &'a [String],
}

/// Time of Go's zero value, which the Collector sends while it is not available.
const NEVER: &str = "0001-01-01T00:00:00Z";

// === impl HealthCheck ===

impl HealthCheck {
    pub(super) fn new(config: &HealthCheckConfig, context: &ExtensionContext) -> Self {
        Self { id: context.id.clone(), config: config.clone(), health: context.health.clone() }
    }

    /// Binds the address.
    pub(super) async fn bind(&self) -> Result<HttpServer, ComponentError> {
        let place = format!("extensions::{}: endpoint", self.id);
        HttpServer::bind(&place, &self.config.endpoint, self.config.tls.as_ref()).await
    }

    pub(super) fn router(self) -> Router {
        let Self { id, config, health } = self;
        let endpoint = Endpoint { id, config, health, logged: Mutex::default() };
        Router::new().fallback(respond).with_state(Arc::new(endpoint))
    }
}

#[async_trait]
impl Extension for HealthCheck {
    async fn start(self: Box<Self>, stop: CancellationToken) -> Result<Running, ComponentError> {
        let server = self.bind().await?;
        tracing::info!("extensions::{}: listening on {}", self.id, server.address());
        Ok(Box::pin(async move {
            server.run(self.router(), stop).await;
            Ok(())
        }))
    }
}

async fn respond(State(endpoint): State<Arc<Endpoint>>, uri: Uri) -> Response {
    let path = &endpoint.config.path;
    if path != "/" && uri.path() != path {
        return StatusCode::NOT_FOUND.into_response();
    }
    let status = endpoint.health.status();
    endpoint.log_changes(&status);
    endpoint.response(&status)
}

// === impl Endpoint ===

impl Endpoint {
    fn response(&self, status: &HealthStatus) -> Response {
        let (code, body) = match status {
            HealthStatus::Healthy { since, uptime } => (StatusCode::OK, Body::healthy(*since, *uptime)),
            HealthStatus::Unhealthy { reasons } => {
                (StatusCode::SERVICE_UNAVAILABLE, Body::unhealthy(reasons))
            }
        };
        if let Some(bodies) = &self.config.response_body {
            let body = if code == StatusCode::OK { &bodies.healthy } else { &bodies.unhealthy };
            return (code, body.clone()).into_response();
        }
        match serde_json::to_vec(&body) {
            Ok(json) => (code, [(CONTENT_TYPE, "application/json")], json).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }

    /// Logs the reasons when they are new, because probes discard bodies.
    fn log_changes(&self, status: &HealthStatus) {
        let reasons: &[String] = match status {
            HealthStatus::Healthy { .. } => &[],
            HealthStatus::Unhealthy { reasons } => reasons,
        };
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        match (logged.is_empty(), reasons.is_empty()) {
            (true, false) => tracing::warn!("extensions::{}: unhealthy: {}", self.id, reasons.join("; ")),
            (false, true) => tracing::info!("extensions::{}: healthy", self.id),
            _ => {}
        }
        reasons.clone_into(&mut logged);
    }
}

// === impl Body ===

impl<'a> Body<'a> {
    fn healthy(since: SystemTime, uptime: Duration) -> Self {
        let up_since = Timestamp::try_from(since).map_or_else(|_| NEVER.to_owned(), |time| time.to_string());
        Self {
            status: "Server available",
            up_since,
            uptime: GoDuration::from(uptime).to_string(),
            reasons: &[],
        }
    }

    fn unhealthy(reasons: &'a [String]) -> Self {
        Self { status: "Server not available", up_since: NEVER.to_owned(), uptime: String::new(), reasons }
    }
}
