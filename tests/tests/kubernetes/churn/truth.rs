//! The correct names at each time, from the reports of the pods.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::talk::{Line, Talk};

/// The reports of all pods.
#[derive(Default)]
pub struct Truth {
    pub pods: BTreeMap<String, Pod>,
    /// Ends by local and peer address of the socket. The ends of one pair are in the order of their start.
    ends: HashMap<(SocketAddr, SocketAddr), Vec<End>>,
    /// Times and pods of the servers that received a greeting, by address of the client.
    servers: HashMap<SocketAddr, Vec<(u64, String)>>,
}

/// A pod that started.
#[derive(Debug)]
pub struct Pod {
    pub name: String,
    pub workload: String,
    pub address: IpAddr,
    /// Nanoseconds since the epoch.
    pub started: u64,
}

/// An end of a connection.
#[derive(Debug)]
pub struct End {
    /// Time at which it received the name of the peer.
    pub met: Option<u64>,
    /// Time of the close. `None` if it was not reported.
    pub closed: Option<u64>,
    /// Last line of its report.
    pub talk: Talk,
}

// === impl Truth ===

impl Truth {
    /// Reads the files of the pods. Ignores a line that is incomplete.
    pub fn read(folder: &Path) -> Self {
        let mut truth = Self::default();
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).for_each(|line| truth.add(line));
        }
        truth
    }

    /// Returns the pod that had the address at the time `at`.
    pub fn owner(&self, address: IpAddr, at: u64) -> Option<&Pod> {
        let had = |pod: &&Pod| pod.address == address && pod.started <= at;
        self.pods.values().filter(had).max_by_key(|pod| pod.started)
    }

    /// Returns the report of the end of a connection that opened at `opened`.
    pub fn end(&self, local: SocketAddr, peer: SocketAddr, opened: u64) -> Option<&End> {
        self.ends.get(&(local, peer))?.iter().min_by_key(|end| end.first().abs_diff(opened))
    }

    /// Returns the pod that responded to `client`, by the report of the client, or else of the server.
    pub fn responder(&self, client: SocketAddr, peer: SocketAddr, opened: u64) -> Option<&Pod> {
        let by_client = self.end(client, peer, opened).map(|end| end.talk.other.as_str());
        let by_server = || {
            let ends = self.servers.get(&client)?;
            let (_, pod) = ends.iter().min_by_key(|(at, _)| at.abs_diff(opened))?;
            Some(pod.as_str())
        };
        self.pods.get(by_client.filter(|pod| !pod.is_empty()).or_else(by_server)?)
    }

    /// Returns all ends.
    pub fn ends(&self) -> impl Iterator<Item = &End> {
        self.ends.values().flatten()
    }

    /// Returns the pods of a workload.
    pub fn of<'a>(&'a self, workload: &'a str) -> impl Iterator<Item = &'a Pod> {
        self.pods.values().filter(move |pod| pod.workload == workload)
    }

    fn add(&mut self, line: Line) {
        match line {
            Line::Start { pod, workload, address, at } => {
                self.pods.insert(pod.clone(), Pod { name: pod, workload, address, started: at });
            }
            Line::Met(talk) => {
                if talk.target.is_empty() {
                    self.servers.entry(talk.peer).or_default().push((talk.at, talk.pod.clone()));
                }
                let ends = self.ends.entry((talk.local, talk.peer)).or_default();
                ends.push(End { met: Some(talk.at), closed: None, talk });
            }
            Line::Closed(talk) => {
                let ends = self.ends.entry((talk.local, talk.peer)).or_default();
                match ends.iter_mut().find(|end| end.closed.is_none() && end.talk.pod == talk.pod) {
                    Some(end) => (end.closed, end.talk) = (Some(talk.at), talk),
                    None => ends.push(End { met: None, closed: Some(talk.at), talk }),
                }
            }
        }
    }
}

// === impl End ===

impl End {
    /// Returns the time of the first line about it.
    pub fn first(&self) -> u64 {
        self.met.or(self.closed).unwrap_or_default()
    }
}
