//! The thread that queries the kernel.

use std::path::Path;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use longwave_pipeline::model::UnixNanos;
use rustix::io::Errno;

use super::cache::{Cache, Mode};
use super::entry::{ConntrackEntry, Tuple};
use super::judge::host_tuple;
use super::namespaces::Namespaces;
use super::request::{Findings, NamespaceResult, Outcome, Reason, Request};
use super::socket::{LookupResult, Socket};
use super::telemetry::Telemetry;

/// How often the thread wakes up without requests.
const IDLE_WAKE_UP: Duration = Duration::from_secs(10);
/// How long a namespace without tracked connections is not queried again. Rules that are added in this time have an effect only after it.
const QUIET_FOR: Duration = Duration::from_secs(1);
/// Time until the next attempt to enter a namespace that could not be entered.
const CLOSED_FOR: Duration = Duration::from_secs(10);
/// Maximum number of namespaces that are skipped for one of these reasons.
const MAX_SKIPPED: usize = 4096;
/// Time until the next attempt to query a kernel that could not be queried.
const RETRY: Duration = Duration::from_secs(30);
/// How long the entries that were listed at the start are kept.
const LIST_KEPT: Duration = Duration::from_secs(30);
/// Maximum number of listed entries, which are counted once per direction.
const MAX_LISTED: usize = 131_072;

struct Worker<'a> {
    cache: &'a Cache,
    telemetry: &'a Telemetry,
    proc: &'a Path,
    namespaces: Namespaces,
    host: Option<Socket>,
    /// Translated connections at the start, by both directions.
    listed: Option<StartList>,
    was_listed: bool,
    /// Namespaces that are not queried before the given time, and their result until then.
    skipped: HashMap<u64, (NamespaceResult, Instant)>,
    was_logged: bool,
}

/// Entries that were listed at the start.
struct StartList {
    entries: HashMap<Tuple, ConntrackEntry>,
    at: UnixNanos,
    until: Instant,
}

/// Runs until [`Cache::stop`]. `proc` is `/proc`.
pub(super) fn run(cache: &Cache, telemetry: &Telemetry, proc: &Path) {
    let namespaces = match Namespaces::of_this_thread(proc) {
        Ok(namespaces) => namespaces,
        Err(error) => {
            tracing::error!(%error, "conntrack: /proc does not show network namespaces: translated addresses stay unknown");
            return cache.set_mode(Mode::Settled(Outcome::Unknown(Reason::Failed), None));
        }
    };
    let mut worker = Worker {
        cache,
        telemetry,
        proc,
        namespaces,
        host: None,
        listed: None,
        was_listed: false,
        skipped: HashMap::new(),
        was_logged: false,
    };
    let mut requests = Vec::new();
    while cache.take(&mut requests, IDLE_WAKE_UP) {
        if !requests.is_empty() {
            worker.look_up(&requests);
            requests.clear();
        }
        worker.listed.take_if(|list| list.until <= Instant::now());
        worker.telemetry.report(&cache.take_tally());
    }
}

// === impl Worker ===

impl Worker<'_> {
    fn look_up(&mut self, requests: &[Request]) {
        if self.host.is_none()
            && let Err(mode) = self.open()
        {
            self.cache.set_mode(mode);
            if let Mode::Settled(outcome, _) = mode {
                self.cache.settle_all(requests, outcome);
            }
            return;
        }
        let own = self.query_own(requests);
        let host = self.query_host(requests, &own);
        let results: Vec<_> = requests
            .iter()
            .zip(own)
            .zip(host)
            .map(|((request, own), (host, at))| (*request, Findings { own, host, at }))
            .collect();
        self.cache.settle(&results);
    }

    /// Opens a socket in the host's namespace and tests it with a query.
    ///
    /// # Errors
    /// The kernel cannot be queried, or does not track connections. The error is the mode to set.
    fn open(&mut self) -> Result<(), Mode> {
        let later = || Some(Instant::now() + RETRY);
        let sysctls = self.proc.join("sys/net");
        // Without tracking there is no translation. A query would load the kernel's modules.
        if sysctls.join("core").exists() && !sysctls.join("netfilter/nf_conntrack_count").exists() {
            return Err(Mode::Settled(Outcome::Same, later()));
        }
        let opened = self.namespaces.in_host(|| {
            let mut socket = Socket::open()?;
            socket.count()?;
            Ok::<_, std::io::Error>(socket)
        });
        match opened.flatten() {
            Ok(socket) => {
                self.cache.set_mode(Mode::Querying);
                self.host = Some(socket);
                if !std::mem::replace(&mut self.was_listed, true) {
                    self.list();
                }
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                tracing::warn!(
                    %error,
                    "conntrack: the host's connection tracking cannot be queried: services that were reached through translated addresses, \
                     and clients behind a masquerade, stay unknown. Grant CAP_NET_ADMIN (and, outside of the host's network, \
                     CAP_SYS_ADMIN), or write conntrack: false"
                );
                Err(Mode::Settled(Outcome::Unknown(Reason::Denied), None))
            }
            Err(error) => {
                if !std::mem::replace(&mut self.was_logged, true) {
                    tracing::warn!(
                        %error,
                        "conntrack: the kernel tracks connections, but cannot be queried: translated addresses stay unknown, and it is \
                         tried again every {RETRY:?}. Load the module nf_conntrack_netlink, or write conntrack: false"
                    );
                }
                Err(Mode::Settled(Outcome::Unknown(Reason::Unsupported), later()))
            }
        }
    }

    /// Lists all translated connections. The entry of a connection that is older than Longwave may be gone when its last record arrives.
    fn list(&mut self) {
        let Some(socket) = &mut self.host else { return };
        let mut entries = HashMap::new();
        let listed = socket.dump(|entry| {
            if entry.translation().is_some() && entries.len() < MAX_LISTED {
                entries.insert(entry.original, entry);
                entries.insert(entry.reply, entry);
            }
        });
        if let Err(error) = listed {
            // The incomplete list is used. Connections that it lacks are looked up one by one.
            tracing::debug!(%error, "conntrack: the list of all connections is incomplete");
            self.host = None;
        }
        self.telemetry.count_host_queries(1);
        self.listed = Some(StartList { entries, at: UnixNanos::now(), until: Instant::now() + LIST_KEPT });
    }

    fn query_own(&mut self, requests: &[Request]) -> Vec<NamespaceResult> {
        let mut own = vec![NamespaceResult::Nothing; requests.len()];
        let mut others: HashMap<u64, Vec<usize>> = HashMap::new();
        for (index, request) in requests.iter().enumerate() {
            let inode = u64::from(request.id.netns);
            if inode == self.namespaces.host_inode() {
                own[index] = NamespaceResult::Host;
            } else if inode != 0 {
                others.entry(inode).or_default().push(index);
            }
        }
        for (inode, indices) in others {
            match self.skipped.get(&inode) {
                Some((found, until)) if Instant::now() < *until => {
                    indices.iter().for_each(|index| own[*index] = *found);
                }
                _ => self.query_namespace(inode, &indices, requests, &mut own),
            }
        }
        own
    }

    fn query_namespace(
        &mut self,
        inode: u64,
        indices: &[usize],
        requests: &[Request],
        own: &mut [NamespaceResult],
    ) {
        let tuples: Vec<_> = indices.iter().map(|index| requests[*index].tuple).collect();
        let pids = indices.iter().map(|index| requests[*index].pid);
        let entered = self.namespaces.in_other(inode, pids, || {
            let mut socket = Socket::open()?;
            // If the count is 0, none of the connections is tracked.
            if socket.count()? == 0 {
                return Ok(None);
            }
            Ok::<_, std::io::Error>(Some(socket.get(&tuples)?))
        });
        let (found, time) = match entered.flatten() {
            Ok(Some(results)) => {
                self.telemetry.count_own_queries(tuples.len() as u64);
                for (index, result) in indices.iter().zip(results) {
                    own[*index] = NamespaceResult::LookedUp(result);
                }
                self.skipped.remove(&inode);
                return;
            }
            Ok(None) => (NamespaceResult::Nothing, QUIET_FOR),
            Err(error) => {
                self.report_closed(&error);
                (NamespaceResult::Closed, CLOSED_FOR)
            }
        };
        indices.iter().for_each(|index| own[*index] = found);
        if self.skipped.len() >= MAX_SKIPPED {
            self.skipped.clear();
        }
        self.skipped.insert(inode, (found, Instant::now() + time));
    }

    fn report_closed(&mut self, error: &std::io::Error) {
        self.telemetry.count_closed();
        if error.kind() == std::io::ErrorKind::PermissionDenied
            && !std::mem::replace(&mut self.was_logged, true)
        {
            tracing::warn!(
                %error,
                "conntrack: other network namespaces cannot be entered, so redirects inside them are not seen. Grant CAP_SYS_ADMIN, \
                 CAP_SYS_PTRACE and CAP_NET_ADMIN, and in Kubernetes hostPID: true"
            );
        }
    }

    /// Looks up all requests in the host's namespace. Returns each result with the time of its query.
    fn query_host(
        &mut self,
        requests: &[Request],
        own: &[NamespaceResult],
    ) -> Vec<(NamespaceResult, UnixNanos)> {
        let mut results = vec![(NamespaceResult::Nothing, UnixNanos::now()); requests.len()];
        let (mut indices, mut tuples) = (Vec::new(), Vec::new());
        for (index, (request, own)) in requests.iter().zip(own).enumerate() {
            let Some(tuple) = host_tuple(request, own) else { continue };
            match self.listed.as_ref().filter(|_| request.opened.is_none()) {
                Some(list) if list.entries.contains_key(&tuple) => {
                    let entry = list.entries[&tuple];
                    results[index] = (NamespaceResult::LookedUp(LookupResult::Found(entry)), list.at);
                }
                _ => {
                    indices.push(index);
                    tuples.push(tuple);
                }
            }
        }
        if tuples.is_empty() {
            return results;
        }
        let found = self.host.as_mut().map_or(Err(Errno::BADF), |socket| socket.get(&tuples));
        self.telemetry.count_host_queries(tuples.len() as u64);
        let found = found.unwrap_or_else(|error| {
            tracing::debug!(%error, "conntrack: a look-up failed; another socket is opened");
            self.host = None;
            vec![LookupResult::Failed; tuples.len()]
        });
        let at = UnixNanos::now();
        for (index, result) in indices.into_iter().zip(found) {
            results[index] = (NamespaceResult::LookedUp(result), at);
        }
        results
    }
}
