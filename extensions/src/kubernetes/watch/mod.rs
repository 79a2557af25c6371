//! Lists and watches one resource, and after any failure restores an exact table.
//!
//! - The first listing is a stream of events if the server supports that (1.32 and later), so it is never in memory as a whole. Else it is
//!   paged, and each page is dropped before the next.
//! - A watch that ends is resumed at its last version. Everything is listed again only if the server no longer has that version (410), and
//!   after a random wait, because this happens to all nodes at the same time. Until then look-ups use the old table. Objects that are
//!   missing in the new listing are removed when it is complete.
//! - A watch without any event, not even a bookmark (one a minute), is closed.
//! - After a failure the wait grows, is random, and is at least as long as the server demands. Each failure is counted, and logged when it
//!   is new.
//!
//! This is not kube-runtime's watcher (5.0, `streaming_lists()`), which reads the same bytes: 62.6 MiB to list 10,000 pods from a fake
//! streaming server. Memory grows by 11.9 MiB here with all tables, and there by 3.2 MiB if each `Pod` is dropped and by 402 MiB with its
//! reflector's store; CPU time is 0.16 s, 0.26 s and 0.50 s (release builds, server in another process, medians of 3 runs).
//! This module stays because it decodes borrowed text, falls back to pages where a server or its etcd cannot stream (the watcher retries
//! the stream without end), and counts received bytes.

mod failure;
mod failure_log;
mod lines;
mod list;
mod resource;
mod stream;
mod timing;

pub(super) use failure::Failure;
pub(super) use resource::{ObjectTable, Resource, TableCounts};
pub(super) use timing::Timing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use longwave_pipeline::component::{jitter, with_causes};
use longwave_pipeline::model::UnixNanos;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use self::failure_log::FailureLog;
use super::tables::Update;
use super::telemetry::{ListReason, ResourceStats, UNDECODABLE};

/// Keeps one table the same as the API server's objects.
pub(super) struct Watch {
    client: Client,
    resource: Resource,
    table: Arc<dyn ObjectTable>,
    stats: Arc<ResourceStats>,
    timing: Timing,
    failure_log: FailureLog,
    /// Whether the server may support streamed listings.
    streams: bool,
    /// Objects in a page.
    page: u32,
    /// Version at which the watch resumes; empty if everything has to be listed.
    version: String,
    /// Number of the current or last listing.
    listing: u32,
    /// Whether a listing was complete once.
    synced: bool,
    /// Whether something was received since the last failure.
    progress: bool,
    reason: ListReason,
}

/// Objects in a page of a listing, which is a few MB of text.
const PAGE: u32 = 250;
/// Largest page. Pages grow when they were too slow, because the server drops a listing's version after some minutes.
const MAX_PAGE: u32 = 16_000;
/// Longest time from the moment at which an update became valid to its arrival.
const MAX_EVENT_DELAY: Duration = Duration::from_secs(10);
/// Limit on the bytes of an error's text.
const MAX_ERROR_TEXT: usize = 64 << 10;

// === impl Watch ===

impl Watch {
    pub fn new(
        extension: &str,
        client: Client,
        resource: Resource,
        table: Arc<dyn ObjectTable>,
        stats: Arc<ResourceStats>,
        timing: Timing,
    ) -> Self {
        Self {
            client,
            failure_log: FailureLog::new(extension, &resource),
            resource,
            table,
            stats,
            timing,
            streams: true,
            page: PAGE,
            version: String::new(),
            listing: 0,
            synced: false,
            progress: false,
            reason: ListReason::Start,
        }
    }

    /// Lists and watches until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        let mut failures: u32 = 0;
        loop {
            self.progress = false;
            let begun = Instant::now();
            let result = if self.version.is_empty() { self.list().await } else { self.watch(None).await };
            if self.progress || begun.elapsed() > self.timing.longest_backoff {
                failures = 0;
            }
            let Err(failure) = result else { continue };
            failures += 1;
            self.stats.failed(failure.reason());
            self.failure_log.report(&failure);
            let wait = if matches!(failure, Failure::Gone(_)) {
                if self.version.is_empty() {
                    self.page = self.page.saturating_mul(4).min(MAX_PAGE);
                }
                self.version.clear();
                self.reason = ListReason::Expired;
                self.timing.spread().max(self.timing.backoff(failures.saturating_sub(1)))
            } else {
                self.timing.backoff(failures)
            };
            tokio::time::sleep(
                wait.max(failure.retry_after().map_or(Duration::ZERO, |after| after + jitter(after))),
            )
            .await;
        }
    }

    async fn list(&mut self) -> Result<(), Failure> {
        self.stats.listed(self.reason);
        self.listing = self.listing.wrapping_add(1);
        let since = if self.synced { self.stats.last_contact() } else { UnixNanos::default() };
        if self.streams {
            match self.watch(Some(since)).await {
                Err(Failure::NoStreaming) => self.streams = false,
                other => return other,
            }
        }
        self.list_pages(since).await
    }

    /// Finishes a listing of version `self.version`.
    fn complete(&mut self) {
        let vanished = self.table.complete(self.listing, UnixNanos::now());
        self.synced = true;
        self.stats.synced(self.table.counts());
        self.succeeded();
        tracing::debug!(
            resource = self.resource.name,
            vanished,
            version = self.version,
            "everything is listed"
        );
    }

    /// Records that an event or listing was received, so the last failure is over.
    fn succeeded(&mut self) {
        self.progress = true;
        self.failure_log.recovered();
        self.stats.reset_failures();
    }

    fn update_since(&self, since: UnixNanos) -> Update {
        Update { now: UnixNanos::now(), since, listing: self.listing }
    }

    /// Adds or updates an object. If it cannot be decoded, it is counted and skipped.
    fn apply(&mut self, object: &str, update: Update) {
        if let Err(error) = self.table.apply(object, update) {
            self.stats.failed(UNDECODABLE);
            self.failure_log.undecodable(&error);
        }
    }

    /// Sends a request, and returns the body of a successful response.
    async fn get(&self, query: &str) -> Result<Body, Failure> {
        let uri = format!("{}?{query}{}", self.resource.path, self.resource.selector);
        let request =
            http::Request::get(uri).header(http::header::ACCEPT, "application/json").body(Body::empty());
        let request = request.map_err(|error| Failure::Unreachable(error.to_string()))?;
        // The failure is logged here once; the client would log each attempt.
        let sent = self.client.send(request).with_subscriber(NoSubscriber::default());
        let response = match timeout(self.timing.response, sent).await {
            Ok(sent) => sent.map_err(|error| Failure::Unreachable(with_causes(&error)))?,
            Err(_) => return Err(Failure::Silent(self.timing.response)),
        };
        let (head, mut body) = response.into_parts();
        self.stats.contacted(UnixNanos::now());
        if head.status.is_success() {
            return Ok(body);
        }
        let mut text = Vec::new();
        while let Ok(Some(frame)) = self.frame(&mut body).await
            && text.len() < MAX_ERROR_TEXT
        {
            text.extend_from_slice(&frame);
        }
        Err(Failure::from_status(head.status.as_u16(), &head.headers, &text))
    }

    /// Returns the next piece of a body, or `None` at its end.
    async fn frame(&self, body: &mut Body) -> Result<Option<bytes::Bytes>, Failure> {
        loop {
            let next = body.frame().with_subscriber(NoSubscriber::default());
            let Ok(frame) = timeout(self.timing.silence, next).await else {
                return Err(Failure::Silent(self.timing.silence));
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| Failure::Cut(with_causes(&error)))?;
            if let Ok(data) = frame.into_data() {
                self.stats.received(data.len(), UnixNanos::now());
                return Ok(Some(data));
            }
        }
    }
}

#[cfg(test)]
mod tests;
