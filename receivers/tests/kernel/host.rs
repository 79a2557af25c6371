//! Helpers of the tests: a handle of the kernel side, sockets and their cookies.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longwave_ebpf_abi::{ConnectionEvent, ListenEvent, kind};
use longwave_receivers::bpf::kernel::{Kernel, Options, Transition};
use longwave_testing::gate;

/// Loads the programs with these options. Skips the test if this host or user cannot.
pub fn kernel(options: &Options) -> Kernel {
    Kernel::load(options).unwrap_or_else(|error| gate::missing(&error.to_string(), "LONGWAVE_REQUIRE_BPF"))
}

/// Time limit of a wait for the kernel or another process.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Waits until no other test starts processes. Between `fork` and `exec` a new process has every descriptor of this one.
pub fn forks() -> MutexGuard<'static, ()> {
    static FORKS: Mutex<()> = Mutex::new(());
    FORKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects to a listener. Returns the client and the server socket.
pub fn connect(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

pub fn listen() -> TcpListener {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
}

pub fn cookie(socket: &impl AsFd) -> u64 {
    rustix::net::sockopt::socket_cookie(socket).unwrap()
}

/// Events drained from the transitions ring.
#[derive(Default)]
pub struct SeenEvents {
    pub opens: Vec<ConnectionEvent>,
    pub closes: Vec<ConnectionEvent>,
    pub listens: Vec<ListenEvent>,
}

impl SeenEvents {
    pub fn drain(&mut self, kernel: &mut Kernel) {
        kernel.drain_transitions(&mut |transition| match transition {
            Transition::Connection(event) if event.kind == kind::OPEN => self.opens.push(*event),
            Transition::Connection(event) => self.closes.push(*event),
            Transition::Listen(event) => self.listens.push(*event),
        });
    }

    pub fn closes_of(&self, cookie: u64) -> Vec<ConnectionEvent> {
        self.closes.iter().filter(|event| event.cookie == cookie).copied().collect()
    }
}

/// Runs one pass and returns its events.
pub fn pass(kernel: &mut Kernel) -> Vec<ConnectionEvent> {
    let mut events = Vec::new();
    kernel.pass(&mut |event| events.push(*event)).unwrap();
    events
}

/// Returns the payload bytes that were sent, acknowledged or not.
pub fn sent(event: &ConnectionEvent, client: bool) -> u64 {
    let counters = &event.counters;
    let fin_queued = matches!(event.state, 4 | 5 | 6 | 9 | 11);
    let fin_sent = fin_queued && counters.snd_nxt == counters.write_seq;
    counters.bytes_acked + u64::from(counters.snd_nxt.wrapping_sub(counters.snd_una))
        - u64::from(client)
        - u64::from(fin_sent)
}

/// Returns the payload bytes that were received.
pub fn received(event: &ConnectionEvent) -> u64 {
    event.counters.bytes_received - u64::from(event.sk_flags >> 1 & 1)
}
