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
    /// Names that the stopped Longwave had no time to find out.
    pub cut_short: usize,
    /// What is not as it should be.
    pub problems: Vec<String>,
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
        self.check_whole(&reported, &mut seen);
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
        seen.check(record, "role", attribute(attributes, "longwave.connection.role"), &[role]);
        seen.check(record, "event", record.event, &["open", "update", "close", "fail"]);
        seen.check_pod(record, own_end, Some(own), self);

        let peer = match record.is_source {
            true => self.truth.answerer(record.own, record.peer, record.opened),
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
                    // It asked before this one was there, and was answered because its SYN came again: it meant another.
                    services.extend(self.meant(record).iter().map(|service| service.name));
                }
                seen.check(record, "service", record.service(), &services);
                seen.check(record, "ambiguous", attribute(attributes, "longwave.service.ambiguous"), &[""]);
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
            let bytes = |key: &str| {
                attribute(record.attributes, &format!("longwave.tcp.{key}_bytes")).parse::<u64>().unwrap()
            };
            let written = bytes("sent") + bytes("unsent");
            seen.check(record, "written", &written.to_string(), &[&end.talk.written.to_string()]);
            // What was unread when TCP was done could still be read.
            let read = [end.talk.read, end.talk.read + bytes("unread")].map(|read| read.to_string());
            let read: Vec<&str> = read.iter().map(String::as_str).collect();
            seen.check(record, "received", &bytes("received").to_string(), &read);
            seen.compared += 1;
        }
    }

    /// It was among the last that the first Longwave saw: what waits for an answer when it is stopped goes without.
    fn is_last(&self, record: &Record<'_>) -> bool {
        (self.blind.from..self.blind.to).contains(&record.time)
    }

    fn is_cut_short(&self, record: &Record<'_>, end: &str) -> bool {
        let [workload, kind, namespace] = names(record.attributes, end);
        self.is_last(record) && [workload.as_str(), &kind, &namespace] == [UNKNOWN; 3]
    }

    /// Services that the record's client may have meant: one, but while the address changes hands.
    fn meant(&self, record: &Record<'_>) -> Vec<&Service> {
        let Some(services) = self.services.get(&record.peer.ip()) else { return Vec::new() };
        let may_mean = |service: &&Service| {
            // When the next answers for the first time, all have heard of it.
            let next = services.iter().find(|next| next.made.from > service.made.from);
            let until = next.and_then(|next| self.truth.of(next.name).map(|pod| pod.started).min());
            service.made.from <= record.opened && until.is_none_or(|until| record.opened <= until)
        };
        services.iter().filter(may_mean).collect()
    }

    /// Nobody answered: nobody else can say whom it was for. It names one that may have been meant, or nobody.
    fn unanswered(&self, record: &Record<'_>, seen: &mut Seen) {
        seen.check(
            record,
            "reporter of what nobody answered",
            attribute(record.attributes, "reporter"),
            &["source"],
        );
        seen.unanswered += 1;
        let is_certain = |service: &&Service| {
            service.made.to <= record.opened
                && service.deleted.is_none_or(|deleted| record.time <= deleted.from)
        };
        let services = self.services.get(&record.peer.ip());
        let meant = self.meant(record);
        let certain = meant.iter().copied().find(is_certain);
        // A pod that was asked by its own address is found by it.
        let is_behind = |pod: &&Pod| match services {
            None => pod.address == record.peer.ip(),
            Some(_) => meant.iter().any(|service| service.name == pod.workload),
        };
        let behind: Vec<&Pod> = self.truth.pods.values().filter(is_behind).collect();
        let mut may_be: Vec<&str> = match services {
            None => behind.iter().map(|pod| pod.workload.as_str()).collect(),
            Some(_) => certain.map_or_else(
                || meant.iter().map(|service| service.name).collect(),
                |certain| vec![certain.name],
            ),
        };
        if certain.is_none() {
            may_be.push(UNKNOWN);
        }
        seen.check(record, "service", record.service(), &may_be);
        let named = attribute(record.attributes, "destination.k8s.pod.name");
        let pod = behind.iter().copied().find(|pod| pod.name == named);
        seen.unanswered_unknown += usize::from(pod.is_none());
        seen.check_pod(record, "destination", pod, self);
    }

    /// Every end that a pod told of has one open and one close, unless it began or ended while nobody looked.
    fn check_whole(&self, reported: &Reported, seen: &mut Seen) {
        for end in self.truth.ends() {
            let key = (end.talk.local, end.talk.peer, end.first());
            let found = reported.get(&key).copied().unwrap_or_default();
            // Opens are exported since the blind time only.
            let least = [
                usize::from(end.first() > self.blind.to && end.met.is_some()),
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
    /// `found` is one of these.
    fn check(&mut self, record: &Record<'_>, what: &str, found: &str, expected: &[&str]) {
        if !expected.contains(&found) {
            self.problems.push(format!("{what} is {found:?}, not {expected:?}: {record:#?}"));
        }
    }

    /// All names of an end are the pod's, or nobody's.
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

    /// For the log.
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

    /// The test has tested something.
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
