//! A server of the test on the node, to which pods send their names.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longwave_tests::serve::serve_each;
use serde_json::{Map, Value, json};

/// The server. It listens until the process ends.
pub struct Greeter {
    /// Address of the server.
    pub address: SocketAddr,
    log: Arc<CallLog>,
}

/// A connection of a pod.
#[derive(Clone, Debug)]
pub struct Call {
    /// Address and port of the client.
    pub from: SocketAddr,
    /// Name of the pod that it sent.
    pub pod: String,
    /// Time in seconds since the epoch.
    pub at: u64,
}

#[derive(Default)]
struct CallLog {
    calls: Mutex<Vec<Call>>,
    changed: Condvar,
}

// === impl Greeter ===

impl Greeter {
    pub fn start(ip: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(CallLog::default());
        let shared = Arc::clone(&log);
        // Fails if the pod is killed.
        serve_each(listener, move |stream| drop(greet(stream, &shared)));
        Self { address, log }
    }

    /// Waits for calls that satisfy `done`.
    pub fn wait(&self, what: &str, limit: Duration, mut done: impl FnMut(&[Call]) -> bool) {
        let calls = self.log.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let (calls, timeout) = self
            .log
            .changed
            .wait_timeout_while(calls, limit, |calls| !done(calls))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "no such call within {limit:?}: {what}; {} calls", calls.len());
    }

    /// Waits for a call of a pod whose name starts with `name`.
    pub fn await_call(&self, name: &str, limit: Duration) {
        self.wait(name, limit, |calls| calls.iter().any(|call| call.pod.starts_with(name)));
    }

    pub fn calls(&self) -> Vec<Call> {
        self.log.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asserts that every line that names a pod has the name that the pod sent. Returns the number of these lines.
    pub fn assert_right_names(&self, lines: &[Map<String, Value>]) -> usize {
        let mut pods: HashMap<SocketAddr, Option<String>> = HashMap::new();
        for call in self.calls() {
            // Two pods with the same address may have used the same port.
            let sent = pods.entry(call.from).or_insert_with(|| Some(call.pod.clone()));
            if sent.as_ref() != Some(&call.pod) {
                *sent = None;
            }
        }
        let (mut named, mut wrong) = (0, Vec::new());
        for line in lines {
            let Some(pod) = source(line).and_then(|from| pods.get(&from)?.as_ref()) else { continue };
            if let Some(name) = line.get("source.k8s.pod.name") {
                named += 1;
                if name != pod {
                    let what =
                        ["timestamp", "event_name", "longwave.connection.start_time", "source.address"];
                    wrong.push(format!("{pod} is named {name}: {:?}", what.map(|key| line.get(key))));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        named
    }
}

/// Returns address and port of the client.
pub fn source(line: &Map<String, Value>) -> Option<SocketAddr> {
    let address = line.get("source.address")?.as_str()?.parse().ok()?;
    Some(SocketAddr::new(address, u16::try_from(line.get("source.port")?.as_u64()?).ok()?))
}

/// Responds to `GET /<pod>` and closes the connection. Keeps the connection of `GET /<pod>/stay` open until the pod closes it.
fn greet(stream: TcpStream, log: &CallLog) -> std::io::Result<()> {
    let from = stream.peer_addr()?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let (pod, stays) = path.split_once('/').map_or((path.as_str(), false), |(pod, _)| (pod, true));
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let call = Call { from, pod: pod.to_owned(), at };
    log.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    log.changed.notify_all();
    if stays {
        reader.read_to_end(&mut Vec::new())?;
        return Ok(());
    }
    while line.trim_end() != "" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    (&stream).write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nhi\n")
}

/// Returns the spec of a pod that calls `times` times, or, if `times` is `None`, until it is deleted.
pub fn caller(greeter: SocketAddr, times: Option<u32>) -> Value {
    let call = format!("wget -q -O- http://{greeter}/$HOSTNAME");
    pod_spec(&match times {
        None => format!("while true; do {call}; sleep 0.3; done"),
        Some(times) => format!("for i in $(seq {times}); do {call}; done; exec sleep 10000"),
    })
}

/// Returns the spec of a pod with one long connection.
pub fn stayer(greeter: SocketAddr) -> Value {
    let lines = "(echo \"GET /$HOSTNAME/stay HTTP/1.0\"; while sleep 1; do echo; done)";
    pod_spec(&format!("{lines} | nc {} {}", greeter.ip(), greeter.port()))
}

/// Returns the spec of a pod that runs this script with busybox. The pod is killed 1 s after SIGTERM.
pub fn pod_spec(script: &str) -> Value {
    json!({
        "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": "main",
            "image": "longwave/busybox:1",
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", format!("HOSTNAME=$(hostname); {script}")],
        }],
    })
}

/// Returns the manifest of a pod.
pub fn pod(name: &str, spec: Value) -> String {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}).to_string()
}

/// Returns the manifest of a Deployment.
pub fn deployment(name: &str, replicas: u32, spec: Value) -> String {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    })
    .to_string()
}
