//! Loads that run until they are dropped. Each CPU has a thread with its own network namespace. A thread has both ends of its connections,
//! so that it never waits for another thread.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use longwave_testing::netns::{Netns, enter};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Kind of a load.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Opens and closes connections without data.
    ConnectClose,
    /// Sends 100 bytes and receives 100, on one connection.
    RequestResponse,
    /// Sends 64 KiB and receives them.
    Bulk,
    /// Sends 64 times 1,024 bytes and receives them.
    SmallWrites,
}

/// Threads that run until this is dropped.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    namespaces: Vec<Netns>,
}

/// Maximum number of connections in TIME_WAIT. With more, the search for a free port would take most of the time.
const MAX_TIME_WAIT: &str = "1024";

#[derive(Default)]
struct Shared {
    done: AtomicU64,
    /// When it changes, threads replace their connections, because some hooks apply only to new ones.
    epoch: AtomicU64,
    stop: AtomicBool,
}

const BULK: usize = 64 << 10;
const SMALL: usize = 1024;
const SMALL_WRITES: usize = 64;

// === impl Work ===

impl Work {
    /// All kinds, in the order of the report.
    pub const ALL: [Self; 4] = [Self::ConnectClose, Self::RequestResponse, Self::Bulk, Self::SmallWrites];

    /// Name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectClose => "connect/close",
            Self::RequestResponse => "request/response",
            Self::Bulk => "bulk",
            Self::SmallWrites => "1 KB writes",
        }
    }

    /// Unit of the load.
    pub fn unit(self) -> &'static str {
        match self {
            Self::ConnectClose => "connection",
            Self::RequestResponse => "request",
            Self::Bulk => "64 KiB",
            Self::SmallWrites => "write",
        }
    }
}

// === impl Load ===

impl Load {
    /// Starts a thread on each CPU.
    pub fn start(work: Work, cpus: &[usize]) -> Self {
        let shared = Arc::new(Shared::default());
        let namespaces: Vec<Netns> = cpus.iter().map(|_| Netns::new()).collect();
        let start = |(&cpu, namespace): (&usize, &Netns)| {
            namespace.sysctl("net/ipv4/tcp_max_tw_buckets", MAX_TIME_WAIT);
            let (shared, path) = (Arc::clone(&shared), namespace.path());
            std::thread::spawn(move || {
                enter(&path, || {
                    let mut set = CpuSet::new();
                    set.set(cpu);
                    sched_setaffinity(None, &set).unwrap();
                    match work {
                        Work::ConnectClose => shared.connect_close(),
                        Work::RequestResponse => shared.on_one_connection(exchange),
                        Work::Bulk => shared.on_one_connection(bulk),
                        Work::SmallWrites => shared.on_one_connection(small_writes),
                    }
                });
            })
        };
        let threads = cpus.iter().zip(&namespaces).map(start).collect();
        Self { shared, threads, namespaces }
    }

    /// Returns the network namespace of the first thread.
    pub fn namespace(&self) -> &Netns {
        &self.namespaces[0]
    }

    /// Returns the number of units so far, of all threads.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Returns the number of threads.
    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Makes the threads replace the connections that they reuse.
    pub fn renew(&self) {
        self.shared.epoch.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn connect_close(&self) {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut cycle = 0_u32;
        while !self.stopped() {
            // Uses another destination each time, so that no tuple is used again while it is in TIME_WAIT.
            cycle = cycle.wrapping_add(1);
            let host = Ipv4Addr::from(0x7f00_0000 | (cycle % 0x00ff_fff0 + 2));
            let client = TcpStream::connect(SocketAddr::from((host, port))).unwrap();
            let (server, _) = listener.accept().unwrap();
            drop(client);
            drop(server);
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn on_one_connection(&self, unit: fn(&mut TcpStream, &mut TcpStream, &mut [u8]) -> u64) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut buffer = vec![7; BULK];
        while !self.stopped() {
            let epoch = self.epoch.load(Ordering::Relaxed);
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            // The receive buffer grows with the traffic. Without these increasing sizes, a thread that has both ends would block.
            for size in (1..=BULK / SMALL).map(|part| part * SMALL) {
                client.write_all(&buffer[..size]).unwrap();
                server.read_exact(&mut buffer[..size]).unwrap();
            }
            while !self.stopped() && self.epoch.load(Ordering::Relaxed) == epoch {
                self.done.fetch_add(unit(&mut client, &mut server, &mut buffer), Ordering::Relaxed);
            }
        }
    }
}

fn exchange(client: &mut TcpStream, server: &mut TcpStream, buffer: &mut [u8]) -> u64 {
    let message = &mut buffer[..100];
    client.write_all(message).unwrap();
    server.read_exact(message).unwrap();
    server.write_all(message).unwrap();
    client.read_exact(message).unwrap();
    1
}

fn bulk(client: &mut TcpStream, server: &mut TcpStream, buffer: &mut [u8]) -> u64 {
    client.write_all(buffer).unwrap();
    server.read_exact(buffer).unwrap();
    1
}

fn small_writes(client: &mut TcpStream, server: &mut TcpStream, buffer: &mut [u8]) -> u64 {
    for _ in 0..SMALL_WRITES {
        client.write_all(&buffer[..SMALL]).unwrap();
    }
    server.read_exact(&mut buffer[..SMALL * SMALL_WRITES]).unwrap();
    SMALL_WRITES as u64
}
