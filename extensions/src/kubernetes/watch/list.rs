//! Paged listings.

use std::borrow::Cow;

use longwave_pipeline::model::UnixNanos;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::failure::Failure;
use super::resource::escape;
use super::{PAGE, Watch};

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, default)]
    metadata: PageMeta<'a>,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PageMeta<'a> {
    #[serde(borrow)]
    resource_version: Cow<'a, str>,
    #[serde(borrow, rename = "continue")]
    next: Cow<'a, str>,
}

/// Number of objects after which the task yields.
const STRIDE: usize = 16;
/// Limit on the bytes of a page. A server that ignores `limit` sends pages of any size.
const MAX_PAGE_BYTES: usize = 256 << 20;

// === impl Watch ===

impl Watch {
    /// Lists everything in pages. Sets `self.version` to the version from which to watch.
    pub(super) async fn list_pages(&mut self, since: UnixNanos) -> Result<(), Failure> {
        let mut next = String::new();
        loop {
            let from = if next.is_empty() { String::new() } else { format!("&continue={}", escape(&next)) };
            let mut body = self.get(&format!("limit={}{from}", self.page)).await?;
            let mut text = Vec::new();
            while let Some(frame) = self.frame(&mut body).await? {
                if text.len() + frame.len() > MAX_PAGE_BYTES {
                    return Err(Failure::Malformed("a page of a listing is larger than 256 MiB".to_owned()));
                }
                text.extend_from_slice(&frame);
            }
            let page: Page<'_> =
                serde_json::from_slice(&text).map_err(|error| Failure::Malformed(error.to_string()))?;
            for (index, item) in page.items.into_iter().flatten().enumerate() {
                self.apply(item.get(), self.update_since(since));
                if index % STRIDE == STRIDE - 1 {
                    tokio::task::yield_now().await;
                }
            }
            self.stats.counts(self.table.counts());
            if page.metadata.next.is_empty() {
                self.version = page.metadata.resource_version.into_owned();
                if self.version.is_empty() {
                    return Err(Failure::Malformed("a listing has no resourceVersion".to_owned()));
                }
                self.page = PAGE;
                self.complete();
                return Ok(());
            }
            next = page.metadata.next.into_owned();
        }
    }
}
