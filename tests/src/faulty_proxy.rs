//! A proxy in front of a real API server that simulates faults: refused connections, watches that break in the middle of an event, expired
//! resource versions, `Retry-After`, slow listings.
//!
//! It serves plain HTTP, one request per connection. It forwards everything unchanged, except the size of pages.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::api_server::ApiServer;
use crate::longwave::free_address;
use crate::serve::serve_each;

/// The proxy. Its threads end with the process.
pub struct FaultyProxy {
    /// Address on which it listens, after a call of [`FaultyProxy::listen`].
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// A request to the proxy.
#[derive(Clone, Debug)]
pub struct Request {
    /// Time of the request.
    pub at: Instant,
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Query parameters, not decoded.
    pub query: BTreeMap<String, String>,
    /// Status of the response. 0 if the connection was closed without a response.
    pub status: u16,
    /// Number of forwarded bytes of a real response, including its head.
    pub bytes: u64,
}

/// A response that replaces the real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Status code, and seconds of `Retry-After` (0: without this header).
    Status(u16, u64),
    /// Status 200 and a watch event with code 410.
    GoneInside,
}

/// Behaviour of the proxy. It can be changed at any time.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Whether connections are closed without a response.
    pub down: bool,
    /// Whether requests to stream a listing are refused, as by servers before 1.32.
    pub pages_only: bool,
    /// Number of objects in a page, instead of the number that the client requests.
    pub page: Option<u32>,
    /// Delay before each page.
    pub page_delay: Duration,
    /// Whether responses wait: nothing is forwarded to clients until this is false again.
    pub stalled: bool,
}

struct Shared {
    server: ApiServer,
    state: Mutex<ProxyState>,
    changed: Condvar,
}

#[derive(Default)]
struct ProxyState {
    behaviour: Behaviour,
    faults: HashMap<String, VecDeque<Fault>>,
    /// Paths whose watch will break in the middle of its next event.
    cuts: HashSet<String>,
    requests: Vec<Request>,
    /// Number of connections that were closed without a response.
    unanswered: usize,
    /// Connections to the client and to the server of each response that is being forwarded, by number of the request.
    open: HashMap<usize, [TcpStream; 2]>,
}

// === impl FaultyProxy ===

impl FaultyProxy {
    /// Creates a proxy that does not listen yet. The kernel refuses connections to it.
    pub fn new(server: ApiServer) -> Self {
        let shared = Shared { server, state: Mutex::default(), changed: Condvar::new() };
        Self { address: free_address(), shared: Arc::new(shared) }
    }

    /// Starts to listen.
    pub fn listen(&self) {
        let listener = TcpListener::bind(self.address).unwrap();
        let shared = Arc::clone(&self.shared);
        serve_each(listener, move |stream| {
            // If a connection breaks, the client retries.
            let _ = shared.serve(&stream);
            let _ = stream.shutdown(Shutdown::Both);
        });
    }

    /// Writes a kubeconfig that points to the proxy.
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

    /// Changes the behaviour.
    pub fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.lock().behaviour);
        self.shared.changed.notify_all();
    }

    /// Replaces the next response for `path` by a fault. Does not apply to the first request of a listing.
    pub fn fail(&self, path: &str, fault: Fault) {
        self.shared.lock().faults.entry(path.to_owned()).or_default().push_back(fault);
    }

    /// Breaks all responses that are being forwarded.
    pub fn cut(&self) {
        for stream in self.shared.lock().open.values().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Breaks the watch of `path` in the middle of its next event. After that, the proxy is down.
    pub fn cut_inside(&self, path: &str) {
        self.shared.lock().cuts.insert(path.to_owned());
    }

    /// Waits until the watch of [`FaultyProxy::cut_inside`] has broken. Returns whether it has within `limit`.
    pub fn await_cut(&self, limit: Duration) -> bool {
        self.shared.wait(limit, |state| state.cuts.is_empty())
    }

    /// Returns all requests except the first `from`.
    pub fn requests(&self, from: usize) -> Vec<Request> {
        self.shared.lock().requests[from..].to_vec()
    }

    /// Returns the number of requests.
    pub fn request_count(&self) -> usize {
        self.shared.lock().requests.len()
    }

    /// Waits for an attempt to connect while the proxy is down.
    ///
    /// # Panics
    /// If there is none within `limit`.
    pub fn await_attempt(&self, limit: Duration) {
        assert!(self.shared.wait(limit, |state| state.unanswered > 0), "no attempt within {limit:?}");
    }

    /// Returns the number of connections that were closed while the proxy was down.
    pub fn unanswered(&self) -> usize {
        self.shared.lock().unanswered
    }

    /// Waits until all requests except the first `from` satisfy `done`.
    ///
    /// # Panics
    /// If they do not within `limit`, with `what` and the requests.
    pub fn await_requests(
        &self,
        what: &str,
        from: usize,
        limit: Duration,
        mut done: impl FnMut(&[Request]) -> bool,
    ) {
        let reached = self.shared.wait(limit, |state| done(&state.requests[from..]));
        assert!(reached, "no such request within {limit:?}: {what}: {:#?}", self.requests(from));
    }
}

// === impl Request ===

impl Request {
    /// Verb of the request in RBAC.
    pub fn verb(&self) -> String {
        match (self.method.as_str(), self.query.contains_key("watch")) {
            ("GET", true) => "watch".to_owned(),
            ("GET", false) => "list".to_owned(),
            (other, _) => other.to_lowercase(),
        }
    }

    /// Returns whether this is the first request of a listing.
    pub fn lists(&self) -> bool {
        match self.verb().as_str() {
            "watch" => self.query.contains_key("sendInitialEvents"),
            _ => !self.query.contains_key("continue"),
        }
    }

    /// Returns whether this is a watch from a resource version.
    pub fn resumes(&self) -> bool {
        self.verb() == "watch" && !self.lists()
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ProxyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, limit: Duration, mut done: impl FnMut(&ProxyState) -> bool) -> bool {
        let (_state, timeout) = self
            .changed
            .wait_timeout_while(self.lock(), limit, |state| !done(state))
            .unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        if self.lock().behaviour.down {
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
        let (number, fault, behaviour) = {
            let mut state = self.lock();
            let fault = if request.lists() {
                None
            } else {
                state.faults.get_mut(&request.path).and_then(VecDeque::pop_front)
            };
            state.requests.push(request.clone());
            (state.requests.len() - 1, fault, state.behaviour.clone())
        };
        let fault = match fault {
            None if behaviour.pages_only && request.query.contains_key("sendInitialEvents") => {
                Some(Fault::Status(422, 0))
            }
            other => other,
        };
        if let Some(fault) = fault {
            self.set_status(number, if let Fault::Status(code, _) = fault { code } else { 200 });
            return (&*stream).write_all(response(fault).as_bytes());
        }
        let mut target = target;
        if request.verb() == "list" {
            self.wait(behaviour.page_delay, |_| false);
            if let (Some(page), Some(limit)) = (behaviour.page, request.query.remove("limit")) {
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
        let forwarded = self.forward(number, &request, &mut upstream, stream);
        self.lock().open.remove(&number);
        forwarded
    }

    fn forward(
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
                self.set_status(
                    number,
                    status.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0),
                );
            }
            let mut state = self.lock();
            while state.behaviour.stalled {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            // The first chunk contains the head.
            let cut = begun && request.verb() == "watch" && state.cuts.remove(&request.path);
            if cut {
                state.behaviour.down = true;
            } else {
                state.requests[number].bytes += length as u64;
            }
            drop(state);
            begun = true;
            if cut {
                to.write_all(&piece[..length / 2])?;
                self.changed.notify_all();
                return Ok(());
            }
            to.write_all(&piece[..length])?;
        }
    }

    fn set_status(&self, number: usize, status: u16) {
        self.lock().requests[number].status = status;
        self.changed.notify_all();
    }
}

/// Parses a request line. Also returns the target, unchanged.
fn parse(line: &str) -> (Request, String) {
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let (method, path) = (method.to_owned(), path.to_owned());
    (Request { at: Instant::now(), method, path, query, status: 0, bytes: 0 }, target.to_owned())
}

fn response(fault: Fault) -> String {
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
