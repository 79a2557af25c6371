mod config;
mod holding;
mod naming;
mod node_ports;

use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longwave_config::GoDuration;
use longwave_pipeline::component::host::HostAddresses;
use longwave_pipeline::component::{
    Accounting, Answer, CgroupName, Directories, Directory, Processor, ProcessorContext,
};
use longwave_pipeline::model::{
    Batch, ConnectionId, ConnectionRecord, Endpoint, Event, Handle, Interner, PassEnd, Role, Service,
    UnixNanos, Workload,
};

use super::{ServiceConfig, ServiceProcessor};
use crate::conntrack::fake::FakeTracking;
use crate::conntrack::{Translated, Translator};
use crate::testing;

const SECOND: u64 = 1_000_000_000;

type Answers = Vec<(Endpoint, Answer<Handle<Service>>)>;

/// A directory with the test's answers. Stores the times for which it was queried.
#[derive(Default)]
struct Fake {
    version: AtomicU64,
    by_address: Mutex<Answers>,
    by_backend: Mutex<Answers>,
    by_node_port: Mutex<Vec<(u16, Answer<Handle<Service>>)>>,
    queried: Mutex<Vec<UnixNanos>>,
}

impl Fake {
    fn address(&self, at: &str, answer: Answer<Handle<Service>>) {
        self.by_address.lock().unwrap().insert(0, (end(at), answer));
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    fn backend(&self, at: &str, answer: Answer<Handle<Service>>) {
        self.by_backend.lock().unwrap().insert(0, (end(at), answer));
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    fn node_port(&self, port: u16, answer: Answer<Handle<Service>>) {
        self.by_node_port.lock().unwrap().push((port, answer));
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    fn answer(&self, list: &Mutex<Answers>, wanted: Endpoint, at: UnixNanos) -> Answer<Handle<Service>> {
        self.queried.lock().unwrap().push(at);
        let list = list.lock().unwrap();
        list.iter().find(|(end, _)| *end == wanted).map_or(Answer::Unknown, |(_, answer)| answer.clone())
    }
}

impl Directory for Fake {
    fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    fn workload_of_cgroup(&self, _: &CgroupName<'_>, _: UnixNanos) -> Answer<Handle<Workload>> {
        Answer::Unknown
    }

    fn workload_of_address(&self, _: Endpoint, _: UnixNanos) -> Answer<Handle<Workload>> {
        Answer::Unknown
    }

    fn service_of_address(&self, original: Endpoint, at: UnixNanos) -> Answer<Handle<Service>> {
        self.answer(&self.by_address, original, at)
    }

    fn service_of_backend(&self, backend: Endpoint, at: UnixNanos) -> Answer<Handle<Service>> {
        self.answer(&self.by_backend, backend, at)
    }

    fn service_of_node_port(&self, wanted: u16, _: UnixNanos) -> Answer<Handle<Service>> {
        let list = self.by_node_port.lock().unwrap();
        list.iter().find(|(port, _)| *port == wanted).map_or(Answer::Unknown, |(_, answer)| answer.clone())
    }

    fn is_node_port(&self, wanted: u16) -> bool {
        self.by_node_port.lock().unwrap().iter().any(|(port, _)| *port == wanted)
    }

    fn is_translated(&self, _: std::net::IpAddr) -> bool {
        false
    }
}

/// A processor with two fake directories, without connection tracking.
struct Bench {
    processor: ServiceProcessor,
    first: Arc<Fake>,
    second: Arc<Fake>,
    names: Interner<Service>,
    context: ProcessorContext,
    _accounting: Accounting,
}

impl Bench {
    fn new(hold: u64) -> Self {
        Self::with(hold, None, None)
    }

    /// Creates a processor with fake connection tracking, for the host whose `/proc` is `proc`.
    fn with(hold: u64, tracking: Option<&FakeTracking>, proc: Option<&Path>) -> Self {
        let (first, second) = (Arc::new(Fake::default()), Arc::new(Fake::default()));
        let (mut context, accounting) = testing::context("service", "metrics", false);
        let directory = |fake: &Arc<Fake>| Arc::clone(fake) as Arc<dyn Directory>;
        context.directories = Directories::new([
            ("first".to_owned(), directory(&first)),
            ("second".to_owned(), directory(&second)),
        ]);
        let config = ServiceConfig {
            sources: vec!["first".to_owned(), "second".to_owned()],
            conntrack: false,
            hold: GoDuration::from(Duration::from_secs(hold)),
        };
        if let Some(proc) = proc {
            context.shared.get_or_make(|| Ok::<_, Infallible>(HostAddresses::new(proc))).unwrap();
        }
        let translator = tracking.map(|tracking| Box::new(tracking.clone()) as Box<dyn Translator>);
        let processor = ServiceProcessor::with(&config, &context, translator).unwrap();
        Self { processor, first, second, names: Interner::default(), context, _accounting: accounting }
    }

    fn service(&self, name: &str) -> Answer<Handle<Service>> {
        Answer::Known(self.names.intern(Service { name: name.into(), ..Service::default() }))
    }

    /// Returns the records and watermarks (`|`) that leave the processor, as text: `1:web 2:- |`.
    fn run(&mut self, batch: Batch) -> String {
        let mut out = Vec::new();
        self.processor.process(batch, &mut out).unwrap();
        shown(&out)
    }

    fn records(&mut self, records: &[ConnectionRecord]) -> String {
        self.run(Batch::records(records.to_vec()))
    }

    fn pass_end(&mut self, seconds: u64) -> String {
        self.run(Batch::PassEnd(PassEnd { tick: UnixNanos(seconds * SECOND), last: false }))
    }

    fn finish(&mut self) -> String {
        let mut out = Vec::new();
        self.processor.finish(&mut out).unwrap();
        shown(&out)
    }
}

fn shown(batches: &[Batch]) -> String {
    let mut shown = Vec::new();
    for batch in batches {
        match batch {
            Batch::Records(records) => shown.extend(records.iter().map(|record| {
                let name = record.names.service.as_ref().map_or("-", |service| &service.name);
                format!("{}:{name}", record.id.cookie)
            })),
            _ => shown.push("|".to_owned()),
        }
    }
    shown.join(" ")
}

fn end(text: &str) -> Endpoint {
    let end: std::net::SocketAddr = text.parse().unwrap();
    Endpoint { address: end.ip(), port: end.port() }
}

/// Returns a record of connection `cookie`, which was opened at 1 s and observed at 2 s.
fn record(cookie: u64, role: Role, local: &str, peer: &str) -> ConnectionRecord {
    ConnectionRecord {
        id: ConnectionId { cookie, ..ConnectionId::default() },
        role,
        local: end(local),
        peer: end(peer),
        start_known: true,
        opened: UnixNanos(SECOND),
        observed: UnixNanos(2 * SECOND),
        tick: UnixNanos(5 * SECOND),
        ..ConnectionRecord::blank()
    }
}

fn client(cookie: u64) -> ConnectionRecord {
    record(cookie, Role::Client, "10.0.0.5:40000", "10.96.0.10:80")
}

fn server(cookie: u64) -> ConnectionRecord {
    record(cookie, Role::Server, "10.0.1.7:8080", "10.0.0.5:40000")
}

fn close(record: ConnectionRecord) -> ConnectionRecord {
    ConnectionRecord { event: Event::Close, ..record }
}
