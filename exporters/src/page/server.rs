//! [`Server`]: answers requests for the page.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query as Parameters, Request, State as Shared};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Response, StatusCode};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use futures_util::stream::{self, Stream};
use longwave_pipeline::component::{ComponentError, ExporterContext, HttpServer};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::config::PageConfig;
use super::guard::{self, Guard};
use super::query::Query;
use super::render;
use super::state::PageState;
use crate::server_task::ServerTask;

pub(super) struct Server {
    id: String,
    config: PageConfig,
    shared: Arc<RequestState>,
    task: ServerTask,
}

/// State that all requests share.
struct RequestState {
    state: Arc<PageState>,
    guard: Guard,
    permits: Semaphore,
    stop: CancellationToken,
}

/// Maximum number of pages that are rendered at the same time. Further requests wait.
const MAX_CONCURRENT: usize = 2;
/// Interval of comments that keep the connection of a browser open, and that detect a closed browser.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

// === impl Server ===

impl Server {
    pub(super) fn new(config: &PageConfig, context: &ExporterContext, state: Arc<PageState>) -> Self {
        let task = ServerTask::default();
        let (stop, permits) = (task.stopping(), Semaphore::new(MAX_CONCURRENT));
        let shared = Arc::new(RequestState { state, guard: Guard::new(config), permits, stop });
        Self { id: context.id.clone(), config: config.clone(), shared, task }
    }

    /// Starts the server.
    pub(super) async fn listen(&self) -> Result<(), ComponentError> {
        let place = format!("exporters::{}: endpoint", self.id);
        let server = HttpServer::bind(&place, &self.config.endpoint, self.config.tls.as_ref()).await?;
        let scheme = if self.config.tls.is_some() { "https" } else { "http" };
        tracing::info!(exporter = self.id, "the page is at {scheme}://{}/", server.address());
        let router = Router::new()
            .route("/", get(page))
            .route("/events", get(events))
            .route("/page.css", get(|| asset("text/css", include_str!("page.css"))))
            .route("/page.js", get(|| asset("text/javascript", include_str!("page.js"))))
            .fallback(|| async { (StatusCode::NOT_FOUND, "there is only the page /\n") })
            .layer(middleware::from_fn_with_state(Arc::clone(&self.shared), guarded))
            .with_state(Arc::clone(&self.shared));
        self.task.serve(server, router);
        Ok(())
    }

    /// Returns the bound address. `None` before the start.
    #[cfg(test)]
    pub(super) fn address(&self) -> Option<std::net::SocketAddr> {
        self.task.address()
    }

    /// Stops the server, after it has completed the current responses.
    pub(super) async fn close(&self) {
        self.task.stop().await;
    }
}

async fn guarded(Shared(context): Shared<Arc<RequestState>>, request: Request, next: Next) -> Response<Body> {
    let response = match context.guard.refusal(request.headers()) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    guard::protect(response)
}

async fn asset(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, format!("{content_type}; charset=utf-8"))], text)
}

async fn page(
    Shared(context): Shared<Arc<RequestState>>,
    Parameters(query): Parameters<Query>,
) -> Response<Body> {
    match context.render(query, render::document).await {
        Ok(document) => Html(document).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Sends the content of the page for each new window, until the browser closes the connection or the exporter stops.
async fn events(
    Shared(context): Shared<Arc<RequestState>>,
    Parameters(query): Parameters<Query>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let windows = context.state.subscribe();
    let stream = stream::unfold((context, windows, query), |(context, mut windows, query)| async move {
        tokio::select! {
            () = context.stop.cancelled() => return None,
            changed = windows.changed() => changed.ok()?,
        }
        let content = context.render(query.clone(), render::content).await.ok()?;
        Some((Ok(Event::default().event("window").data(content)), (context, windows, query)))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

// === impl RequestState ===

impl RequestState {
    /// Renders on a blocking thread, because a window can have many series.
    async fn render(
        self: &Arc<Self>,
        query: Query,
        render: fn(&PageState, &Query) -> String,
    ) -> Result<String, tokio::task::JoinError> {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        let state = Arc::clone(&self.state);
        tokio::task::spawn_blocking(move || render(&state, &query)).await
    }
}
