//! Connections that open and close as fast as possible, or at a fixed rate. Of each connection only the [`EndId`]s are stored.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::end::EndId;
use crate::record::Record;

/// Listeners, one for each worker. A worker has both ends of its connections, so that it never waits for another thread.
pub struct Churn {
    listeners: Vec<(Socket, u16)>,
}

/// Comparison of the closes that were reported with the connections of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of ends whose close was reported.
    pub seen: u64,
    /// Cookies of the ends whose close was reported more than once.
    pub twice: Vec<u64>,
    /// Ends whose close was not reported.
    pub missing: Vec<EndId>,
    /// Ends whose final record is not a `close`, with the event of that record.
    pub not_closed: Vec<(EndId, String)>,
}

impl Churn {
    /// Creates `workers` listeners on all addresses.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn new(workers: usize) -> Self {
        Self { listeners: (0..workers).map(|_| listen().unwrap()).collect() }
    }

    /// Ports of the listeners.
    pub fn ports(&self) -> Vec<u16> {
        self.listeners.iter().map(|(_, port)| *port).collect()
    }

    /// Configuration of a receiver that reports only these connections.
    pub fn receiver(&self, interval: &str) -> Value {
        json!({"interval": interval, "ports": self.ports()})
    }

    /// Opens and closes `cycles` connections to different addresses in 127.0.0.0/8. All workers together open at most `per_second`. Returns
    /// both ends of every connection.
    ///
    /// # Panics
    /// If a connection fails.
    pub fn run(&self, cycles: u32, per_second: Option<u32>) -> Vec<EndId> {
        let workers = u32::try_from(self.listeners.len()).unwrap();
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .listeners
                .iter()
                .zip(0..workers)
                .map(|((listener, port), worker)| {
                    let share = cycles / workers + u32::from(worker < cycles % workers);
                    let pace = per_second.map(|rate| Duration::from_secs(1) * workers / rate);
                    scope.spawn(move || work(listener, *port, worker, share, pace).unwrap())
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        })
    }

    /// Opens `together` connections and then closes them all, `rounds` times. Returns both ends of every connection.
    ///
    /// # Panics
    /// If a connection fails.
    pub fn run_together(&self, together: u32, rounds: u32) -> Vec<EndId> {
        let mut ends = Vec::new();
        let (listener, port) = &self.listeners[0];
        for round in 0..rounds {
            let mut open = Vec::new();
            for cycle in 0..together {
                let (client, server, both) = connect(listener, spread(round, cycle), *port).unwrap();
                ends.extend(both);
                open.push((client, server));
            }
        }
        ends
    }
}

fn connect(listener: &Socket, destination: Ipv4Addr, port: u16) -> io::Result<(Socket, Socket, [EndId; 2])> {
    let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    let there = SocketAddr::from((destination, port));
    client.connect(&SockAddr::from(there))?;
    let (server, from) = listener.accept()?;
    let here = from.as_socket().ok_or_else(|| io::Error::other("no IP address"))?;
    let ends = [
        EndId { cookie: client.cookie()?, local: here, peer: there, client: true },
        EndId { cookie: server.cookie()?, local: there, peer: here, client: false },
    ];
    Ok((client, server, ends))
}

fn listen() -> io::Result<(Socket, u16)> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    listener.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
    listener.listen(1024)?;
    let port = listener.local_addr()?.as_socket().map_or(0, |address| address.port());
    Ok((listener, port))
}

fn work(
    listener: &Socket,
    port: u16,
    worker: u32,
    cycles: u32,
    pace: Option<Duration>,
) -> io::Result<Vec<EndId>> {
    let mut ends = Vec::with_capacity(2 * cycles as usize);
    let start = Instant::now();
    for cycle in 0..cycles {
        let (client, server, both) = connect(listener, spread(worker, cycle), port)?;
        ends.extend(both);
        // The client closes first in one half of the connections, the server in the other.
        if cycle % 2 == 0 {
            drop(client);
            drop(server);
        } else {
            drop(server);
            drop(client);
        }
        if let Some(pace) = pace {
            let ahead = (pace * (cycle + 1)).saturating_sub(start.elapsed());
            if ahead > Duration::from_millis(1) {
                std::thread::sleep(ahead); // the scenario requires this rate
            }
        }
    }
    Ok(ends)
}

/// Returns a different address of 127.0.0.0/8 for each cycle of each worker, so that no tuple is used again while it is in TIME_WAIT.
fn spread(worker: u32, cycle: u32) -> Ipv4Addr {
    let host = (worker << 20 | (cycle & 0xf_ffff)) + 2;
    Ipv4Addr::from(0x7f00_0000 | (host & 0x00ff_ffff))
}

impl Tally {
    /// Ends whose close was not reported.
    pub fn unseen(&self) -> Vec<EndId> {
        self.missing.iter().copied().chain(self.not_closed.iter().map(|(end, _)| *end)).collect()
    }
}

/// Compares the final records with the connections of the run.
pub fn tally(run: &[EndId], records: &[Record]) -> Tally {
    let mut finals: HashMap<u64, Vec<&Record>> = run.iter().map(|end| (end.cookie, Vec::new())).collect();
    for record in records.iter().filter(|record| record.is_final()) {
        if let Some(finals) = finals.get_mut(&record.cookie()) {
            finals.push(record);
        }
    }
    let mut tally = Tally::default();
    for end in run {
        let finals = &finals[&end.cookie];
        match finals.len() {
            0 => tally.missing.push(*end),
            1 => tally.seen += 1,
            _ => {
                tally.seen += 1;
                tally.twice.push(end.cookie);
            }
        }
        for record in finals.iter().filter(|record| record.event() != "close") {
            tally.not_closed.push((*end, format!("{}: {}", record.id, record.event())));
        }
    }
    tally
}

#[cfg(test)]
mod tests;
