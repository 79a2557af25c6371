//! Watches: one event a line, from a version on or with all existing objects first.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use longwave_pipeline::model::UnixNanos;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::failure::Failure;
use super::lines::LineBuffer;
use super::resource::escape;
use super::{MAX_EVENT_DELAY, Watch};
use crate::kubernetes::objects::pick;
use crate::kubernetes::telemetry::UNDECODABLE;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    metadata: HeadMeta<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HeadMeta<'a> {
    #[serde(borrow)]
    resource_version: Cow<'a, str>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
}

/// Annotation of the bookmark that follows all existing objects.
const INITIAL_END: &str = "k8s.io/initial-events-end";
/// A watch that ends sooner without any event did not end regularly.
const MIN_DURATION: Duration = Duration::from_secs(1);
/// Number of events after which the task yields.
const STRIDE: usize = 16;

// === impl Watch ===

impl Watch {
    /// Watches from `self.version` on. With `initial`, all existing objects come first, and may be valid since `initial`. Returns when the
    /// server ends the watch regularly.
    pub(super) async fn watch(&mut self, initial: Option<UnixNanos>) -> Result<(), Failure> {
        let seconds = self.timing.watch().as_secs().max(1);
        let from = match initial {
            // The first listing may be as old as the server's cache. A later one must not be older than the table.
            Some(_) if !self.synced => {
                "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0".to_owned()
            }
            Some(_) => "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan".to_owned(),
            None => format!("&resourceVersion={}", escape(&self.version)),
        };
        let gap = self.stats.last_contact();
        let query = format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}{from}");
        let mut body = match self.get(&query).await {
            Err(Failure::Status { code: 400 | 422, .. }) if initial.is_some() => {
                return Err(Failure::NoStreaming);
            }
            other => other?,
        };
        self.stats.watching();
        let started = Instant::now();
        let mut listing = initial;
        let mut lines = LineBuffer::default();
        let mut events = 0;
        while let Some(frame) = self.frame(&mut body).await? {
            lines.push(&frame)?;
            while let Some(line) = lines.next() {
                let since = match listing {
                    Some(since) => since,
                    None if started.elapsed() < MAX_EVENT_DELAY / 2 => gap.min(before(UnixNanos::now())),
                    None => before(UnixNanos::now()),
                };
                self.event(line, &mut listing, since)?;
                events += 1;
                if events % STRIDE == 0 {
                    tokio::task::yield_now().await;
                }
            }
            lines.compact();
            self.stats.counts(self.table.counts());
        }
        if listing.is_some() || (!self.progress && started.elapsed() < MIN_DURATION) {
            return Err(Failure::Cut("the watch ended early".to_owned()));
        }
        Ok(())
    }

    fn event(
        &mut self,
        line: &[u8],
        listing: &mut Option<UnixNanos>,
        since: UnixNanos,
    ) -> Result<(), Failure> {
        let malformed = |error: serde_json::Error| Failure::Malformed(error.to_string());
        let event: Event<'_> = serde_json::from_slice(line).map_err(malformed)?;
        let object = event.object.get();
        match &*event.kind {
            "ADDED" | "MODIFIED" => self.apply(object, self.update_since(since)),
            "DELETED" => {
                if let Err(error) = self.table.remove(object, UnixNanos::now()) {
                    self.stats.failed(UNDECODABLE);
                    self.failure_log.undecodable(&error);
                }
            }
            "BOOKMARK" => {}
            "ERROR" => {
                return Err(match Failure::from_text(object.as_bytes()) {
                    // The server supports streamed listings but its etcd (before 3.4.31 or 3.5.13) does not. It reports this only here.
                    Failure::Status { code, .. } if listing.is_some() && code != 429 => Failure::NoStreaming,
                    other => other,
                });
            }
            other => return Err(Failure::Malformed(format!("unknown event type {other:?}"))),
        }
        self.stats.event(&event.kind);
        let bookmark = event.kind == "BOOKMARK";
        if listing.is_some() && !bookmark {
            return Ok(());
        }
        let head: Head<'_> = serde_json::from_str(object).map_err(malformed)?;
        if listing.is_some() {
            let marks = pick(head.metadata.annotations, &[INITIAL_END]).map_err(malformed)?;
            if marks.first().is_none_or(|mark| mark.as_deref() != Some("true")) {
                // A server that does not support the parameter sends plain bookmarks.
                return Err(Failure::NoStreaming);
            }
        }
        if head.metadata.resource_version.is_empty() {
            return Err(Failure::Malformed("an object has no resourceVersion".to_owned()));
        }
        self.version.clear();
        self.version.push_str(&head.metadata.resource_version);
        if listing.take().is_some() {
            self.complete();
        } else {
            self.succeeded();
        }
        Ok(())
    }
}

fn before(now: UnixNanos) -> UnixNanos {
    UnixNanos(now.0.saturating_sub(u64::try_from(MAX_EVENT_DELAY.as_nanos()).unwrap_or(u64::MAX)))
}
