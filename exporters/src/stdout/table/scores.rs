//! [`Scores`]: the order of the rows, which changes slowly from table to table.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::flows::Flow;

/// Smoothed bytes of each flow of the last tables. A row does not jump to the top for one burst, or to the end for one pause.
#[derive(Default)]
pub(super) struct Scores(HashMap<[String; 3], u64>);

// === impl Scores ===

impl Scores {
    /// Sorts by smoothed bytes, then by connections and events, descending; the overflow series is last. A flow's score is its bytes plus half
    /// of the former score. Forgets flows that are not in `rows`.
    pub(super) fn sort(&mut self, rows: &mut [Flow]) {
        let former = std::mem::take(&mut self.0);
        for row in rows.iter() {
            let flow = row.ends().map(str::to_owned);
            let former = former.get(&flow).copied().unwrap_or(0);
            let score = self.0.entry(flow).or_default();
            *score = (*score).max(row.bytes().saturating_add(former / 2));
        }
        rows.sort_by_cached_key(|row| {
            let flow = row.ends().map(str::to_owned);
            let score = self.0.get(&flow).copied().unwrap_or(0);
            let events = row.opened + row.closed + row.failed;
            (row.is_overflow, Reverse(score), Reverse(row.active), Reverse(events), flow, row.side)
        });
    }
}
