//! [`Server`]: answers requests for the page.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
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
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::config::PageConfig;
use super::guard::{self, Guard};
use super::query::Query;
use super::render;
use super::state::State;

pub(super) struct Server {
    id: String,
    config: PageConfig,
    shared: Arc<Context>,
    task: Mutex<Option<JoinHandle<()>>>,
    /// Address that the server is bound to.
    address: OnceLock<SocketAddr>,
}

/// What a request needs.
struct Context {
    state: Arc<State>,
    guard: Guard,
    permits: Semaphore,
    stop: CancellationToken,
}

/// Maximum number of pages that are rendered at the same time. Further requests wait.
const MAX_CONCURRENT: usize = 2;
/// Interval of comments that keep the connection of a browser open, and that detect a browser that is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

// === impl Server ===

impl Server {
    pub(super) fn new(config: &PageConfig, context: &ExporterContext, state: Arc<State>) -> Self {
        let stop = CancellationToken::new();
        let permits = Semaphore::new(MAX_CONCURRENT);
        Self {
            id: context.id.clone(),
            config: config.clone(),
            shared: Arc::new(Context { state, guard: Guard::new(config), permits, stop }),
            task: Mutex::default(),
            address: OnceLock::new(),
        }
    }

    /// Starts the server.
    pub(super) async fn listen(&self) -> Result<(), ComponentError> {
        let place = format!("exporters::{}: endpoint", self.id);
        let server = HttpServer::bind(&place, &self.config.endpoint, self.config.tls.as_ref()).await?;
        let scheme = if self.config.tls.is_some() { "https" } else { "http" };
        tracing::info!(exporter = self.id, "the page is at {scheme}://{}/", server.address());
        let _ = self.address.set(server.address());
        let router = Router::new()
            .route("/", get(page))
            .route("/events", get(events))
            .route("/page.css", get(|| asset("text/css", include_str!("page.css"))))
            .route("/page.js", get(|| asset("text/javascript", include_str!("page.js"))))
            .fallback(|| async { (StatusCode::NOT_FOUND, "there is only the page /\n") })
            .layer(middleware::from_fn_with_state(Arc::clone(&self.shared), guarded))
            .with_state(Arc::clone(&self.shared));
        let running = tokio::spawn(server.run(router, self.shared.stop.clone()));
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        Ok(())
    }

    /// Returns the bound address. `None` before the start.
    #[cfg(test)]
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address.get().copied()
    }

    /// Stops the server when the responses that were begun are complete.
    pub(super) async fn close(&self) {
        self.shared.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // An error means that the server was aborted with the runtime.
            let _ = task.await;
        }
    }
}

async fn guarded(Shared(context): Shared<Arc<Context>>, request: Request, next: Next) -> Response<Body> {
    let response = match context.guard.refusal(request.headers()) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    guard::protect(response)
}

async fn asset(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, format!("{content_type}; charset=utf-8"))], text)
}

async fn page(Shared(context): Shared<Arc<Context>>, Parameters(query): Parameters<Query>) -> Response<Body> {
    match context.render(query, render::document).await {
        Ok(document) => Html(document).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Sends the content of the page for each new window, until the browser closes the connection or the exporter stops.
async fn events(
    Shared(context): Shared<Arc<Context>>,
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

// === impl Context ===

impl Context {
    /// Renders in a thread of its own, because a window can have many series.
    async fn render(
        self: &Arc<Self>,
        query: Query,
        render: fn(&State, &Query) -> String,
    ) -> Result<String, tokio::task::JoinError> {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        let state = Arc::clone(&self.state);
        tokio::task::spawn_blocking(move || render(&state, &query)).await
    }
}
