//! [`Conntrack`]: looks up how the addresses of a connection are translated (NAT). It queries the kernel's connection tracking through
//! netlink.
//!
//! A socket has the addresses that are visible on its own side: the client's peer may be a cluster IP, and the server's peer a masquerading
//! node. The translation is in the tracking tables of the network namespaces that the packets cross. Two of them are queried:
//! - the socket's own, which contains the redirects inside a pod; it is queried only if it tracks any connection;
//! - the host's, which contains the translations of kube-proxy and Docker.
//!
//! Translations in both are combined. Other namespaces (a cluster inside a container, another host's) are not queried, nor are zones other
//! than the default.
//!
//! [`Conntrack::query`] returns a cached result and never waits. A thread ([`worker`]) looks up new connections, many at a time, some
//! milliseconds later. Before the first look-up it lists all translated connections, because connections that are older than Longwave may
//! close soon. [`judge`] decides which results are certain. The others are unknown, and are counted by reason.
//!
//! Needs CAP_NET_ADMIN. Other namespaces also need CAP_SYS_ADMIN, CAP_SYS_PTRACE and the host's pid namespace. A missing capability is
//! logged once.

mod cache;
mod entry;
#[cfg(test)]
pub(crate) mod fake;
mod judge;
mod namespaces;
mod request;
mod socket;
mod telemetry;
mod translation;
mod translator;
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
use telemetry::Telemetry;
pub use translation::{Translated, Translation};
pub(crate) use translator::Translator;

/// How long a stop waits for results: a hundred times the usual duration of a look-up.
const LAST_RESULTS: Duration = Duration::from_millis(250);

/// The translations of this host's connections. All processors of a graph share one.
pub struct Conntrack {
    cache: Arc<Cache>,
    telemetry: Arc<Telemetry>,
    proc: PathBuf,
}

// === impl Conntrack ===

impl Conntrack {
    /// Returns the instance of the graph. The first call creates it. No socket is opened before the first query.
    pub fn shared(context: &ProcessorContext) -> Arc<Self> {
        let made =
            context.shared.get_or_make(|| Ok::<_, Infallible>(Self::new(&context.meter, Path::new("/proc"))));
        match made {
            Ok(conntrack) => conntrack,
        }
    }

    /// Creates an instance for the host whose `/proc` is `proc`. The host's network namespace is that of process 1.
    pub fn new(meter: &Meter, proc: &Path) -> Self {
        let boot = BootId::read(proc).ok().map(BootId::short);
        let cache = Arc::new(Cache::new(boot));
        Self { cache, telemetry: Arc::new(Telemetry::new(meter)), proc: proc.to_owned() }
    }

    /// Returns the translation of the record's connection. Never blocks: the first query of a connection starts a look-up, and returns
    /// [`Translated::Pending`]. A call costs a lock and a hash look-up, so callers store any other result with the connection.
    pub fn query(&self, record: &ConnectionRecord) -> Translated {
        let result = self.cache.query(Request::of(record));
        if result.start {
            self.start();
        }
        result.translated
    }

    /// Returns a number that increases when pending results have become available.
    pub fn version(&self) -> u64 {
        self.cache.version()
    }

    /// Frees the result of a closed connection. It is kept for a few more seconds, because other processors may not have processed the
    /// connection's last record yet.
    pub fn forget(&self, id: ConnectionId) {
        self.cache.forget(id, Instant::now());
    }

    /// Waits until no result is [`Translated::Pending`], for at most a quarter of a second. Called when the receiver stops, because no
    /// later record can use the result.
    pub fn await_results(&self) {
        self.cache.await_results(LAST_RESULTS);
    }

    fn start(&self) {
        let (cache, telemetry, proc) =
            (Arc::clone(&self.cache), Arc::clone(&self.telemetry), self.proc.clone());
        let thread = std::thread::Builder::new().name("conntrack".to_owned());
        if let Err(error) = thread.spawn(move || worker::run(&cache, &telemetry, &proc)) {
            tracing::error!(%error, "conntrack: the thread for look-ups cannot be started: translated addresses stay unknown");
            self.cache.set_mode(cache::Mode::Settled(Outcome::Unknown(Reason::Failed), None));
        }
    }
}

impl Drop for Conntrack {
    fn drop(&mut self) {
        self.cache.stop();
    }
}
