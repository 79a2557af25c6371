//! Program of the test's pods: this test binary, started with the argument [`ROLE`]. Its environment selects server or client. Each end
//! counts its own bytes and reports on stdout, one JSON object per connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::churn::talk;

/// First argument of the test binary in a pod.
pub const ROLE: &str = "--pod";

/// `LISTEN=7000`: serves on that port until it is killed.
const LISTEN: &str = "LISTEN";
/// `TARGETS=web=10.96.0.7:80,db=10.244.0.9:7000`: sends a request to each, `ROUNDS` times.
const TARGETS: &str = "TARGETS";
const ROUNDS: &str = "ROUNDS";
/// If set, the client keeps running after its last request.
const STAY: &str = "STAY";
/// Last line of a client.
pub const DONE: &str = "{\"done\":true}";
/// First line of a server.
pub const LISTENING: &str = "{\"listening\":true}";

/// Counts of one end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Name in `TARGETS`. Empty at the server.
    pub target: String,
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub written: u64,
    pub read: u64,
}

/// Returns the accounts in the log of a pod.
pub fn accounts(log: &str) -> Vec<Account> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Runs this process as the environment selects. See also [`talk::main`].
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
                // The number of bytes is different for each connection.
                let bytes = 10_000 + 977 * u64::from(round) + 131 * name.len() as u64;
                println(&line(&request(name, address.parse().unwrap(), bytes)));
            }
        }
        println(DONE);
        while std::env::var(STAY).is_ok() {
            std::thread::park();
        }
    }
}

/// Serves until the process ends, and reports the account of each connection.
pub fn serve(port: u16, report: fn(&str)) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    report(LISTENING);
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        std::thread::spawn(move || report(&line(&respond(stream))));
    }
}

/// Sends a request and reads the response. A request starts with its size and the size of the response.
fn request(target: &str, address: SocketAddr, bytes: u64) -> Account {
    let mut stream = connect(address);
    let (local, peer) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let wanted = bytes * 3;
    let mut sent = [bytes.to_be_bytes(), wanted.to_be_bytes()].concat();
    sent.resize(sent.len() + usize::try_from(bytes).unwrap(), b'q');
    stream.write_all(&sent).unwrap();
    let mut read = vec![0; usize::try_from(wanted).unwrap()];
    stream.read_exact(&mut read).unwrap();
    Account { target: target.to_owned(), local, peer, written: sent.len() as u64, read: wanted }
}

/// Connects. Retries, because kube-proxy may not have the endpoints of the service yet.
fn connect(address: SocketAddr) -> TcpStream {
    let mut last = None;
    for _ in 0..100 {
        match TcpStream::connect_timeout(&address, Duration::from_secs(10)) {
            Ok(stream) => return stream,
            Err(error) => last = Some(error),
        }
        std::thread::sleep(Duration::from_millis(200)); // there is no event to wait for
    }
    panic!("{address}: {last:?}");
}

fn respond(mut stream: TcpStream) -> Account {
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
    assert_eq!(more, 0, "the client sent more than it announced");
    Account { target: String::new(), local, peer, written: wanted, read: bytes + 16 }
}

fn line(account: &Account) -> String {
    serde_json::to_string(account).unwrap()
}

/// Prints a line with one write, so that the lines of two threads do not mix.
fn println(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}
