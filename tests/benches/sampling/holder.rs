//! Processes that keep connections open. There are several, because one process may have only 20,000 descriptors.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use longwave_testing::gate::raise_open_files;

/// Maximum number of connections in one process.
const PAIRS: usize = 9_000;

/// First argument of a holder. Its index and the number of connections follow.
const HOLD: &str = "--hold-connections";

/// All processes.
#[derive(Default)]
pub struct Holders(Vec<Holder>);

struct Holder {
    pairs: usize,
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Returns whether this process was started as a holder.
pub fn is_holder() -> bool {
    std::env::args().any(|argument| argument == HOLD)
}

/// Keeps connections open until stdin is closed. Each line of stdin is the number of connections to make busy.
pub fn hold() {
    let arguments: Vec<String> = std::env::args().skip_while(|argument| argument != HOLD).skip(1).collect();
    let (number, pairs): (u32, usize) = (arguments[0].parse().unwrap(), arguments[1].parse().unwrap());
    raise_open_files();
    // Each process has its own address, so that there are enough ports.
    let host = Ipv4Addr::from(0x7f01_0001 + (number << 8));
    let listener = TcpListener::bind((host, 0)).unwrap();
    let to: SocketAddr = listener.local_addr().unwrap();
    let mut connections: Vec<(TcpStream, TcpStream)> = (0..pairs)
        .map(|_| {
            let client = TcpStream::connect(to).unwrap();
            let (server, _) = listener.accept().unwrap();
            // Closes with a reset, so that nothing is left in TIME_WAIT.
            socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
            (client, server)
        })
        .collect();
    println!("held");
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let busy: usize = line.parse().unwrap();
        for (client, server) in &mut connections[..busy] {
            client.write_all(&[1]).unwrap();
            server.read_exact(&mut [0]).unwrap();
        }
        println!("done");
    }
}

// === impl Holders ===

impl Holders {
    /// Opens connections until there are `sockets` sockets.
    pub fn grow_to(&mut self, sockets: usize) {
        loop {
            let missing = sockets / 2 - self.0.iter().map(|holder| holder.pairs).sum::<usize>();
            if missing == 0 {
                break;
            }
            self.0.push(Holder::start(self.0.len(), missing.min(PAIRS)));
        }
    }

    /// Sends a byte on `percent` of the connections.
    pub fn make_busy(&mut self, percent: usize) {
        if percent > 0 {
            for holder in &mut self.0 {
                holder.make_busy(holder.pairs * percent / 100);
            }
        }
    }
}

// === impl Holder ===

impl Holder {
    fn start(number: usize, pairs: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([HOLD, &number.to_string(), &pairs.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        answers.read_line(&mut String::new()).unwrap();
        Self { pairs, child, commands, answers }
    }

    fn make_busy(&mut self, pairs: usize) {
        writeln!(self.commands, "{pairs}").unwrap();
        self.answers.read_line(&mut String::new()).unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
