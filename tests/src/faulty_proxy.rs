//! A proxy in front of a real API server, which does what that one cannot be made to do: be away, break watches off in the middle of an
//! event, forget where a watch would go on, ask to wait, list slowly.
//!
//! Plain HTTP towards the test, one request a connection; what it passes on it does not change, but for the size of pages.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::api_server::ApiServer;
use crate::longwave::free_address;

/// The proxy. Its threads end with the test.
pub struct FaultyProxy {
    /// Where it listens, or will.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// What was asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// When.
    pub at: Instant,
    /// `GET` where nobody misbehaves.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Not decoded.
    pub query: BTreeMap<String, String>,
    /// Of the answer: a real one's, or the fault's; 0 if the connection was closed without one.
    pub status: u16,
    /// Of a real answer: how much of it was passed on so far, with its head.
    pub bytes: u64,
}

/// What an answer is instead of a good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status, with `Retry-After` if it is not 0.
    Status(u16, u64),
    /// 200, and in the watch the event that says 410.
    GoneInside,
}

/// How it behaves; each field may be set at any time.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// Connections are closed at once, unanswered.
    pub down: bool,
    /// Listings cannot be streamed, as by servers before 1.32.
    pub pages_only: bool,
    /// Objects a page, whatever is asked for.
    pub page: Option<u32>,
    /// Before each page.
    pub page_delay: Duration,
    /// Nothing more of any answer is passed on, until this is false again.
    pub stalled: bool,
}

struct Shared {
    server: ApiServer,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    manners: Manners,
    faults: HashMap<String, VecDeque<Fault>>,
    /// Paths of which the next piece of a watch is broken off in its middle.
    bites: HashSet<String>,
    requests: Vec<Request>,
    unanswered: usize,
    /// Both ends of the answers that are under way, by request.
    open: HashMap<usize, [TcpStream; 2]>,
}

// === impl FaultyProxy ===

impl FaultyProxy {
    /// Not listening yet: connections are refused.
    pub fn new(server: ApiServer) -> Self {
        let shared = Shared { server, state: Mutex::default(), changed: Condvar::new() };
        Self { address: free_address(), shared: Arc::new(shared) }
    }

    /// Listens from now on.
    pub fn listen(&self) {
        let listener = TcpListener::bind(self.address).unwrap();
        let shared = Arc::clone(&self.shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    // A connection that breaks is the client's to try again.
                    let _ = shared.serve(&stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
    }

    /// Writes a kubeconfig that leads here.
    pub fn kubeconfig(&self, folder: &Path, token: &str) -> PathBuf {
        let path = folder.join("kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(&path, text.to_string()).unwrap();
        path
    }

    /// Changes its manners.
    pub fn set(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.shared.lock().manners);
        self.shared.changed.notify_all();
    }

    /// The next answer for `path` that is none to a listing's first request is this.
    pub fn fail(&self, path: &str, fault: Fault) {
        self.shared.lock().faults.entry(path.to_owned()).or_default().push_back(fault);
    }

    /// Breaks all answers off that are under way.
    pub fn cut(&self) {
        for stream in self.shared.lock().open.values().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Breaks the watch of `path` off in the middle of its next event, and is down from then on.
    pub fn cut_inside(&self, path: &str) {
        self.shared.lock().bites.insert(path.to_owned());
    }

    /// Waits until [`FaultyProxy::cut_inside`] has happened.
    pub fn await_cut(&self, limit: Duration) -> bool {
        self.shared.wait(limit, |state| state.bites.is_empty())
    }

    /// Requests from the one with this number on.
    pub fn requests(&self, from: usize) -> Vec<Request> {
        self.shared.lock().requests[from..].to_vec()
    }

    /// How many requests there were.
    pub fn asked(&self) -> usize {
        self.shared.lock().requests.len()
    }

    /// Waits until somebody has tried while it was down.
    ///
    /// # Panics
    /// When nobody does within `limit`.
    pub fn await_attempt(&self, limit: Duration) {
        assert!(self.shared.wait(limit, |state| state.unanswered > 0), "nobody asked within {limit:?}");
    }

    /// How many connections were closed unanswered, for being down.
    pub fn unanswered(&self) -> usize {
        self.shared.lock().unanswered
    }

    /// Waits until the requests from the one with this number on satisfy `done`.
    ///
    /// # Panics
    /// With `what` and the requests when they do not within `limit`.
    pub fn await_requests(
        &self,
        what: &str,
        from: usize,
        limit: Duration,
        mut done: impl FnMut(&[Request]) -> bool,
    ) {
        let reached = self.shared.wait(limit, |state| done(&state.requests[from..]));
        assert!(reached, "not asked within {limit:?}: {what}: {:#?}", self.requests(from));
    }
}

// === impl Request ===

impl Request {
    /// As RBAC calls it.
    pub fn verb(&self) -> String {
        match (self.method.as_str(), self.query.contains_key("watch")) {
            ("GET", true) => "watch".to_owned(),
            ("GET", false) => "list".to_owned(),
            (other, _) => other.to_lowercase(),
        }
    }

    /// Whether it asks for everything, from the start.
    pub fn lists(&self) -> bool {
        match self.verb().as_str() {
            "watch" => self.query.contains_key("sendInitialEvents"),
            _ => !self.query.contains_key("continue"),
        }
    }

    /// Whether it asks for what came since a place.
    pub fn resumes(&self) -> bool {
        self.verb() == "watch" && !self.lists()
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, limit: Duration, mut done: impl FnMut(&State) -> bool) -> bool {
        let (_state, timeout) = self
            .changed
            .wait_timeout_while(self.lock(), limit, |state| !done(state))
            .unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        if self.lock().manners.down {
            self.lock().unanswered += 1;
            self.changed.notify_all();
            return Ok(());
        }
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_owned()),
            }
        }
        let (mut request, target) = parse(&head[0]);
        let (number, fault, manners) = {
            let mut state = self.lock();
            let fault = if request.lists() {
                None
            } else {
                state.faults.get_mut(&request.path).and_then(VecDeque::pop_front)
            };
            state.requests.push(request.clone());
            (state.requests.len() - 1, fault, state.manners.clone())
        };
        let fault = match fault {
            None if manners.pages_only && request.query.contains_key("sendInitialEvents") => {
                Some(Fault::Status(422, 0))
            }
            other => other,
        };
        if let Some(fault) = fault {
            self.told(number, if let Fault::Status(code, _) = fault { code } else { 200 });
            return (&*stream).write_all(answer(fault).as_bytes());
        }
        let mut target = target;
        if request.verb() == "list" {
            self.wait(manners.page_delay, |_| false);
            if let (Some(page), Some(limit)) = (manners.page, request.query.remove("limit")) {
                target = target.replace(&format!("limit={limit}"), &format!("limit={page}"));
            }
        }
        head[0] = format!("{} {target} HTTP/1.1", request.method);
        head.retain(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        let text = format!("{}\r\nConnection: close\r\n\r\n", head.join("\r\n"));
        let mut upstream = self.server.connect()?;
        upstream.write_all(text.as_bytes())?;
        upstream.flush()?;
        self.lock().open.insert(number, [stream.try_clone()?, upstream.get_ref().try_clone()?]);
        let passed = self.pass_on(number, &request, &mut upstream, stream);
        self.lock().open.remove(&number);
        passed
    }

    fn pass_on(
        &self,
        number: usize,
        request: &Request,
        from: &mut impl Read,
        mut to: &TcpStream,
    ) -> io::Result<()> {
        let mut piece = vec![0; 64 << 10];
        let mut begun = false;
        loop {
            let length = from.read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            if !begun {
                let status = String::from_utf8_lossy(&piece[..length.min(16)]).into_owned();
                self.told(number, status.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0));
            }
            let mut state = self.lock();
            while state.manners.stalled {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            // The first piece is the head.
            let bitten = begun && request.verb() == "watch" && state.bites.remove(&request.path);
            if bitten {
                state.manners.down = true;
            } else {
                state.requests[number].bytes += length as u64;
            }
            drop(state);
            begun = true;
            if bitten {
                to.write_all(&piece[..length / 2])?;
                self.changed.notify_all();
                return Ok(());
            }
            to.write_all(&piece[..length])?;
        }
    }

    fn told(&self, number: usize, status: u16) {
        self.lock().requests[number].status = status;
        self.changed.notify_all();
    }
}

/// A request line: what it asks, and its target as it came.
fn parse(line: &str) -> (Request, String) {
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let (method, path) = (method.to_owned(), path.to_owned());
    (Request { at: Instant::now(), method, path, query, status: 0, bytes: 0 }, target.to_owned())
}

fn answer(fault: Fault) -> String {
    let status = |code: u16, reason: &str| json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "on demand"});
    let (line, after, body) = match fault {
        Fault::Status(code, after) => {
            let after = if after > 0 { format!("Retry-After: {after}\r\n") } else { String::new() };
            (format!("{code} On Demand"), after, status(code, if code == 410 { "Expired" } else { "" }))
        }
        Fault::GoneInside => {
            ("200 OK".to_owned(), String::new(), json!({"type": "ERROR", "object": status(410, "Expired")}))
        }
    };
    let body = format!("{body}\n");
    format!(
        "HTTP/1.1 {line}\r\nContent-Type: application/json\r\n{after}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
