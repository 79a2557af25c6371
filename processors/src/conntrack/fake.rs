//! A fake of connection tracking, for tests of processors.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use longwave_pipeline::model::{ConnectionId, ConnectionRecord, Endpoint};

use super::{Translated, Translation, Translator};

/// Fake connection tracking, with results by the record's own addresses (`local>peer`).
#[derive(Clone, Default)]
pub(crate) struct FakeTracking(Arc<Mutex<Tracking>>);

#[derive(Default)]
struct Tracking {
    results: HashMap<String, Translated>,
    version: u64,
    queried: Vec<String>,
    forgotten: usize,
    /// Results that become available when the processor waits for them.
    late: Vec<(String, Translated)>,
}

pub(crate) fn end(text: &str) -> Endpoint {
    let address: std::net::SocketAddr = text.parse().unwrap();
    Endpoint { address: address.ip(), port: address.port() }
}

// === impl FakeTracking ===

impl FakeTracking {
    /// Adds a translated connection, for both ends.
    pub fn translate(&self, client: &str, original: &str, backend: &str, seen: &str) {
        let result = Translated::To(Translation {
            client: end(client),
            original: end(original),
            backend: end(backend),
            seen: end(seen),
        });
        for key in [format!("{client}>{original}"), format!("{backend}>{seen}")] {
            self.set(&key, result);
        }
    }

    /// Sets the result for a socket.
    pub fn set(&self, key: &str, result: Translated) {
        let mut tracking = self.0.lock().unwrap();
        tracking.results.insert(key.to_owned(), result);
        tracking.version += 1;
    }

    /// Adds a result that becomes available when the processor waits for it.
    pub fn set_late(&self, key: &str, client: &str, original: &str, backend: &str) {
        let [client, original, backend] = [client, original, backend].map(end);
        let result = Translated::To(Translation { client, original, backend, seen: client });
        self.0.lock().unwrap().late.push((key.to_owned(), result));
    }

    pub fn queried(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().queried)
    }

    pub fn forgotten(&self) -> usize {
        self.0.lock().unwrap().forgotten
    }
}

impl Translator for FakeTracking {
    fn query(&self, record: &ConnectionRecord) -> Translated {
        let key = format!("{}>{}", record.local, record.peer);
        let mut tracking = self.0.lock().unwrap();
        tracking.queried.push(key.clone());
        tracking.results.get(&key).copied().unwrap_or(Translated::Unknown)
    }

    fn version(&self) -> u64 {
        self.0.lock().unwrap().version
    }

    fn await_results(&self) {
        let mut tracking = self.0.lock().unwrap();
        let late = std::mem::take(&mut tracking.late);
        tracking.version += u64::from(!late.is_empty());
        tracking.results.extend(late);
    }

    fn forget(&self, _: ConnectionId) {
        self.0.lock().unwrap().forgotten += 1;
    }
}
