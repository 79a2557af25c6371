//! [`Endpoint`]: answers scrapes of `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{HeaderMap, USER_AGENT};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use longwave_pipeline::component::{
    Accepted, BasicAuthConfig, ClientAddress, ComponentError, ExporterContext, Family, FamilyKind,
    HttpServer, Labels, Page, SampleNumber as Number, Samples,
};
use longwave_pipeline::model::metric::{PointValue, for_each_point_of};
use longwave_pipeline::model::{UnixNanos, Window, key, micros_to_seconds};
use tokio::sync::{Notify, Semaphore};

use super::config::PrometheusConfig;
use super::names::{MetricNames, Names, Value};
use super::store::{Client, Store, StoredSeries};
use crate::server_task::ServerTask;

/// The page, and the server that has it.
pub(super) struct Endpoint {
    id: String,
    config: PrometheusConfig,
    page: Arc<PageSource>,
    server: ServerTask,
}

/// State that all scrapes share.
struct PageSource {
    names: Arc<Names>,
    store: Mutex<Store>,
    auth: Option<BasicAuthConfig>,
    permits: Semaphore,
    scrapes: AtomicU64,
    /// Notified after each scrape.
    scraped: Notify,
}

/// Maximum number of pages that are made at the same time, because each takes memory. Further scrapes wait.
const MAX_CONCURRENT: usize = 4;

// === impl Endpoint ===

impl Endpoint {
    pub(super) fn new(config: &PrometheusConfig, context: &ExporterContext, started: UnixNanos) -> Self {
        let names = Arc::new(Names::new(config, &context.resource));
        let store = Store::new(Arc::clone(&names), config.metric_expiration.get(), started);
        let page = PageSource {
            names,
            store: Mutex::new(store),
            auth: config.basic_auth.clone(),
            permits: Semaphore::new(MAX_CONCURRENT),
            scrapes: AtomicU64::new(0),
            scraped: Notify::new(),
        };
        Self {
            id: context.id.clone(),
            config: config.clone(),
            page: Arc::new(page),
            server: ServerTask::default(),
        }
    }

    /// Adds a window. Returns the number of series that were removed too early.
    pub(super) fn add(&self, window: &Window, now: Instant) -> u64 {
        self.page.store().add(window, now)
    }

    /// Returns the number of series.
    pub(super) fn series(&self) -> usize {
        self.page.store().len()
    }

    /// Returns the number of scrapes that were answered.
    pub(super) fn scrapes(&self) -> u64 {
        self.page.scrapes.load(Ordering::Relaxed)
    }

    /// Starts the server.
    pub(super) async fn listen(&self) -> Result<(), ComponentError> {
        let place = format!("exporters::{}: endpoint", self.id);
        let server = HttpServer::bind(&place, &self.config.endpoint, self.config.tls.as_ref()).await?;
        tracing::info!(exporter = self.id, address = %server.address(), "serves /metrics for Prometheus");
        let router = Router::new().route("/metrics", get(scrape)).with_state(Arc::clone(&self.page));
        self.server.serve(server, router);
        Ok(())
    }

    /// Returns the bound address. `None` before the start.
    #[cfg(test)]
    pub(super) fn address(&self) -> Option<std::net::SocketAddr> {
        self.server.address()
    }

    /// Waits for a last scrape, as configured. Stops the server when the responses that were begun are complete.
    pub(super) async fn close(&self) {
        let limit = self.config.final_scrape_timeout.get();
        if tokio::time::timeout(limit, self.page.await_scrape()).await.is_err() && !limit.is_zero() {
            tracing::warn!(
                exporter = self.id,
                "the last windows were not scraped within final_scrape_timeout {limit:?}"
            );
        }
        self.server.stop().await;
    }

    /// Makes the page as a scrape does.
    #[cfg(test)]
    pub(super) fn page(&self, client: Client, accepted: Accepted, now: Instant) -> Vec<u8> {
        self.page.page(client, accepted, now)
    }
}

async fn scrape(
    State(source): State<Arc<PageSource>>,
    ConnectInfo(ClientAddress(address)): ConnectInfo<ClientAddress>,
    headers: HeaderMap,
) -> Response<Body> {
    if let Some(refusal) = source.auth.as_ref().and_then(|auth| auth.refusal(&headers)) {
        return refusal;
    }
    // The semaphore is never closed.
    let _permit = source.permits.acquire().await;
    let accepted = Accepted::of_request(&headers);
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let client = Client { address, agent: agent.into() };
    let maker = Arc::clone(&source);
    let response =
        tokio::task::spawn_blocking(move || accepted.response(maker.page(client, accepted, Instant::now())));
    match response.await {
        Ok(response) => {
            source.scrapes.fetch_add(1, Ordering::Relaxed);
            source.scraped.notify_waiters();
            response
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

// === impl PageSource ===

impl PageSource {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all scrapers have seen the last window.
    async fn await_scrape(&self) {
        loop {
            let scraped = self.scraped.notified();
            if self.store().is_scraped() {
                return;
            }
            scraped.await;
        }
    }

    fn page(&self, client: Client, accepted: Accepted, now: Instant) -> Vec<u8> {
        let groups = self.store().scrape(client, now);
        let mut page = Page::new(accepted);
        page.target_info(|label| self.names.resource().iter().for_each(|(name, value)| label(name, value)));
        for (names, series) in self.names.groups().iter().zip(groups) {
            let with_labels: Vec<(Labels, StoredSeries)> = series
                .into_iter()
                .map(|series| {
                    let labels = page.labels(|label| self.names.for_each_label(names, &series.key, label));
                    (labels, series)
                })
                .collect();
            for metric in &names.metrics {
                let MetricNames { name, unit, kind, help, .. } = metric;
                page.family(Family { name, unit, kind: *kind, help }, |samples| {
                    for (labels, series) in &with_labels {
                        put_series(samples, metric, labels, series);
                    }
                });
            }
        }
        page.finish()
    }
}

fn put_series(samples: &mut Samples<'_>, metric: &MetricNames, labels: &Labels, series: &StoredSeries) {
    let created = Some(series.created.0);
    let id = match metric.value {
        Value::Sum(sum) => {
            return samples.counter(labels, None, Number::Int(sum(&series.key, &series.sums)), created);
        }
        Value::Points(id) => id,
    };
    for_each_point_of(id, &series.sums, &mut |value| match value {
        PointValue::Int(number) if metric.kind == FamilyKind::Gauge => {
            samples.gauge(labels, None, Number::Int(number));
        }
        PointValue::Int(number) => samples.counter(labels, None, Number::Int(number), created),
        PointValue::Micros(time) => {
            samples.counter(labels, None, Number::Float(micros_to_seconds(time)), created);
        }
        PointValue::Closed(reason, count) => {
            samples.counter(labels, Some((key::CLOSE_REASON, reason.as_str())), Number::Int(count), created);
        }
        PointValue::Failed(reason, count) => {
            let reason = reason.to_string();
            samples.counter(labels, Some((key::ERROR_TYPE, &reason)), Number::Int(count), created);
        }
        PointValue::Float(number) => samples.gauge(labels, None, Number::Float(number)),
        PointValue::Histogram(histogram) => {
            samples.histogram(labels, histogram.bounds(), histogram.counts(), histogram.sum(), created);
        }
    });
}
