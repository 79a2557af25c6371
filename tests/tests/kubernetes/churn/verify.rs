//! Compares each record with the reports of the pods.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use longwave_tests::otlp_json::FlatLog;
use longwave_tests::time::unix_nanos;

use super::truth::{End, Pod, Truth};
use crate::{attribute, names};

/// An unknown name has no attribute.
const UNKNOWN: &str = "";
const NAMESPACE: &str = "default";

/// Times before and after an action.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub from: u64,
    pub to: u64,
}

/// The reports of the pods, and facts that they do not report.
pub struct Setting<'a> {
    pub truth: &'a Truth,
    /// Kind of each workload, by its name. A service has the same name as its workload.
    pub kinds: &'a BTreeMap<&'static str, &'static str>,
    /// Services by their address, in the order in which they had it.
    pub services: &'a BTreeMap<IpAddr, Vec<Service>>,
    /// Time during which Longwave did not run.
    pub downtime: Moment,
}

/// A service. It has its address from `made` until `deleted`.
pub struct Service {
    pub name: &'static str,
    pub made: Moment,
    pub deleted: Option<Moment>,
}

/// Result of the comparison.
#[derive(Debug, Default)]
pub struct Seen {
    /// Number of records by event and reporter.
    pub records: BTreeMap<(String, String), usize>,
    /// Number of records of connections without a response, for which the pod of the service is not certain.
    pub unanswered: usize,
    /// Number of these that name no pod of the service.
    pub unanswered_unknown: usize,
    /// Number of ends whose bytes were compared.
    pub compared: usize,
    /// Number of records of connections that are older than Longwave.
    pub older: usize,
    /// Number of names whose look-up was pending when Longwave was stopped.
    pub cut_short: usize,
    /// Differences.
    pub problems: Vec<String>,
}

/// A parsed log record.
#[derive(Debug)]
struct Record<'a> {
    event: &'a str,
    time: u64,
    opened: u64,
    is_source: bool,
    own: SocketAddr,
    peer: SocketAddr,
    attributes: &'a BTreeMap<String, String>,
}

/// Numbers of reported opens and closes of an end.
type Reported = HashMap<(SocketAddr, SocketAddr, u64), [usize; 2]>;

// === impl Setting ===

impl Setting<'_> {
    /// Checks that every record of a pod has the correct names, and that each end has one open and one close.
    pub fn verify(&self, logs: &[FlatLog]) -> Seen {
        let mut seen = Seen::default();
        let mut reported = Reported::new();
        for log in logs {
            let Some(record) = Record::read(log) else { continue };
            if let Some(own) = self.truth.owner(record.own.ip(), record.opened) {
                self.record(&record, own, &mut reported, &mut seen);
            }
        }
        self.check_whole(&reported, &mut seen);
        seen
    }

    /// Returns whether every end that must be reported as closed has been reported.
    pub fn all_closed(&self, logs: &[FlatLog]) -> bool {
        let closed: HashSet<(SocketAddr, SocketAddr)> = logs
            .iter()
            .filter_map(Record::read)
            .filter(|record| record.event == "close")
            .map(|record| (record.own, record.peer))
            .collect();
        self.truth
            .ends()
            .filter(|end| self.must_be_closed(end))
            .all(|end| closed.contains(&(end.talk.local, end.talk.peer)))
    }

    /// Returns whether the end was closed while Longwave ran.
    fn must_be_closed(&self, end: &End) -> bool {
        let Moment { from, to } = self.downtime;
        end.closed.is_none_or(|closed| closed < from || closed > to)
    }

    fn record(&self, record: &Record<'_>, own: &Pod, reported: &mut Reported, seen: &mut Seen) {
        let attributes = record.attributes;
        let (own_end, peer_end) =
            if record.is_source { ("source", "destination") } else { ("destination", "source") };
        *seen.records.entry((record.event.to_owned(), own_end.to_owned())).or_default() += 1;
        seen.older += usize::from(attribute(attributes, "longwave.start_known") == "false");
        let role = if record.is_source { "client" } else { "server" };
        seen.check(record, "role", attribute(attributes, "longwave.connection.role"), &[role]);
        seen.check(record, "event", record.event, &["open", "update", "close", "fail"]);
        seen.check_pod(record, own_end, Some(own), self);

        let peer = match record.is_source {
            // It was never established. A response to its port belongs to another connection.
            true if record.event == "fail" => None,
            true => self.truth.responder(record.own, record.peer, record.opened),
            false => self.truth.owner(record.peer.ip(), record.opened),
        };
        match peer {
            Some(peer) => {
                if self.is_cut_short(record, peer_end) {
                    seen.cut_short += 1;
                } else {
                    seen.check_pod(record, peer_end, Some(peer), self);
                }
                let server = if record.is_source { peer } else { own };
                let mut services = vec![server.workload.as_str()];
                if self.is_last(record) && record.service() == UNKNOWN {
                    seen.cut_short += 1;
                    services.push(UNKNOWN);
                }
                if record.opened < server.started {
                    // The client sent its SYN before this service existed, and retransmitted it, so it connected to the former service.
                    services.extend(self.possible_services(record).iter().map(|service| service.name));
                }
                seen.check(record, "service", record.service(), &services);
                seen.check(record, "ambiguous", attribute(attributes, "longwave.service.ambiguous"), &[""]);
            }
            None => self.unanswered(record, seen),
        }
        let end = self.truth.end(record.own, record.peer, record.opened);
        if let Some(end) = end {
            let key = (record.own, record.peer, end.first());
            let [opens, closes] = reported.entry(key).or_default();
            match record.event {
                "open" => *opens += 1,
                "close" => *closes += 1,
                _ => {}
            }
        }
        if let Some(end) = end.filter(|end| record.event == "close" && end.closed.is_some()) {
            let bytes = |key: &str| {
                attribute(record.attributes, &format!("longwave.tcp.{key}_bytes")).parse::<u64>().unwrap()
            };
            let written = bytes("sent") + bytes("unsent");
            seen.check(record, "written", &written.to_string(), &[&end.talk.written.to_string()]);
            // The application may read bytes after the close that were unread before.
            let read = [end.talk.read, end.talk.read + bytes("unread")].map(|read| read.to_string());
            let read: Vec<&str> = read.iter().map(String::as_str).collect();
            seen.check(record, "received", &bytes("received").to_string(), &read);
            seen.compared += 1;
        }
    }

    /// Returns whether this is one of the last records of the first Longwave. The look-up of its names may have been pending at the stop.
    fn is_last(&self, record: &Record<'_>) -> bool {
        (self.downtime.from..self.downtime.to).contains(&record.time)
    }

    fn is_cut_short(&self, record: &Record<'_>, end: &str) -> bool {
        let [workload, kind, namespace] = names(record.attributes, end);
        self.is_last(record) && [workload.as_str(), &kind, &namespace] == [UNKNOWN; 3]
    }

    /// Returns the services to which the client may have connected. There are several only while the address is being reused.
    fn possible_services(&self, record: &Record<'_>) -> Vec<&Service> {
        let Some(services) = self.services.get(&record.peer.ip()) else { return Vec::new() };
        let is_possible = |service: &&Service| {
            // Once a pod of the next service has started, all components use the next service.
            let next = services.iter().find(|next| next.made.from > service.made.from);
            let until = next.and_then(|next| self.truth.of(next.name).map(|pod| pod.started).min());
            service.made.from <= record.opened && until.is_none_or(|until| record.opened <= until)
        };
        services.iter().filter(is_possible).collect()
    }

    /// Checks a record of a connection without a response. It may name any of the possible services and pods, or none.
    fn unanswered(&self, record: &Record<'_>, seen: &mut Seen) {
        seen.check(
            record,
            "reporter of a connection without a response",
            attribute(record.attributes, "reporter"),
            &["source"],
        );
        seen.unanswered += 1;
        let is_certain = |service: &&Service| {
            service.made.to <= record.opened
                && service.deleted.is_none_or(|deleted| record.time <= deleted.from)
        };
        let services = self.services.get(&record.peer.ip());
        let possible = self.possible_services(record);
        let certain = possible.iter().copied().find(is_certain);
        // For a connection to the address of a pod, the pod is certain.
        let is_backend = |pod: &&Pod| match services {
            None => pod.address == record.peer.ip(),
            Some(_) => possible.iter().any(|service| service.name == pod.workload),
        };
        let backends: Vec<&Pod> = self.truth.pods.values().filter(is_backend).collect();
        let mut allowed: Vec<&str> = match services {
            None => backends.iter().map(|pod| pod.workload.as_str()).collect(),
            Some(_) => certain.map_or_else(
                || possible.iter().map(|service| service.name).collect(),
                |certain| vec![certain.name],
            ),
        };
        if certain.is_none() {
            allowed.push(UNKNOWN);
        }
        seen.check(record, "service", record.service(), &allowed);
        let named = attribute(record.attributes, "destination.k8s.pod.name");
        let pod = backends.iter().copied().find(|pod| pod.name == named);
        seen.unanswered_unknown += usize::from(pod.is_none());
        seen.check_pod(record, "destination", pod, self);
    }

    /// Checks that every end has one open and one close, unless it was opened or closed while Longwave did not run.
    fn check_whole(&self, reported: &Reported, seen: &mut Seen) {
        for end in self.truth.ends() {
            let key = (end.talk.local, end.talk.peer, end.first());
            let found = reported.get(&key).copied().unwrap_or_default();
            // Longwave exports opens only after the restart.
            let least = [
                usize::from(end.first() > self.downtime.to && end.met.is_some()),
                usize::from(self.must_be_closed(end)),
            ];
            let most = [1, 1];
            if found < least || found > most || found[1] < least[1] || found[1] > 1 {
                seen.problems.push(format!("opens and closes: {found:?}, at least {least:?}: {end:#?}"));
            }
        }
    }
}

// === impl Seen ===

impl Seen {
    /// Adds a problem if `found` is not one of `expected`.
    fn check(&mut self, record: &Record<'_>, what: &str, found: &str, expected: &[&str]) {
        if !expected.contains(&found) {
            self.problems.push(format!("{what} is {found:?}, not {expected:?}: {record:#?}"));
        }
    }

    /// Checks that all names of an end are those of the pod, or all unknown.
    fn check_pod(&mut self, record: &Record<'_>, end: &str, pod: Option<&Pod>, setting: &Setting<'_>) {
        let [workload, kind, namespace] = names(record.attributes, end);
        let found = [
            workload,
            kind,
            namespace,
            attribute(record.attributes, &format!("{end}.k8s.pod.name")).to_owned(),
        ];
        let expected = pod.map_or([UNKNOWN, UNKNOWN, UNKNOWN, ""], |pod| {
            [&pod.workload, setting.kinds[pod.workload.as_str()], NAMESPACE, &pod.name]
        });
        self.check(record, end, &found.join("/"), &[&expected.join("/")]);
    }

    /// Prints a summary.
    pub fn print(&self) {
        eprintln!("churn: records: {:?}", self.records);
        eprintln!(
            "churn: {} of older connections, {} unanswered, of these {} without a pod; {} names cut short; bytes of {} ends compared",
            self.older, self.unanswered, self.unanswered_unknown, self.cut_short, self.compared
        );
        for problem in &self.problems {
            eprintln!("churn: {}", problem.replace("\n        ", " "));
        }
    }

    /// Asserts that there were enough records of each kind.
    pub fn assert_enough(&self) {
        let some: Vec<_> = self.problems.iter().take(5).map(String::as_str).collect();
        assert!(some.is_empty(), "{} problems, first: {}", self.problems.len(), some.join("\n"));
        for event in ["open", "update", "close"] {
            for reporter in ["source", "destination"] {
                let count = self.records.get(&(event.to_owned(), reporter.to_owned()));
                assert!(count.is_some_and(|count| *count >= 12), "{event}, {reporter}: {self:#?}");
            }
        }
        assert!(self.older >= 12 && self.compared >= 100, "{self:#?}");
    }
}

// === impl Record ===

impl<'a> Record<'a> {
    fn service(&self) -> &'a str {
        attribute(self.attributes, "destination.service.name")
    }

    fn read((time, event, attributes): &'a FlatLog) -> Option<Self> {
        let address = |end: &str| -> Option<SocketAddr> {
            let part = |part: &str| attributes.get(&format!("{end}.{part}"));
            Some(SocketAddr::new(part("address")?.parse().ok()?, part("port")?.parse().ok()?))
        };
        let (source, destination) = (address("source")?, address("destination")?);
        let is_source = attribute(attributes, "reporter") == "source";
        let (own, peer) = if is_source { (source, destination) } else { (destination, source) };
        let event = event.strip_prefix("longwave.tcp.connection.").unwrap_or(event);
        let opened = attributes.get("longwave.connection.start_time").and_then(|text| unix_nanos(text));
        let opened = opened.unwrap_or(*time);
        Some(Self { event, time: *time, opened, is_source, own, peer, attributes })
    }
}
