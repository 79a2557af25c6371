//! What runs in the pods of [`super`]: they talk all the time, each pair on one long connection and on short ones. What each end knows it
//! tells into a file on the node, which outlives the pod: its own name, the name that the other end gave itself, its bytes.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

/// `TALK_LISTEN=7300`: answers on that port.
pub const LISTEN: &str = "TALK_LISTEN";
/// `TALK_TO=web=10.96.0.201:80,store=10.244.0.9:7400`: talks to each.
pub const TARGETS: &str = "TALK_TO";
/// Set: SIGTERM is ignored, which is what the kernel does for a container's first process. Else what is open is ended in order.
pub const STUBBORN: &str = "TALK_STUBBORN";
/// Who it is, by the downward API, and the workload as the test calls it.
pub const POD: &str = "POD_NAME";
/// See [`POD`].
pub const ADDRESS: &str = "POD_IP";
/// See [`POD`].
pub const WORKLOAD: &str = "WORKLOAD";
/// The node's folder in the pod.
pub const FOLDER: &str = "/told";

/// The first bytes of either side: its pod's name, filled up with spaces.
const GREETING: usize = 64;
/// Between two requests, and between two connections.
const PAUSE: Duration = Duration::from_millis(250);
/// A peer that is gone without a word is given up.
const PATIENCE: Duration = Duration::from_secs(5);

static STOPPING: AtomicBool = AtomicBool::new(false);
static NUMBER: AtomicU64 = AtomicU64::new(0);
static TELLER: OnceLock<Teller> = OnceLock::new();
/// Connections of the one that answers, by number.
static OPEN: Mutex<BTreeMap<u64, TcpStream>> = Mutex::new(BTreeMap::new());

/// What an end tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Line {
    /// It runs.
    Start {
        /// Its name.
        pod: String,
        /// Its workload's.
        workload: String,
        /// Its address.
        address: IpAddr,
        /// Nanoseconds since the epoch.
        at: u64,
    },
    /// The other end has said who it is.
    Met(Talk),
    /// The connection is closed.
    Closed(Talk),
}

/// What an end knows of a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Talk {
    /// Whose end it is.
    pub pod: String,
    /// Who was asked, as `TALK_TO` calls it; empty at the end that answers.
    pub target: String,
    /// Whether it lasts.
    pub long: bool,
    pub local: SocketAddr,
    pub peer: SocketAddr,
    /// The pod at the other end, by its own words; empty if it said nothing.
    pub other: String,
    pub written: u64,
    pub read: u64,
    /// Nanoseconds since the epoch.
    pub at: u64,
}

struct Teller {
    pod: String,
    file: Mutex<File>,
}

/// A connection's own end, which counts.
struct End {
    stream: TcpStream,
    talk: Talk,
}

/// Whether the environment says what to do.
pub fn is_configured() -> bool {
    std::env::var(LISTEN).is_ok() || std::env::var(TARGETS).is_ok()
}

/// Talks until the process is stopped.
pub fn main() -> ! {
    let listen = std::env::var(LISTEN).ok();
    let targets = std::env::var(TARGETS).ok();
    let pod = std::env::var(POD).unwrap();
    let path = format!("{FOLDER}/{pod}.jsonl");
    let file = Mutex::new(OpenOptions::new().create(true).append(true).open(path).unwrap());
    let teller = TELLER.get_or_init(|| Teller { pod, file });
    // Before the first connection: who asks for an address's owner finds it.
    teller.tell(&Line::Start {
        pod: teller.pod.clone(),
        workload: std::env::var(WORKLOAD).unwrap(),
        address: std::env::var(ADDRESS).unwrap().parse().unwrap(),
        at: now(),
    });
    if std::env::var(STUBBORN).is_err() {
        std::thread::spawn(stop_when_told);
    }
    if let Some(port) = listen {
        serve(port.parse().unwrap());
    }
    let mut threads = Vec::new();
    for target in targets.unwrap_or_default().split(',') {
        let (name, address) = target.split_once('=').unwrap();
        for long in [true, false] {
            let (name, address): (_, SocketAddr) = (name.to_owned(), address.parse().unwrap());
            threads.push(std::thread::spawn(move || ask_on_and_on(&name, address, long)));
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    std::process::exit(0);
}

/// Nanoseconds since the epoch.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// On SIGTERM those that ask end by themselves; those that answer say that there is no more to come, and leave when all have left.
fn stop_when_told() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { signal(SignalKind::terminate()).unwrap().recv().await });
    STOPPING.store(true, SeqCst);
    if std::env::var(LISTEN).is_err() {
        return;
    }
    OPEN.lock().unwrap().values().for_each(say_no_more);
    for _ in 0..100 {
        if OPEN.lock().unwrap().is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    std::process::exit(0);
}

fn say_no_more(stream: &TcpStream) {
    // It may be closed already.
    let _ = stream.shutdown(Shutdown::Write);
}

fn serve(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        std::thread::spawn(move || {
            // One that is gone before anything was said: who asked tells of it.
            let Ok(mut end) = End::new(stream, "", false) else { return };
            let number = NUMBER.fetch_add(1, SeqCst);
            if let Ok(stream) = end.stream.try_clone() {
                OPEN.lock().unwrap().insert(number, stream);
            }
            if STOPPING.load(SeqCst) {
                say_no_more(&end.stream);
            }
            if end.answer().is_err() {
                let _ = io::copy(&mut end, &mut io::sink());
            }
            end.close();
            OPEN.lock().unwrap().remove(&number);
        });
    }
}

fn ask_on_and_on(target: &str, address: SocketAddr, long: bool) {
    while !STOPPING.load(SeqCst) {
        if let Ok(stream) = TcpStream::connect_timeout(&address, PATIENCE)
            && let Ok(mut end) = End::new(stream, target, long)
        {
            if let Err(error) = end.ask(long)
                && error.kind() != ErrorKind::UnexpectedEof
            {
                // The peer is silent: without this the kernel would go on asking it, for minutes.
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
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let talk = Talk {
            pod: TELLER.get().map(|teller| teller.pod.clone()).unwrap_or_default(),
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

    fn meet(&mut self) -> io::Result<()> {
        let mut greeting = [0; GREETING];
        self.read_exact(&mut greeting)?;
        self.talk.other = String::from_utf8_lossy(&greeting).trim_end().to_owned();
        tell(&Line::Met(Talk { at: now(), ..self.talk.clone() }));
        Ok(())
    }

    fn greet(&mut self) -> io::Result<()> {
        let name = format!("{:GREETING$}", self.talk.pod);
        self.write_all(&name.as_bytes()[..GREETING])
    }

    /// Requests and answers until told to stop, or one if it is not to last; then the end of both directions.
    fn ask(&mut self, long: bool) -> io::Result<()> {
        self.greet()?;
        self.meet()?;
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

    /// Answers until the other end closes.
    fn answer(&mut self) -> io::Result<()> {
        self.meet()?;
        self.greet()?;
        loop {
            let mut head = [0; 16];
            self.read_exact(&mut head)?;
            let number = |half: &[u8]| u64::from_be_bytes(half.try_into().unwrap());
            let (size, wanted) = (number(&head[..8]), number(&head[8..]));
            self.read_exact(&mut vec![0; usize::try_from(size).unwrap()])?;
            self.write_all(&vec![b'a'; usize::try_from(wanted).unwrap()])?;
        }
    }

    /// Tells before it closes: when the peer knows, it is told already.
    fn close(mut self) {
        self.talk.at = now();
        tell(&Line::Closed(self.talk));
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

// === impl Teller ===

impl Teller {
    /// A line a call.
    fn tell(&self, line: &Line) {
        let line = serde_json::to_string(line).unwrap() + "\n";
        self.file.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }
}

fn tell(line: &Line) {
    if let Some(teller) = TELLER.get() {
        teller.tell(line);
    }
}
