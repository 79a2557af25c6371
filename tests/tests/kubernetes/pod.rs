//! Program of the test's pods: this test binary, started as [`ROLE`]. Its environment says whether it is a server or a client. Each end
//! counts its own bytes and reports on stdout, one JSON object a connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::churn::talk;

/// First argument of the test binary in a pod.
pub const ROLE: &str = "--pod";

/// `LISTEN=7000`: serves on that port until it is killed.
const LISTEN: &str = "LISTEN";
/// `TARGETS=web=10.96.0.7:80,db=10.244.0.9:7000`: asks each, `ROUNDS` times.
const TARGETS: &str = "TARGETS";
const ROUNDS: &str = "ROUNDS";
/// Whether it stays when it has asked.
const STAY: &str = "STAY";
/// The last line of one that asks.
pub const DONE: &str = "{\"done\":true}";
/// The first line of one that serves.
pub const LISTENING: &str = "{\"listening\":true}";

/// What one end knows of one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Who was asked, as `TARGETS` calls it; empty at the end that serves.
    pub target: String,
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub written: u64,
    pub read: u64,
}

/// The accounts in a pod's log.
pub fn accounts(log: &str) -> Vec<Account> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Runs this process as the environment says; see also [`talk::main`].
pub fn main() {
    if talk::is_configured() {
        talk::main();
    }
    if let Ok(port) = std::env::var(LISTEN) {
        serve(port.parse().unwrap(), println);
    }
    if let Ok(targets) = std::env::var(TARGETS) {
        let rounds: u32 = std::env::var(ROUNDS).map_or(1, |rounds| rounds.parse().unwrap());
        for round in 0..rounds {
            for target in targets.split(',') {
                let (name, address) = target.split_once('=').unwrap();
                // No two connections move the same number of bytes.
                let bytes = 10_000 + 977 * u64::from(round) + 131 * name.len() as u64;
                println(&told(&ask(name, address.parse().unwrap(), bytes)));
            }
        }
        println(DONE);
        while std::env::var(STAY).is_ok() {
            std::thread::park();
        }
    }
}

/// Serves for as long as the process runs, and tells each connection's account.
pub fn serve(port: u16, tell: fn(&str)) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    tell(LISTENING);
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        std::thread::spawn(move || tell(&told(&answer(stream))));
    }
}

/// The request says how many bytes follow it, and how many are wanted.
fn ask(target: &str, address: SocketAddr, bytes: u64) -> Account {
    let mut stream = connect(address);
    let (local, peer) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let wanted = bytes * 3;
    let mut request = [bytes.to_be_bytes(), wanted.to_be_bytes()].concat();
    request.resize(request.len() + usize::try_from(bytes).unwrap(), b'q');
    stream.write_all(&request).unwrap();
    let mut read = vec![0; usize::try_from(wanted).unwrap()];
    stream.read_exact(&mut read).unwrap();
    Account { target: target.to_owned(), local, peer, written: request.len() as u64, read: wanted }
}

/// kube-proxy may not have heard of the service's pods yet.
fn connect(address: SocketAddr) -> TcpStream {
    let mut last = None;
    for _ in 0..100 {
        match TcpStream::connect_timeout(&address, Duration::from_secs(10)) {
            Ok(stream) => return stream,
            Err(error) => last = Some(error),
        }
        std::thread::sleep(Duration::from_millis(200)); // nobody tells a client that a service works now
    }
    panic!("{address}: {last:?}");
}

fn answer(mut stream: TcpStream) -> Account {
    let (local, peer) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let mut head = [0; 16];
    stream.read_exact(&mut head).unwrap();
    let number = |half: &[u8]| u64::from_be_bytes(half.try_into().unwrap());
    let (bytes, wanted) = (number(&head[..8]), number(&head[8..]));
    let mut read = vec![0; usize::try_from(bytes).unwrap()];
    stream.read_exact(&mut read).unwrap();
    stream.write_all(&vec![b'a'; usize::try_from(wanted).unwrap()]).unwrap();
    // The client closes first.
    let more = stream.read_to_end(&mut read).unwrap();
    assert_eq!(more, 0, "the client wrote more than it said");
    Account { target: String::new(), local, peer, written: wanted, read: bytes + 16 }
}

fn told(account: &Account) -> String {
    serde_json::to_string(account).unwrap()
}

/// One whole line at once, since threads write at the same time.
fn println(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}
