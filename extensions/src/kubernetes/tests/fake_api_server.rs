//! A small API server in this process that lists, streams and watches like a real one, and fails on demand.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The server. It ends with the test's runtime.
pub struct FakeApiServer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<ServerState>,
    /// Counts changes and wakes watches.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct ServerState {
    version: u64,
    /// By path and uid.
    objects: BTreeMap<(String, String), Value>,
    /// Version, path, type and object of each change.
    log: Vec<(u64, String, &'static str, Value)>,
    /// Watches from an older version get 410.
    compacted: u64,
    streams: bool,
    /// Watches of an older generation are cut.
    generation: u64,
    faults: HashMap<String, VecDeque<Fault>>,
    requests: Vec<(String, HashMap<String, String>)>,
    page_delay: Duration,
}

/// What a request gets instead of a good response.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status, with `Retry-After` if it is not 0.
    Status(u16, u64),
    /// No response, ever.
    Hang,
    /// Status 200, then silence.
    Mute,
    /// Status 200, then this text.
    Text(&'static str),
}

/// The only token that the server accepts.
pub const TOKEN: &str = "secret";
pub const PODS: &str = "/api/v1/pods";
pub const SERVICES: &str = "/api/v1/services";
pub const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

impl FakeApiServer {
    /// Listens on any port of the loopback.
    pub async fn start(streams: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, streams)
    }

    pub fn serve(listener: TcpListener, streams: bool) -> Self {
        let address = listener.local_addr().unwrap();
        let state = Mutex::new(ServerState { version: 100, streams, ..ServerState::default() });
        let shared = Arc::new(Shared { state, changed: watch::Sender::new(0) });
        let app = axum::Router::new().fallback(respond).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, shared }
    }

    /// Returns a kubeconfig for the server at `address`.
    pub fn kubeconfig(address: SocketAddr) -> tempfile::NamedTempFile {
        Self::kubeconfig_of(address, &json!({"token": TOKEN}))
    }

    /// Returns a kubeconfig with these credentials.
    pub fn kubeconfig_of(address: SocketAddr, user: &Value) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]
        });
        std::fs::write(file.path(), text.to_string()).unwrap();
        file
    }

    /// Adds or changes an object.
    pub fn put(&self, path: &str, object: &Value) {
        let mut inner = self.inner();
        let key = (path.to_owned(), object["metadata"]["uid"].as_str().unwrap().to_owned());
        let kind = if inner.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        let object = inner.log(path, kind, object);
        inner.objects.insert(key, object);
        self.changed(inner);
    }

    /// Deletes an object.
    pub fn delete(&self, path: &str, object: &Value) {
        let mut inner = self.inner();
        inner
            .objects
            .remove(&(path.to_owned(), object["metadata"]["uid"].as_str().unwrap().to_owned()))
            .unwrap();
        inner.log(path, "DELETED", object);
        self.changed(inner);
    }

    /// Cuts all watches in the middle of their responses.
    pub fn cut(&self) {
        let mut inner = self.inner();
        inner.generation += 1;
        self.changed(inner);
    }

    /// Drops the log of changes. A watch from an older version gets 410.
    pub fn compact(&self) {
        let mut inner = self.inner();
        inner.version += 1;
        inner.compacted = inner.version;
        inner.log.clear();
    }

    /// Sets the next responses for `path`.
    pub fn fail(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        self.inner().faults.entry(path.to_owned()).or_default().extend(faults);
    }

    /// Delays each page.
    pub fn slow_pages(&self, delay: Duration) {
        self.inner().page_delay = delay;
    }

    /// Returns the queries of the requests for `path`.
    pub fn requests(&self, path: &str) -> Vec<HashMap<String, String>> {
        self.inner()
            .requests
            .iter()
            .filter(|(requests, _)| requests == path)
            .map(|(_, query)| query.clone())
            .collect()
    }

    fn inner(&self) -> MutexGuard<'_, ServerState> {
        self.shared.state.lock().unwrap()
    }

    fn changed(&self, inner: MutexGuard<'_, ServerState>) {
        drop(inner);
        self.shared.changed.send_modify(|count| *count += 1);
    }
}

impl ServerState {
    fn log(&mut self, path: &str, kind: &'static str, object: &Value) -> Value {
        self.version += 1;
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.log.push((self.version, path.to_owned(), kind, object.clone()));
        object
    }

    fn of(&self, path: &str) -> Vec<Value> {
        self.objects.iter().filter(|((of, _), _)| of == path).map(|(_, object)| object.clone()).collect()
    }
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}

fn refuse(code: u16, reason: &str, after: u64) -> Response {
    let body = status(code, reason, "on demand").to_string();
    let mut response = (StatusCode::from_u16(code).unwrap(), body).into_response();
    if after > 0 {
        response.headers_mut().insert("retry-after", after.into());
    }
    response
}

async fn respond(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let path = uri.path().to_owned();
    if headers.get("authorization").is_none_or(|sent| sent != &format!("Bearer {TOKEN}")) {
        return refuse(401, "Unauthorized", 0);
    }
    let (fault, delay) = {
        let mut inner = shared.state.lock().unwrap();
        inner.requests.push((path.clone(), query.clone()));
        (inner.faults.get_mut(&path).and_then(VecDeque::pop_front), inner.page_delay)
    };
    match fault {
        Some(Fault::Status(code, after)) => return refuse(code, "", after),
        Some(Fault::Hang) => return std::future::pending().await,
        Some(Fault::Mute) => {
            return Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()).into_response();
        }
        Some(Fault::Text(text)) => return text.into_response(),
        None => {}
    }
    if query.contains_key("watch") {
        return watched(shared, path, &query);
    }
    tokio::time::sleep(delay).await;
    let inner = shared.state.lock().unwrap();
    let limit: usize = query["limit"].parse().unwrap();
    // A continue token has the version and the number of objects before it.
    let (version, from) = match query.get("continue").and_then(|next| next.split_once('.')) {
        Some((version, from)) => (version.parse().unwrap(), from.parse().unwrap()),
        None => (inner.version, 0),
    };
    if version < inner.compacted {
        return refuse(410, "Expired", 0);
    }
    let all = inner.of(&path);
    let items = all.get(from..).unwrap_or_default().iter().take(limit).cloned().collect::<Vec<_>>();
    let next = if from + items.len() < all.len() {
        format!("{version}.{}", from + items.len())
    } else {
        String::new()
    };
    json!({"kind": "List", "metadata": {"resourceVersion": version.to_string(), "continue": next}, "items": items}).to_string().into_response()
}

fn watched(shared: Arc<Shared>, path: String, query: &HashMap<String, String>) -> Response {
    let mut lines = String::new();
    let mut line =
        |kind: &str, object: Value| lines += &format!("{}\n", json!({"type": kind, "object": object}));
    let inner = shared.state.lock().unwrap();
    let mut seen = inner.version;
    let generation = inner.generation;
    if query.contains_key("sendInitialEvents") {
        if !inner.streams {
            return refuse(422, "Invalid", 0);
        }
        inner.of(&path).into_iter().for_each(|object| line("ADDED", object));
        let end = json!({"metadata": {"resourceVersion": inner.version.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}}});
        line("BOOKMARK", end);
    } else {
        seen = query["resourceVersion"].parse().unwrap();
        if seen < inner.compacted {
            line("ERROR", status(410, "Expired", "too old resource version"));
            return lines.into_response();
        }
    }
    drop(inner);
    let changed = shared.changed.subscribe();
    let state = (shared, changed, seen, Some(lines));
    let body = stream::unfold(state, move |(shared, mut changed, mut seen, first)| {
        let path = path.clone();
        async move {
            if let Some(first) = first.filter(|first| !first.is_empty()) {
                return Some((Ok(Bytes::from(first)), (shared, changed, seen, None)));
            }
            loop {
                changed.borrow_and_update();
                let mut lines = String::new();
                let before = seen;
                {
                    let inner = shared.state.lock().unwrap();
                    if inner.generation != generation {
                        let cut = std::io::Error::other("cut");
                        return Some((Err(cut), (Arc::clone(&shared), changed, seen, None)));
                    }
                    for (version, _, kind, object) in
                        inner.log.iter().filter(|(version, of, ..)| *version > before && *of == path)
                    {
                        seen = *version;
                        lines += &format!("{}\n", json!({"type": kind, "object": object}));
                    }
                }
                if !lines.is_empty() {
                    return Some((Ok(Bytes::from(lines)), (shared, changed, seen, None)));
                }
                changed.changed().await.ok()?;
            }
        }
    });
    Body::from_stream(body).into_response()
}
