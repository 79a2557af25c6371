//! Each record against the truth.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use longwave_tests::otlp_json::FlatLog;
use longwave_tests::time::unix_nanos;

use super::truth::{End, Pod, Truth};
use crate::{attribute, names};

const UNKNOWN: &str = "unknown";
const NAMESPACE: &str = "default";

/// When something was about to be done, and when it was done.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub from: u64,
    pub to: u64,
}

/// What the pods cannot know.
pub struct Setting<'a> {
    pub truth: &'a Truth,
    /// Service → kind of the workload of the same name.
    pub kinds: &'a BTreeMap<&'static str, &'static str>,
    /// Addresses of services, with those who had them: in turn.
    pub services: &'a BTreeMap<IpAddr, Vec<Service>>,
    /// Nobody looked.
    pub blind: Moment,
}

/// A service that has its address from `made` on, until `deleted`.
pub struct Service {
    pub name: &'static str,
    pub made: Moment,
    pub deleted: Option<Moment>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Seen {
    /// Records, by event and reporter.
    pub records: BTreeMap<(String, String), usize>,
    /// Records of connections that nobody answered: who stands behind the service is told by nobody.
    pub unanswered: usize,
    /// Of these, those that name nobody behind the service.
    pub unanswered_unknown: usize,
    /// Ends whose bytes were compared.
    pub compared: usize,
    /// Records of connections that are older than the Longwave that reports them.
    pub older: usize,
}

/// One log record, read.
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

/// How many opens, and how many ends, were reported of an end.
type Reported = HashMap<(SocketAddr, SocketAddr, u64), [usize; 2]>;

// === impl Setting ===

impl Setting<'_> {
    /// Every record of a pod that talked has the names that were true, and each of their ends was reported whole.
    pub fn verify(&self, logs: &[FlatLog]) -> Seen {
        let mut seen = Seen::default();
        let mut reported = Reported::new();
        for log in logs {
            let Some(record) = Record::read(log) else { continue };
            if let Some(own) = self.truth.owner(record.own.ip(), record.opened) {
                self.record(&record, own, &mut reported, &mut seen);
            }
        }
        self.assert_whole(&reported);
        seen
    }

    /// Each end that must have been reported closed was.
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

    /// Unless it closed while nobody looked.
    fn must_be_closed(&self, end: &End) -> bool {
        let Moment { from, to } = self.blind;
        end.closed.is_none_or(|closed| closed < from || closed > to)
    }

    fn record(&self, record: &Record<'_>, own: &Pod, reported: &mut Reported, seen: &mut Seen) {
        let attributes = record.attributes;
        let (own_end, peer_end) =
            if record.is_source { ("source", "destination") } else { ("destination", "source") };
        *seen.records.entry((record.event.to_owned(), own_end.to_owned())).or_default() += 1;
        seen.older += usize::from(attribute(attributes, "longwave.start_known") == "false");
        let role = if record.is_source { "client" } else { "server" };
        assert_eq!(attribute(attributes, "longwave.connection.role"), role, "{record:#?}");
        assert_ne!(record.event, "vanished", "{record:#?}");
        self.assert_pod(record, own_end, own);

        let peer = match record.is_source {
            true => self.truth.answerer(record.own, record.peer, record.opened),
            false => self.truth.owner(record.peer.ip(), record.opened),
        };
        match peer {
            Some(peer) => {
                self.assert_pod(record, peer_end, peer);
                let server = if record.is_source { peer } else { own };
                let service = ["name", "namespace"]
                    .map(|part| attribute(attributes, &format!("destination.service.{part}")));
                assert_eq!(service, [&server.workload, NAMESPACE], "{record:#?}");
                assert_eq!(attribute(attributes, "longwave.service.ambiguous"), "", "{record:#?}");
            }
            None => self.unanswered(record, seen),
        }
        let end = self.truth.end(record.own, record.peer, record.opened);
        if let Some(end) = end {
            let key = (record.own, record.peer, end.first());
            let [opens, ends] = reported.entry(key).or_default();
            match record.event {
                "open" => *opens += 1,
                "close" => *ends += 1,
                _ => {}
            }
        }
        if let Some(end) = end.filter(|end| record.event == "close" && end.closed.is_some()) {
            assert_bytes(record, end);
            seen.compared += 1;
        }
    }

    fn assert_pod(&self, record: &Record<'_>, end: &str, pod: &Pod) {
        let workload = [pod.workload.as_str(), self.kinds[pod.workload.as_str()], NAMESPACE];
        assert_eq!(names(record.attributes, end), workload, "{end}: {pod:?}\n{record:#?}");
        let named = attribute(record.attributes, &format!("{end}.k8s.pod.name"));
        assert_eq!(named, pod.name, "{end}: {pod:?}\n{record:#?}");
    }

    /// Nobody answered: nobody else can say whom it was for. It names one that may have been meant, or nobody.
    fn unanswered(&self, record: &Record<'_>, seen: &mut Seen) {
        assert!(record.is_source, "who asked has no name of its own: {record:#?}");
        seen.unanswered += 1;
        let service = attribute(record.attributes, "destination.service.name");
        let may_mean = |service: &Service| {
            // When the next has answered for the first time, all have heard of it.
            let next =
                self.services[&record.peer.ip()].iter().find(|next| next.made.from > service.made.from);
            let until = next.and_then(|next| self.truth.of(next.name).map(|pod| pod.started).min());
            service.made.from <= record.opened && until.is_none_or(|until| record.opened <= until)
        };
        let meant = self.services.get(&record.peer.ip());
        let meant: Vec<&Service> = meant.into_iter().flatten().filter(|service| may_mean(service)).collect();
        let is_certain = |service: &&&Service| {
            service.made.to <= record.opened
                && service.deleted.is_none_or(|deleted| record.time <= deleted.from)
        };
        match meant.iter().find(is_certain) {
            Some(certain) => assert_eq!(service, certain.name, "{record:#?}"),
            None if meant.is_empty() => {
                // A pod was asked by its address.
                let workloads = self.truth.pods.values().filter(|pod| pod.address == record.peer.ip());
                let mut workloads = workloads.map(|pod| pod.workload.as_str());
                assert!(service == UNKNOWN || workloads.any(|name| name == service), "{record:#?}");
            }
            None => {
                assert!(service == UNKNOWN || meant.iter().any(|meant| meant.name == service), "{record:#?}")
            }
        }
        let [workload, kind, namespace] = names(record.attributes, "destination");
        let pod = attribute(record.attributes, "destination.k8s.pod.name");
        if workload == UNKNOWN {
            seen.unanswered_unknown += 1;
            assert_eq!([kind.as_str(), &namespace, pod], [UNKNOWN; 3], "{record:#?}");
            return;
        }
        let existing = self.truth.pods.get(pod).unwrap_or_else(|| panic!("no such pod: {record:#?}"));
        self.assert_pod(record, "destination", existing);
        let is_behind = meant.is_empty() && existing.address == record.peer.ip()
            || meant.iter().any(|service| service.name == existing.workload);
        assert!(is_behind, "{record:#?}");
    }

    /// Every end that a pod told of has one open and one close, unless it began or ended while nobody looked.
    fn assert_whole(&self, reported: &Reported) {
        for end in self.truth.ends() {
            let key = (end.talk.local, end.talk.peer, end.first());
            let [opens, closes] = reported.get(&key).copied().unwrap_or_default();
            assert!(opens <= 1 && closes <= 1, "{opens} opens and {closes} closes of {end:#?}");
            // Opens are exported since the blind time only.
            if end.first() > self.blind.to && end.met.is_some() {
                assert_eq!(opens, 1, "no open of {end:#?}");
            }
            if self.must_be_closed(end) {
                assert_eq!(closes, 1, "no close of {end:#?}");
            }
        }
    }
}

fn assert_bytes(record: &Record<'_>, end: &End) {
    let bytes = |key: &str| {
        attribute(record.attributes, &format!("longwave.tcp.{key}_bytes")).parse::<u64>().unwrap()
    };
    assert_eq!(bytes("sent") + bytes("unsent"), end.talk.written, "sent: {end:#?}\n{record:#?}");
    assert_eq!(bytes("received"), end.talk.read + bytes("unread"), "received: {end:#?}\n{record:#?}");
}

// === impl Seen ===

impl Seen {
    /// The test has tested something.
    pub fn assert_enough(&self) {
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
