//! [`Cache`]: results and pending look-ups. Shared by the processors and the thread that queries the kernel.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use longwave_pipeline::model::{ConnectionId, UnixNanos};

use super::judge;
use super::request::{Findings, Outcome, Reason, Request};
use super::translation::Translated;

/// Maximum number of connections that wait for a look-up. As many as the receiver tracks by default, because at the start all of them are
/// requested together.
const MAX_QUEUED: usize = 131_072;
/// Maximum number of cached results.
const MAX_KEPT: usize = 131_072;
/// How long a result is cached. The processors store it with the connection.
const KEPT: Duration = Duration::from_secs(60);
/// How long the result of a closed connection is cached.
const KEPT_AFTER_CLOSE: Duration = Duration::from_secs(5);
/// Maximum number of requests that the thread takes at a time.
const MAX_TAKEN: usize = 1024;
/// How long the thread lets requests accumulate, so that it wakes up once for many.
const GATHER: Duration = Duration::from_millis(2);
/// Number of results that are stored per acquisition of the lock.
const SETTLED_PER_LOCK: usize = 128;

/// Results and pending look-ups.
pub(super) struct Cache {
    /// [`ConnectionId::boot`] of this boot of this host; `None` if unknown.
    boot: Option<u32>,
    state: Mutex<CacheState>,
    /// Signals requests to the thread.
    wake: Condvar,
    /// Signals new results.
    settled: Condvar,
    version: AtomicU64,
}

#[derive(Default)]
struct CacheState {
    slots: HashMap<ConnectionId, CacheSlot, RandomState>,
    queue: VecDeque<Request>,
    /// When cached results are freed, in the order of time.
    results_due: VecDeque<(Instant, ConnectionId)>,
    /// When results of closed connections are freed, in the order of time.
    closed_due: VecDeque<(Instant, ConnectionId)>,
    mode: Mode,
    started: bool,
    stopped: bool,
    /// Whether the thread is waiting on `wake`.
    idle: bool,
    tally: Tally,
}

#[derive(Clone, Copy)]
enum CacheSlot {
    /// The look-up is pending. Contains the time of the connection's close, if a later request has it.
    Waiting(Option<UnixNanos>),
    Known(Translated),
}

/// Whether the kernel is queried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// The kernel is queried.
    #[default]
    Querying,
    /// The kernel is not queried. Every request gets this result, until the given time or permanently.
    Settled(Outcome, Option<Instant>),
}

/// Counts since the last [`Cache::take_tally`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Connections found translated.
    pub translated: u64,
    /// Connections found not translated.
    pub same: u64,
    /// Connections without a certain result, by [`Reason::ALL`].
    pub unknown: [u64; Reason::ALL.len()],
    /// Number of cached and pending results now.
    pub kept: u64,
}

/// Result of [`Cache::query`].
pub(super) struct QueryResult {
    pub translated: Translated,
    /// Whether this is the first request, so that the caller has to start the thread.
    pub start: bool,
}

// === impl Cache ===

impl Cache {
    /// Creates an empty cache. `boot`: [`ConnectionId::boot`] of this host's own records.
    pub fn new(boot: Option<u32>) -> Self {
        Self {
            boot,
            state: Mutex::default(),
            wake: Condvar::new(),
            settled: Condvar::new(),
            version: AtomicU64::new(0),
        }
    }

    /// See [`super::Conntrack::query`].
    pub fn query(&self, request: Request) -> QueryResult {
        let mut state = self.lock();
        if let Some(slot) = state.slots.get_mut(&request.id) {
            let translated = match slot {
                CacheSlot::Known(translated) => *translated,
                CacheSlot::Waiting(ended) => {
                    *ended = ended.or(request.ended);
                    Translated::Pending
                }
            };
            return QueryResult { translated, start: false };
        }
        let start = !std::mem::replace(&mut state.started, true);
        let translated = self.enqueue(&mut state, request);
        if translated == Translated::Pending && std::mem::take(&mut state.idle) {
            self.wake.notify_one();
        }
        QueryResult { translated, start }
    }

    /// See [`super::Conntrack::version`].
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// See [`super::Conntrack::forget`].
    pub fn forget(&self, id: ConnectionId, now: Instant) {
        let mut state = self.lock();
        if state.slots.contains_key(&id) {
            state.closed_due.push_back((now + KEPT_AFTER_CLOSE, id));
            // Several processors report the close of each connection.
            if state.closed_due.len() > 4 * MAX_KEPT {
                state.closed_due.pop_front();
            }
        }
    }

    /// See [`super::Conntrack::await_results`].
    pub fn await_results(&self, limit: Duration) {
        let is_waiting = |state: &mut CacheState| {
            !state.stopped && state.slots.values().any(|slot| matches!(slot, CacheSlot::Waiting(_)))
        };
        let _ = self.settled.wait_timeout_while(self.lock(), limit, is_waiting);
    }

    /// Makes [`Cache::take`] return false, which ends the thread.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.wake.notify_all();
        self.settled.notify_all();
    }

    /// For the thread: waits for requests, for at most `limit`, and moves some into `taken`. Returns false if the thread has to end.
    pub fn take(&self, taken: &mut Vec<Request>, limit: Duration) -> bool {
        let mut state = self.lock();
        state.idle = true;
        let is_waiting = |state: &mut CacheState| !state.stopped && state.queue.is_empty();
        state =
            self.wake.wait_timeout_while(state, limit, is_waiting).unwrap_or_else(PoisonError::into_inner).0;
        state.idle = false;
        if !state.queue.is_empty() && state.queue.len() < MAX_TAKEN {
            let is_gathering = |state: &mut CacheState| !state.stopped && state.queue.len() < MAX_TAKEN;
            state = self
                .wake
                .wait_timeout_while(state, GATHER, is_gathering)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let count = state.queue.len().min(MAX_TAKEN);
        taken.extend(state.queue.drain(..count));
        state.free_due(Instant::now());
        !state.stopped
    }

    /// For the thread: stores the results of look-ups.
    pub fn settle(&self, results: &[(Request, Findings)]) {
        for chunk in results.chunks(SETTLED_PER_LOCK) {
            let mut state = self.lock();
            let now = Instant::now();
            for (request, findings) in chunk {
                let ended = match state.slots.get(&request.id) {
                    Some(CacheSlot::Waiting(ended)) => request.ended.or(*ended),
                    _ => request.ended,
                };
                let outcome = judge::conclude(request, findings, ended);
                state.settle(request.id, outcome, now);
            }
        }
        if !results.is_empty() {
            self.notify();
        }
    }

    /// For the thread: sets the mode. [`Mode::Settled`] also settles all requests that wait.
    pub fn set_mode(&self, mode: Mode) {
        let mut state = self.lock();
        state.mode = mode;
        if let Mode::Settled(outcome, _) = mode {
            let waiting: Vec<_> = state.queue.drain(..).map(|request| request.id).collect();
            let now = Instant::now();
            for id in waiting {
                state.settle(id, outcome, now);
            }
        }
        drop(state);
        self.notify();
    }

    /// For the thread: stores one result for all these requests.
    pub fn settle_all(&self, requests: &[Request], outcome: Outcome) {
        let mut state = self.lock();
        let now = Instant::now();
        for request in requests {
            state.settle(request.id, outcome, now);
        }
        drop(state);
        self.notify();
    }

    /// Returns the counts since the last call.
    pub fn take_tally(&self) -> Tally {
        let mut state = self.lock();
        let kept = state.slots.len() as u64;
        Tally { kept, ..std::mem::take(&mut state.tally) }
    }

    /// Notifies the processors of new results.
    fn notify(&self) {
        self.version.fetch_add(1, Ordering::Release);
        self.settled.notify_all();
    }

    fn enqueue(&self, state: &mut CacheState, request: Request) -> Translated {
        let is_ours = request.id.boot == 0 || self.boot.is_none_or(|boot| boot == request.id.boot);
        if !is_ours || !request.tuple.is_valid() {
            return state.count(Outcome::Unknown(Reason::Foreign));
        }
        match state.mode {
            Mode::Settled(outcome, until) if until.is_none_or(|until| Instant::now() < until) => {
                return state.count(outcome);
            }
            Mode::Settled(..) | Mode::Querying => {}
        }
        if state.queue.len() >= MAX_QUEUED {
            return state.count(Outcome::Unknown(Reason::QueueFull));
        }
        state.slots.insert(request.id, CacheSlot::Waiting(request.ended));
        state.queue.push_back(request);
        Translated::Pending
    }

    fn lock(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl CacheState ===

impl CacheState {
    fn settle(&mut self, id: ConnectionId, outcome: Outcome, now: Instant) {
        let translated = self.count(outcome);
        self.slots.insert(id, CacheSlot::Known(translated));
        self.results_due.push_back((now + KEPT, id));
        if self.results_due.len() > MAX_KEPT
            && let Some((_, oldest)) = self.results_due.pop_front()
        {
            self.free(oldest);
        }
    }

    fn count(&mut self, outcome: Outcome) -> Translated {
        match outcome {
            Outcome::To(translation) => {
                self.tally.translated += 1;
                Translated::To(translation)
            }
            Outcome::Same => {
                self.tally.same += 1;
                Translated::Same
            }
            Outcome::Unknown(reason) => {
                self.tally.unknown[reason as usize] += 1;
                Translated::Unknown
            }
        }
    }

    /// Frees the results whose time is over.
    fn free_due(&mut self, now: Instant) {
        for _ in 0..self.results_due.len() + self.closed_due.len() {
            let is_due = |queue: &VecDeque<(Instant, _)>| queue.front().is_some_and(|(due, _)| *due <= now);
            let old = if is_due(&self.closed_due) {
                self.closed_due.pop_front()
            } else if is_due(&self.results_due) {
                self.results_due.pop_front()
            } else {
                break;
            };
            if let Some((_, id)) = old {
                self.free(id);
            }
        }
        if self.slots.is_empty() {
            // Frees the memory that a burst has taken.
            self.slots.shrink_to(0);
            self.queue.shrink_to(MAX_TAKEN);
            self.results_due.shrink_to(MAX_TAKEN);
            self.closed_due.shrink_to(MAX_TAKEN);
        }
    }

    /// Frees a result. A pending look-up is kept, because the thread has not stored its result yet.
    fn free(&mut self, id: ConnectionId) {
        if let Some(CacheSlot::Known(_)) = self.slots.get(&id) {
            self.slots.remove(&id);
        }
    }
}
