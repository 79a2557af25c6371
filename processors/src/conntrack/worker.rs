//! The thread that asks the kernel.

use std::path::Path;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use longwave_pipeline::model::UnixNanos;
use opentelemetry::metrics::Meter;
use rustix::io::Errno;

use super::cache::{Cache, Mode};
use super::entry::{Entry, Tuple};
use super::judge::host_tuple;
use super::namespaces::Namespaces;
use super::request::{Findings, Found, Outcome, Reason, Request};
use super::socket::{Looked, Socket};
use super::telemetry::Telemetry;

/// Between two looks at the clock while nobody asks.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it is believed that a namespace tracks nothing: rules that come meanwhile are seen this much later.
const QUIET_FOR: Duration = Duration::from_secs(1);
/// How long a namespace that could not be entered is left alone.
const CLOSED_FOR: Duration = Duration::from_secs(10);
/// Namespaces remembered for either.
const MAX_REMEMBERED: usize = 4096;
/// How long a kernel that cannot be asked is left alone.
const AGAIN: Duration = Duration::from_secs(30);
/// How long the list of the start is kept, and how many directions are.
const LIST_KEPT: Duration = Duration::from_secs(30);
const MAX_LISTED: usize = 131_072;

struct Worker<'a> {
    cache: &'a Cache,
    telemetry: Telemetry,
    proc: &'a Path,
    namespaces: Namespaces,
    host: Option<Socket>,
    /// Translated connections at the start, by both directions.
    listed: Option<List>,
    was_listed: bool,
    /// Namespaces that are not asked before a time.
    left_alone: HashMap<u64, (Found, Instant)>,
    was_told: bool,
}

struct List {
    entries: HashMap<Tuple, Entry>,
    at: UnixNanos,
    until: Instant,
}

/// Works until it is stopped. `proc`: `/proc`.
pub(super) fn run(cache: &Cache, meter: &Meter, proc: &Path) {
    let telemetry = Telemetry::new(meter);
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
        left_alone: HashMap::new(),
        was_told: false,
    };
    let mut requests = Vec::new();
    while cache.take(&mut requests, PATIENCE) {
        if !requests.is_empty() {
            worker.answer(&requests);
            requests.clear();
        }
        worker.listed.take_if(|list| list.until <= Instant::now());
        worker.telemetry.report(&cache.take_tally());
    }
}

// === impl Worker ===

impl Worker<'_> {
    fn answer(&mut self, requests: &[Request]) {
        if self.host.is_none()
            && let Err(mode) = self.open()
        {
            self.cache.set_mode(mode);
            if let Mode::Settled(outcome, _) = mode {
                self.cache.settle_all(requests, outcome);
            }
            return;
        }
        let own = self.ask_own(requests);
        let host = self.ask_host(requests, &own);
        let answers: Vec<_> = requests
            .iter()
            .zip(own)
            .zip(host)
            .map(|((request, own), (host, at))| (*request, Findings { own, host, at }))
            .collect();
        self.cache.settle(&answers);
    }

    /// Opens the host's socket and tries it; otherwise says what to answer.
    fn open(&mut self) -> Result<(), Mode> {
        let later = || Some(Instant::now() + AGAIN);
        let sysctls = self.proc.join("sys/net");
        // Asking would load the modules: where nothing is tracked, nothing is translated.
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
                self.cache.set_mode(Mode::Asking);
                self.host = Some(socket);
                if !std::mem::replace(&mut self.was_listed, true) {
                    self.list();
                }
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                tracing::warn!(
                    %error,
                    "conntrack: the host's connection tracking cannot be asked: services that were reached through translated addresses, \
                     and clients behind a masquerade, stay unknown. Grant CAP_NET_ADMIN (and, outside of the host's network, \
                     CAP_SYS_ADMIN), or write conntrack: false"
                );
                Err(Mode::Settled(Outcome::Unknown(Reason::Denied), None))
            }
            Err(error) => {
                if !std::mem::replace(&mut self.was_told, true) {
                    tracing::warn!(
                        %error,
                        "conntrack: the kernel tracks connections, but does not tell: translated addresses stay unknown, and it is asked \
                         again every {AGAIN:?}. Load the module nf_conntrack_netlink, or write conntrack: false"
                    );
                }
                Err(Mode::Settled(Outcome::Unknown(Reason::Unsupported), later()))
            }
        }
    }

    /// Lists what is translated: connections that are older than this process and may be gone when their last record comes.
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
            // What is there is used; the rest is asked for one by one.
            tracing::debug!(%error, "conntrack: the list of all connections is incomplete");
            self.host = None;
        }
        self.telemetry.asked_host(1);
        self.listed = Some(List { entries, at: UnixNanos::now(), until: Instant::now() + LIST_KEPT });
    }

    fn ask_own(&mut self, requests: &[Request]) -> Vec<Found> {
        let mut own = vec![Found::Nothing; requests.len()];
        let mut others: HashMap<u64, Vec<usize>> = HashMap::new();
        for (index, request) in requests.iter().enumerate() {
            let inode = u64::from(request.id.netns);
            if inode == self.namespaces.host_inode() {
                own[index] = Found::Host;
            } else if inode != 0 {
                others.entry(inode).or_default().push(index);
            }
        }
        for (inode, indices) in others {
            match self.left_alone.get(&inode) {
                Some((found, until)) if Instant::now() < *until => {
                    indices.iter().for_each(|index| own[*index] = *found);
                }
                _ => self.ask_namespace(inode, &indices, requests, &mut own),
            }
        }
        own
    }

    fn ask_namespace(&mut self, inode: u64, indices: &[usize], requests: &[Request], own: &mut [Found]) {
        let tuples: Vec<_> = indices.iter().map(|index| requests[*index].tuple).collect();
        let pids = indices.iter().map(|index| requests[*index].pid);
        let entered = self.namespaces.in_other(inode, pids, || {
            let mut socket = Socket::open()?;
            // A connection that is tracked is there to be counted.
            if socket.count()? == 0 {
                return Ok(None);
            }
            Ok::<_, std::io::Error>(Some(socket.get(&tuples)?))
        });
        let (found, time) = match entered.flatten() {
            Ok(Some(looked)) => {
                self.telemetry.asked_own(tuples.len() as u64);
                for (index, looked) in indices.iter().zip(looked) {
                    own[*index] = Found::Looked(looked);
                }
                self.left_alone.remove(&inode);
                return;
            }
            Ok(None) => (Found::Nothing, QUIET_FOR),
            Err(error) => {
                self.tell_closed(&error);
                (Found::Closed, CLOSED_FOR)
            }
        };
        indices.iter().for_each(|index| own[*index] = found);
        if self.left_alone.len() >= MAX_REMEMBERED {
            self.left_alone.clear();
        }
        self.left_alone.insert(inode, (found, Instant::now() + time));
    }

    fn tell_closed(&mut self, error: &std::io::Error) {
        self.telemetry.closed();
        if error.kind() == std::io::ErrorKind::PermissionDenied
            && !std::mem::replace(&mut self.was_told, true)
        {
            tracing::warn!(
                %error,
                "conntrack: the network namespaces of others cannot be entered: redirects inside them are not seen. Grant CAP_SYS_ADMIN, \
                 CAP_SYS_PTRACE and CAP_NET_ADMIN, and in Kubernetes hostPID: true"
            );
        }
    }

    /// What the host says, and when it did.
    fn ask_host(&mut self, requests: &[Request], own: &[Found]) -> Vec<(Found, UnixNanos)> {
        let mut answers = vec![(Found::Nothing, UnixNanos::now()); requests.len()];
        let (mut indices, mut tuples) = (Vec::new(), Vec::new());
        for (index, (request, own)) in requests.iter().zip(own).enumerate() {
            let Some(tuple) = host_tuple(request, own) else { continue };
            match self.listed.as_ref().filter(|_| request.opened.is_none()) {
                Some(list) if list.entries.contains_key(&tuple) => {
                    let entry = list.entries[&tuple];
                    answers[index] = (Found::Looked(Looked::Found(entry)), list.at);
                }
                _ => {
                    indices.push(index);
                    tuples.push(tuple);
                }
            }
        }
        if tuples.is_empty() {
            return answers;
        }
        let looked = self.host.as_mut().map_or(Err(Errno::BADF), |socket| socket.get(&tuples));
        self.telemetry.asked_host(tuples.len() as u64);
        let looked = looked.unwrap_or_else(|error| {
            tracing::debug!(%error, "conntrack: a look-up failed; another socket is opened");
            self.host = None;
            vec![Looked::Failed; tuples.len()]
        });
        let at = UnixNanos::now();
        for (index, looked) in indices.into_iter().zip(looked) {
            answers[index] = (Found::Looked(looked), at);
        }
        answers
    }
}
