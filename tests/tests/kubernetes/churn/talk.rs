//! Program of the pods of [`super`]. Each pair of client and server exchanges data all the time, on one long connection and on short ones.
//! Each end writes its name, the name that its peer sent, and its bytes to a file on the node. The file remains when the pod is deleted.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

/// `TALK_LISTEN=7300`: serves on that port.
pub const LISTEN: &str = "TALK_LISTEN";
/// `TALK_TO=web=10.96.0.201:80,store=10.244.0.9:7400`: connects to each.
pub const TARGETS: &str = "TALK_TO";
/// If set, SIGTERM has no effect, because the kernel ignores it for the first process of a container. Otherwise SIGTERM closes the open
/// connections, and then the process ends.
pub const STUBBORN: &str = "TALK_STUBBORN";
/// Name of the pod, from the downward API.
pub const POD: &str = "POD_NAME";
/// Address of the pod, from the downward API.
pub const ADDRESS: &str = "POD_IP";
/// Name of the workload in the test.
pub const WORKLOAD: &str = "WORKLOAD";
/// Mount point of the folder of the node.
pub const FOLDER: &str = "/reports";

/// Size of the greeting that each end sends first: the name of its pod, padded with spaces.
const GREETING: usize = 64;
/// Time between two requests, and between two connections.
const PAUSE: Duration = Duration::from_millis(250);
/// Maximum wait for the peer.
const PEER_LIMIT: Duration = Duration::from_secs(5);

static STOPPING: AtomicBool = AtomicBool::new(false);
static NUMBER: AtomicU64 = AtomicU64::new(0);
static REPORTER: OnceLock<Reporter> = OnceLock::new();
/// Open connections of the server, by number.
static OPEN: Mutex<BTreeMap<u64, TcpStream>> = Mutex::new(BTreeMap::new());

/// A line of a report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Line {
    /// The pod has started.
    Start {
        /// Name of the pod.
        pod: String,
        /// Name of the workload.
        workload: String,
        /// Address of the pod.
        address: IpAddr,
        /// Nanoseconds since the epoch.
        at: u64,
    },
    /// The peer has sent its name.
    Met(Talk),
    /// The connection is closed.
    Closed(Talk),
}

/// What one end observed of a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Talk {
    /// Pod of this end.
    pub pod: String,
    /// Name in `TALK_TO`. Empty at the server.
    pub target: String,
    /// Whether this is the long connection.
    pub long: bool,
    pub local: SocketAddr,
    pub peer: SocketAddr,
    /// Name of the pod that the peer sent. Empty if it sent none.
    pub other: String,
    pub written: u64,
    pub read: u64,
    /// Nanoseconds since the epoch.
    pub at: u64,
}

struct Reporter {
    pod: String,
    file: Mutex<File>,
}

/// One end of a connection, which counts its bytes.
struct End {
    stream: TcpStream,
    talk: Talk,
}

/// Returns whether the environment contains a port or targets.
pub fn is_configured() -> bool {
    std::env::var(LISTEN).is_ok() || std::env::var(TARGETS).is_ok()
}

/// Runs client and server until the process is stopped.
pub fn main() -> ! {
    let listen = std::env::var(LISTEN).ok();
    let targets = std::env::var(TARGETS).ok();
    let pod = std::env::var(POD).unwrap();
    let path = format!("{FOLDER}/{pod}.jsonl");
    let file = Mutex::new(OpenOptions::new().create(true).append(true).open(path).unwrap());
    let reporter = REPORTER.get_or_init(|| Reporter { pod, file });
    // Reported before the first connection, because the test finds the owner of an address by this line.
    reporter.report(&Line::Start {
        pod: reporter.pod.clone(),
        workload: std::env::var(WORKLOAD).unwrap(),
        address: std::env::var(ADDRESS).unwrap().parse().unwrap(),
        at: now(),
    });
    if std::env::var(STUBBORN).is_err() {
        std::thread::spawn(stop_on_sigterm);
    }
    if let Some(port) = listen {
        serve(port.parse().unwrap());
    }
    let mut threads = Vec::new();
    for target in targets.unwrap_or_default().split(',') {
        let (name, address) = target.split_once('=').unwrap();
        for long in [true, false] {
            let (name, address): (_, SocketAddr) = (name.to_owned(), address.parse().unwrap());
            threads.push(std::thread::spawn(move || connect_repeatedly(&name, address, long)));
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    std::process::exit(0);
}

/// Returns the nanoseconds since the epoch.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// Stops on SIGTERM. Clients end after their current request. Servers close the write direction of all connections, and exit when the
/// clients have closed theirs, after at most 3 s.
fn stop_on_sigterm() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { signal(SignalKind::terminate()).unwrap().recv().await });
    STOPPING.store(true, SeqCst);
    if std::env::var(LISTEN).is_err() {
        return;
    }
    OPEN.lock().unwrap().values().for_each(close_write_direction);
    for _ in 0..100 {
        if OPEN.lock().unwrap().is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    std::process::exit(0);
}

fn close_write_direction(stream: &TcpStream) {
    // Fails if the connection is closed.
    let _ = stream.shutdown(Shutdown::Write);
}

fn serve(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        std::thread::spawn(move || {
            // If the connection is closed already, only the client reports it.
            let Ok(mut end) = End::new(stream, "", false) else { return };
            let number = NUMBER.fetch_add(1, SeqCst);
            if let Ok(stream) = end.stream.try_clone() {
                OPEN.lock().unwrap().insert(number, stream);
            }
            if STOPPING.load(SeqCst) {
                close_write_direction(&end.stream);
            }
            if end.respond().is_err() {
                let _ = io::copy(&mut end, &mut io::sink());
            }
            end.close();
            OPEN.lock().unwrap().remove(&number);
        });
    }
}

fn connect_repeatedly(target: &str, address: SocketAddr, long: bool) {
    while !STOPPING.load(SeqCst) {
        if let Ok(stream) = TcpStream::connect_timeout(&address, PEER_LIMIT)
            && let Ok(mut end) = End::new(stream, target, long)
        {
            if let Err(error) = end.send_requests(long)
                && error.kind() != ErrorKind::UnexpectedEof
            {
                // Without a reset, the kernel would retransmit for minutes.
                let socket = socket2::SockRef::from(&end.stream);
                let _ = socket.set_linger(Some(Duration::ZERO));
            }
            end.close();
        }
        std::thread::sleep(PAUSE);
    }
}

// === impl End ===

impl End {
    fn new(stream: TcpStream, target: &str, long: bool) -> io::Result<Self> {
        stream.set_read_timeout(Some(PEER_LIMIT))?;
        stream.set_write_timeout(Some(PEER_LIMIT))?;
        let talk = Talk {
            pod: REPORTER.get().map(|reporter| reporter.pod.clone()).unwrap_or_default(),
            target: target.to_owned(),
            long,
            local: stream.local_addr()?,
            peer: stream.peer_addr()?,
            other: String::new(),
            written: 0,
            read: 0,
            at: now(),
        };
        Ok(Self { stream, talk })
    }

    /// Receives the name of the peer, and reports it.
    fn receive_greeting(&mut self) -> io::Result<()> {
        let mut greeting = [0; GREETING];
        self.read_exact(&mut greeting)?;
        self.talk.other = String::from_utf8_lossy(&greeting).trim_end().to_owned();
        report(&Line::Met(Talk { at: now(), ..self.talk.clone() }));
        Ok(())
    }

    fn send_greeting(&mut self) -> io::Result<()> {
        let name = format!("{:GREETING$}", self.talk.pod);
        self.write_all(&name.as_bytes()[..GREETING])
    }

    /// Sends requests until the process stops. On a short connection it sends one. Then waits until both directions are closed.
    fn send_requests(&mut self, long: bool) -> io::Result<()> {
        self.send_greeting()?;
        self.receive_greeting()?;
        for round in 0.. {
            let size = 500 + NUMBER.fetch_add(37, SeqCst) % 4_000;
            let wanted = size * 3 + round;
            let mut request = [size.to_be_bytes(), wanted.to_be_bytes()].concat();
            request.resize(request.len() + usize::try_from(size).unwrap(), b'q');
            self.write_all(&request)?;
            self.read_exact(&mut vec![0; usize::try_from(wanted).unwrap()])?;
            if !long || STOPPING.load(SeqCst) {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        self.stream.shutdown(Shutdown::Write)?;
        io::copy(self, &mut io::sink())?;
        Ok(())
    }

    /// Responds until the client closes.
    fn respond(&mut self) -> io::Result<()> {
        self.receive_greeting()?;
        self.send_greeting()?;
        loop {
            let mut head = [0; 16];
            self.read_exact(&mut head)?;
            let number = |half: &[u8]| u64::from_be_bytes(half.try_into().unwrap());
            let (size, wanted) = (number(&head[..8]), number(&head[8..]));
            self.read_exact(&mut vec![0; usize::try_from(size).unwrap()])?;
            self.write_all(&vec![b'a'; usize::try_from(wanted).unwrap()])?;
        }
    }

    /// Reports the connection, and then closes it. In this order, the report exists when the peer receives the FIN.
    fn close(mut self) {
        self.talk.at = now();
        report(&Line::Closed(self.talk));
    }
}

impl Read for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.talk.read += read as u64;
        Ok(read)
    }
}

impl Write for End {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(buffer)?;
        self.talk.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Reporter ===

impl Reporter {
    /// Appends a line to the report.
    fn report(&self, line: &Line) {
        let line = serde_json::to_string(line).unwrap() + "\n";
        self.file.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }
}

fn report(line: &Line) {
    if let Some(reporter) = REPORTER.get() {
        reporter.report(line);
    }
}
