//! What network address translation did to a connection: the kernel's connection tracking, asked through netlink.
//!
//! A socket knows what it was told: the client's that it talks to a cluster IP, the server's that a masqueraded client does. What lies
//! between is in the tracking tables of the namespaces that the packets cross. Two are asked: the socket's own, where redirects inside a
//! pod are done (only if it tracks anything at all), and the host's, where kube-proxy and Docker do their work. Translations in both are
//! put together. Namespaces beyond (a cluster inside a container, another host's) are not asked, nor are zones other than the default.
//!
//! [`Conntrack::query`] answers from memory and never waits. A thread ([`worker`]) looks new connections up, many at a time, some
//! milliseconds later; with the first question it lists all translated connections, for those that are older than the agent and end now.
//! [`judge`] says which answers are certain. Whatever remains unknown is counted by its reason.
//!
//! Needs CAP_NET_ADMIN; for other namespaces CAP_SYS_ADMIN and CAP_SYS_PTRACE too, and the host's pid namespace. What is missing is said
//! once.

mod cache;
mod entry;
mod judge;
mod namespaces;
mod request;
mod socket;
mod telemetry;
mod translation;
mod wire;
mod worker;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use longwave_pipeline::component::ProcessorContext;
use longwave_pipeline::component::host::BootId;
use longwave_pipeline::model::{ConnectionId, ConnectionRecord};
use opentelemetry::metrics::Meter;

use cache::Cache;
use request::{Outcome, Reason, Request};
pub use translation::{Translated, Translation};

/// A hundred times what an answer takes.
const LAST_ANSWERS: Duration = Duration::from_millis(250);

/// The translations of this host's connections. One for all processors of a graph.
pub struct Conntrack {
    cache: Arc<Cache>,
    meter: Meter,
    proc: PathBuf,
}

// === impl Conntrack ===

impl Conntrack {
    /// The graph's own; the first processor that asks makes it. Nothing is opened before the first question.
    pub fn shared(context: &ProcessorContext) -> Arc<Self> {
        let made = context
            .shared
            .get_or_make(|| Ok::<_, Infallible>(Self::new(context.meter.clone(), Path::new("/proc"))));
        match made {
            Ok(conntrack) => conntrack,
        }
    }

    /// Of the host that `proc` (`/proc`) shows: its first process is in the host's network namespace.
    pub fn new(meter: Meter, proc: &Path) -> Self {
        let boot = BootId::read(proc).ok().map(BootId::short);
        let cache = Arc::new(Cache::new(boot));
        Self { cache, meter, proc: proc.to_owned() }
    }

    /// What is known of the translation of the record's connection. Never blocks: what is not known yet is asked for meanwhile. Costs a
    /// lock and a look-up, so keep what is not [`Translated::Pending`] with the connection.
    pub fn query(&self, record: &ConnectionRecord) -> Translated {
        let asked = self.cache.query(Request::of(record));
        if asked.start {
            self.start();
        }
        asked.translated
    }

    /// Moves when pending answers have come.
    pub fn version(&self) -> u64 {
        self.cache.version()
    }

    /// The connection has ended: its answer is kept for some seconds more, for the other processors that still have its last record
    /// before them.
    pub fn forget(&self, id: ConnectionId) {
        self.cache.forget(id, Instant::now());
    }

    /// Waits until no answer is [`Translated::Pending`] any more, for a quarter of a second at most. For the stop: nothing comes after
    /// it, so what is not answered by then stays unknown.
    pub fn await_answers(&self) {
        self.cache.await_answers(LAST_ANSWERS);
    }

    fn start(&self) {
        let (cache, meter, proc) = (Arc::clone(&self.cache), self.meter.clone(), self.proc.clone());
        let thread = std::thread::Builder::new().name("conntrack".to_owned());
        if let Err(error) = thread.spawn(move || worker::run(&cache, &meter, &proc)) {
            tracing::error!(%error, "conntrack: no thread to ask with: translated addresses stay unknown");
            self.cache.set_mode(cache::Mode::Settled(Outcome::Unknown(Reason::Failed), None));
        }
    }
}

impl Drop for Conntrack {
    fn drop(&mut self) {
        self.cache.stop();
    }
}
