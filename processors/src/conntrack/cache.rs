//! What is known, what is asked for, what waits to be asked: the part that processors and the asking thread share.

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

/// Connections that wait: as many as the receiver tracks by default, which all come at once at the start.
const MAX_QUEUED: usize = 131_072;
/// Answers kept.
const MAX_KEPT: usize = 131_072;
/// How long an answer is kept: the processors that ask keep it themselves.
const KEPT: Duration = Duration::from_secs(60);
/// How long that of a connection is kept that has ended.
const KEPT_AFTER_END: Duration = Duration::from_secs(5);
/// Requests that the thread takes at a time.
const TAKEN: usize = 1024;
/// How long the thread lets requests gather, so that it wakes once for many.
const GATHER: Duration = Duration::from_millis(2);
/// Answers given under one lock.
const SETTLED: usize = 128;

/// Shared by processors and the thread.
pub(super) struct Cache {
    /// This boot of this host; `None` if it is not known.
    boot: Option<u32>,
    state: Mutex<State>,
    wake: Condvar,
    /// Answers have come.
    answered: Condvar,
    version: AtomicU64,
}

#[derive(Default)]
struct State {
    known: HashMap<ConnectionId, Slot, RandomState>,
    queue: VecDeque<Request>,
    /// Answered, in the order of time.
    answered: VecDeque<(Instant, ConnectionId)>,
    /// Ended, in the order of time.
    ended: VecDeque<(Instant, ConnectionId)>,
    mode: Mode,
    started: bool,
    stopped: bool,
    /// The thread waits to be woken.
    idle: bool,
    tally: Tally,
}

#[derive(Clone, Copy)]
enum Slot {
    /// Asked for; the connection ended meanwhile, perhaps.
    Waiting(Option<UnixNanos>),
    Known(Translated),
}

/// Whether asking has a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// It has.
    #[default]
    Asking,
    /// Everybody gets this answer, until it is tried again.
    Settled(Outcome, Option<Instant>),
}

/// What happened since it was last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Connections found translated.
    pub translated: u64,
    /// Connections found not translated.
    pub same: u64,
    /// Connections of which nobody can tell, by [`Reason::ALL`].
    pub unknown: [u64; Reason::ALL.len()],
    /// Answers kept now.
    pub kept: u64,
}

/// What [`Cache::query`] says to the first that asks of anything.
pub(super) struct Asked {
    pub translated: Translated,
    /// The thread is not there yet.
    pub start: bool,
}

// === impl Cache ===

impl Cache {
    /// Nothing known. `boot`: [`ConnectionId::boot`] of this host's own records.
    pub fn new(boot: Option<u32>) -> Self {
        Self {
            boot,
            state: Mutex::default(),
            wake: Condvar::new(),
            answered: Condvar::new(),
            version: AtomicU64::new(0),
        }
    }

    /// See [`super::Conntrack::query`].
    pub fn query(&self, request: Request) -> Asked {
        let mut state = self.lock();
        if let Some(slot) = state.known.get_mut(&request.id) {
            let translated = match slot {
                Slot::Known(translated) => *translated,
                Slot::Waiting(ended) => {
                    *ended = ended.or(request.ended);
                    Translated::Pending
                }
            };
            return Asked { translated, start: false };
        }
        let start = !std::mem::replace(&mut state.started, true);
        let translated = self.enqueue(&mut state, request);
        if translated == Translated::Pending && std::mem::take(&mut state.idle) {
            self.wake.notify_one();
        }
        Asked { translated, start }
    }

    /// See [`super::Conntrack::version`].
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// See [`super::Conntrack::forget`].
    pub fn forget(&self, id: ConnectionId, now: Instant) {
        let mut state = self.lock();
        if state.known.contains_key(&id) {
            state.ended.push_back((now + KEPT_AFTER_END, id));
            // Several processors say it of each connection.
            if state.ended.len() > 4 * MAX_KEPT {
                state.ended.pop_front();
            }
        }
    }

    /// See [`super::Conntrack::await_answers`].
    pub fn await_answers(&self, patience: Duration) {
        let is_waiting = |state: &mut State| {
            !state.stopped && state.known.values().any(|slot| matches!(slot, Slot::Waiting(_)))
        };
        let _ = self.answered.wait_timeout_while(self.lock(), patience, is_waiting);
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.wake.notify_all();
        self.answered.notify_all();
    }

    /// For the thread: waits for requests, for at most `patience`, and moves some into `taken`. False: it shall end.
    pub fn take(&self, taken: &mut Vec<Request>, patience: Duration) -> bool {
        let mut state = self.lock();
        state.idle = true;
        let is_waiting = |state: &mut State| !state.stopped && state.queue.is_empty();
        state = self
            .wake
            .wait_timeout_while(state, patience, is_waiting)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        state.idle = false;
        if !state.queue.is_empty() && state.queue.len() < TAKEN {
            let is_gathering = |state: &mut State| !state.stopped && state.queue.len() < TAKEN;
            state = self
                .wake
                .wait_timeout_while(state, GATHER, is_gathering)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let count = state.queue.len().min(TAKEN);
        taken.extend(state.queue.drain(..count));
        state.forget_old(Instant::now());
        !state.stopped
    }

    /// For the thread: what the namespaces said.
    pub fn settle(&self, answers: &[(Request, Findings)]) {
        for answers in answers.chunks(SETTLED) {
            let mut state = self.lock();
            let now = Instant::now();
            for (request, findings) in answers {
                let ended = match state.known.get(&request.id) {
                    Some(Slot::Waiting(ended)) => request.ended.or(*ended),
                    _ => request.ended,
                };
                let outcome = judge::conclude(request, findings, ended);
                state.settle(request.id, outcome, now);
            }
        }
        if !answers.is_empty() {
            self.tell();
        }
    }

    /// For the thread: asking has a point, or has none, and then everybody that waits hears of it.
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
        self.tell();
    }

    /// For the thread: these requests end so.
    pub fn settle_all(&self, requests: &[Request], outcome: Outcome) {
        let mut state = self.lock();
        let now = Instant::now();
        for request in requests {
            state.settle(request.id, outcome, now);
        }
        drop(state);
        self.tell();
    }

    /// What happened since the last call.
    pub fn take_tally(&self) -> Tally {
        let mut state = self.lock();
        let kept = state.known.len() as u64;
        Tally { kept, ..std::mem::take(&mut state.tally) }
    }

    /// Answers have come.
    fn tell(&self) {
        self.version.fetch_add(1, Ordering::Release);
        self.answered.notify_all();
    }

    fn enqueue(&self, state: &mut State, request: Request) -> Translated {
        let is_ours = request.id.boot == 0 || self.boot.is_none_or(|boot| boot == request.id.boot);
        if !is_ours || !request.tuple.can_be_asked() {
            return state.count(Outcome::Unknown(Reason::Foreign));
        }
        match state.mode {
            Mode::Settled(outcome, until) if until.is_none_or(|until| Instant::now() < until) => {
                return state.count(outcome);
            }
            Mode::Settled(..) | Mode::Asking => {}
        }
        if state.queue.len() >= MAX_QUEUED {
            return state.count(Outcome::Unknown(Reason::QueueFull));
        }
        state.known.insert(request.id, Slot::Waiting(request.ended));
        state.queue.push_back(request);
        Translated::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn settle(&mut self, id: ConnectionId, outcome: Outcome, now: Instant) {
        let translated = self.count(outcome);
        self.known.insert(id, Slot::Known(translated));
        self.answered.push_back((now + KEPT, id));
        if self.answered.len() > MAX_KEPT
            && let Some((_, oldest)) = self.answered.pop_front()
        {
            self.forget(oldest);
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

    fn forget_old(&mut self, now: Instant) {
        for _ in 0..self.answered.len() + self.ended.len() {
            let is_due = |queue: &VecDeque<(Instant, _)>| queue.front().is_some_and(|(due, _)| *due <= now);
            let old = if is_due(&self.ended) {
                self.ended.pop_front()
            } else if is_due(&self.answered) {
                self.answered.pop_front()
            } else {
                break;
            };
            if let Some((_, id)) = old {
                self.forget(id);
            }
        }
        if self.known.is_empty() {
            // After a burst, the room for it is given back.
            self.known.shrink_to(0);
            self.queue.shrink_to(TAKEN);
            self.answered.shrink_to(TAKEN);
            self.ended.shrink_to(TAKEN);
        }
    }

    /// What waits is not forgotten: its answer comes.
    fn forget(&mut self, id: ConnectionId) {
        if let Some(Slot::Known(_)) = self.known.get(&id) {
            self.known.remove(&id);
        }
    }
}
