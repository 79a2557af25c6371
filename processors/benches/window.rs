//! Measures how many records per second pass through `workload`, `service` and `window`. There are 100,000 open connections with one record
//! each per pass, in batches of 1,024.
//!
//! The batches of a pass are created before it, so each is read from cold memory; `as they come` creates each just before it is processed.
//! `directory` is an extension with the names of 10,000 addresses and of this host's cgroups. The names of open connections are cached,
//! those of new connections are not. With `changes`, the directory has other names before every batch, so that every connection without a name
//! is resolved again. With `renames`, a workload was renamed, so that every connection is.
//!
//! The benches with `max_series` have connections between 3,000 pods, three levels and a limit of 1,000 series, so that most series are folded.
//! First the bench prints the memory that they take, with and without the limit.
//!
//! The bench measures the thread's CPU time, so that other processes on the machine do not change the result.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use criterion::measurement::Measurement;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use longwave_config::GoDuration;
use longwave_pipeline::component::cgroup::Mount;
use longwave_pipeline::component::{
    Accounting, Answer, CgroupName, Directories, Directory, NodeKind, Processor, ProcessorContext, Signal,
};
use longwave_pipeline::model::{
    Batch, ConnectionId, ConnectionRecord, Endpoint, Event, Handle, Interner, Level, Names, Owner, PassEnd,
    Role, Service, TcpState, Totals, UnixNanos, Workload,
};
use longwave_processors::service::{ServiceConfig, ServiceProcessor};
use longwave_processors::window::{WindowConfig, WindowProcessor};
use longwave_processors::workload::{WorkloadConfig, WorkloadProcessor};

use longwave_testing::cpu_time::CpuTime;

const CONNECTIONS: u64 = 100_000;
const BATCH: usize = 1024;
const SECOND: u64 = 1_000_000_000;

fn record(cookie: u64, pass: u64, role: Role) -> ConnectionRecord {
    let mut name = [0; 16];
    let text = format!("worker-{}", cookie % 50);
    name[..text.len()].copy_from_slice(text.as_bytes());
    // Even cookies are clients. The next odd cookie is the client's server, on the same node.
    let port = 1024 + (cookie / 2 % 60_000) as u16;
    let client =
        Endpoint { address: IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + (cookie / 120_000) as u32)), port };
    let server = Endpoint { address: IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1)), port: 443 };
    let (local, peer) = if role == Role::Client { (client, server) } else { (server, client) };
    ConnectionRecord {
        id: ConnectionId {
            boot: 0,
            netns: 4_026_531_840,
            cookie: cookie * 7919 % 1_000_003,
            generation: cookie * 1_000,
        },
        event: Event::Update,
        role,
        state: TcpState::Established,
        start_known: true,
        opened: UnixNanos(SECOND),
        observed: UnixNanos(pass * 5 * SECOND),
        age: (pass * 5).saturating_sub(1) * SECOND,
        tick: UnixNanos(pass * 5 * SECOND),
        local,
        peer,
        owner: Owner { cgroup: 1, pid: 1, name, ..Owner::default() },
        delta: Totals {
            sent_bytes: 1000,
            received_bytes: 500,
            sent_segments: 10,
            received_segments: 9,
            ..Totals::default()
        },
        acked: true,
        round_trip: longwave_pipeline::model::RoundTrip {
            receiver: None,
            smoothed: NonZeroU64::new(100_000 + cookie * 31 % 1_000_000),
            variance: NonZeroU64::new(1),
            minimum: NonZeroU64::new(50_000),
        },
        ..ConnectionRecord::blank()
    }
}

/// Returns one pass: batches of records, and the watermark.
fn pass(number: u64) -> Vec<Batch> {
    let role = |cookie: u64| if cookie.is_multiple_of(2) { Role::Client } else { Role::Server };
    let records: Vec<_> = (0..CONNECTIONS).map(|cookie| record(cookie, number, role(cookie))).collect();
    let batches = records.chunks(BATCH).map(|chunk| Batch::records(chunk.to_vec()));
    batches.chain([Batch::PassEnd(PassEnd { tick: UnixNanos(number * 5 * SECOND), last: false })]).collect()
}

/// Returns batches as [`pass`] does, with peers on other hosts and owners in a cgroup of this host. `known`: whether the directory contains
/// the peers' names.
fn pass_of_others(number: u64, known: bool, cgroup: u64) -> impl Iterator<Item = Batch> {
    let peer = move |cookie: u64| Endpoint {
        address: IpAddr::V4(Ipv4Addr::from(
            if known { 0x0a64_0000 } else { 0xcb00_7100 } + (cookie % 10_000) as u32,
        )),
        port: 80,
    };
    let record = move |cookie| {
        let record = record(cookie, number, Role::Client);
        ConnectionRecord { peer: peer(cookie), owner: Owner { cgroup, ..record.owner }, ..record }
    };
    let batch = move |first| (first..CONNECTIONS.min(first + BATCH as u64)).map(record).collect();
    (0..CONNECTIONS).step_by(BATCH).map(move |first| Batch::records(batch(first)))
}

/// Returns the id of a cgroup of this host; that of the root if there is no other.
fn some_cgroup() -> u64 {
    let mount = Mount::of_this_host().unwrap();
    let folders = std::fs::read_dir(mount.point).into_iter().flatten().flatten();
    let mut ids =
        folders.filter_map(|entry| entry.metadata().ok().filter(|data| data.is_dir()).map(|data| data.ino()));
    ids.next().unwrap_or(1)
}

/// A directory with the names of 10,000 addresses and of every cgroup.
struct KnownNames {
    by_address: HashMap<IpAddr, (Handle<Workload>, Handle<Service>)>,
    own: Handle<Workload>,
    /// Whether the version changes at every query.
    changes: AtomicBool,
    /// Whether the number of renames is the version; otherwise it is 0.
    renames: AtomicBool,
    version: AtomicU64,
}

impl KnownNames {
    fn new() -> Self {
        let (names, services) = (Interner::default(), Interner::default());
        let service = |name: String| services.intern(Service { name: name.into(), ..Service::default() });
        let named = |name: String| names.intern(Workload { name: name.into(), ..Workload::default() });
        let address = |number: u32| IpAddr::V4(Ipv4Addr::from(0x0a64_0000 + number));
        Self {
            by_address: (0..10_000)
                .map(|number| {
                    let names =
                        (named(format!("pod-{}", number / 10)), service(format!("service-{}", number / 10)));
                    (address(number), names)
                })
                .collect(),
            own: named("own".to_owned()),
            changes: AtomicBool::new(false),
            renames: AtomicBool::new(false),
            version: AtomicU64::new(1),
        }
    }
}

impl Directory for KnownNames {
    fn version(&self) -> u64 {
        self.version.fetch_add(self.changes.load(Ordering::Relaxed).into(), Ordering::Relaxed)
    }

    fn renames(&self) -> u64 {
        if self.renames.load(Ordering::Relaxed) { self.version.load(Ordering::Relaxed) } else { 0 }
    }

    fn workload_of_cgroup(&self, _: &CgroupName<'_>, _: UnixNanos) -> Answer<Handle<Workload>> {
        Answer::Known(self.own.clone())
    }

    fn workload_of_address(&self, end: Endpoint, _: UnixNanos) -> Answer<Handle<Workload>> {
        self.by_address.get(&end.address).map_or(Answer::Unknown, |names| Answer::Known(names.0.clone()))
    }

    fn service_of_address(&self, end: Endpoint, _: UnixNanos) -> Answer<Handle<Service>> {
        self.by_address.get(&end.address).map_or(Answer::Unknown, |names| Answer::Known(names.1.clone()))
    }

    fn service_of_backend(&self, _: Endpoint, _: UnixNanos) -> Answer<Handle<Service>> {
        Answer::Unknown
    }

    fn is_translated(&self, _: IpAddr) -> bool {
        false
    }
}

fn context(id: &str, aggregates: bool) -> ProcessorContext {
    ProcessorContext {
        id: id.into(),
        pipeline: "metrics".into(),
        node: Accounting::default().node(NodeKind::Processor, id, "metrics", Signal::Metrics, aggregates),
        meter: opentelemetry::global::meter("bench"),
        directories: Default::default(),
        shared: Default::default(),
    }
}

fn workload(sources: &[&str], directory: Option<Arc<KnownNames>>) -> WorkloadProcessor {
    let mut context = context("workload", false);
    context.directories =
        Directories::new(directory.map(|known| ("directory".to_owned(), known as Arc<dyn Directory>)));
    let config = WorkloadConfig {
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        conntrack: Some(false),
        ..WorkloadConfig::default()
    };
    WorkloadProcessor::of_this_host(&config, &context).unwrap()
}

/// Names of 3,000 pods, three of each workload, and of their services.
struct Pods(Vec<Names>);

impl Pods {
    fn new() -> Self {
        let (workloads, services) = (Interner::default(), Interner::default());
        let pod = |number: usize| {
            workloads.intern(Workload {
                name: format!("owner-{}", number / 3).into(),
                kind: "Deployment".into(),
                namespace: format!("namespace-{}", number / 30).into(),
                pod: format!("owner-{}-{number}", number / 3).into(),
                ..Workload::default()
            })
        };
        let service = |number: usize| {
            let (name, namespace) = (format!("owner-{}", number / 3), format!("namespace-{}", number / 30));
            services.intern(Service { name: name.into(), namespace: namespace.into(), ambiguous: false })
        };
        let names = |number: usize| {
            let peer = number * 2 % 2_999;
            Names { local: Some(pod(number)), peer: Some(pod(peer)), service: Some(service(peer)) }
        };
        Self((0..3_000).map(names).collect())
    }

    /// Returns one pass, as [`pass`] does.
    fn pass(&self, number: u64) -> Vec<Batch> {
        let record = |cookie: u64| {
            let names = self.0[cookie as usize % self.0.len()].clone();
            ConnectionRecord { names, ..record(cookie, number, Role::Client) }
        };
        let records: Vec<_> = (0..CONNECTIONS).map(record).collect();
        let batches = records.chunks(BATCH).map(|chunk| Batch::records(chunk.to_vec()));
        let pass_end = PassEnd { tick: UnixNanos(number * 5 * SECOND), last: false };
        batches.chain([Batch::PassEnd(pass_end)]).collect()
    }
}

fn limited_window(max_series: u32) -> Vec<Box<dyn Processor>> {
    let config = WindowConfig {
        levels: Level::ALL.into_iter().collect(),
        min_age: GoDuration::default(),
        max_series,
        ..WindowConfig::default()
    };
    vec![Box::new(WindowProcessor::new(&config, &context("window", true)))]
}

/// Returns the process's resident memory in KiB.
fn resident_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_end_matches("kB").trim().parse().unwrap()
}

/// Prints the memory of a `window` processor with 100,000 open connections, and the number of its series.
fn print_memory(pods: &Pods, max_series: u32) {
    let passes = [1, 2].map(|number| pods.pass(number));
    let before = resident_memory();
    let mut stages = limited_window(max_series);
    let mut series = 0;
    for batches in passes {
        for batch in run(&mut stages, batches) {
            let Batch::Window(window) = batch else { continue };
            series = window.series.len();
        }
    }
    let used = resident_memory().saturating_sub(before);
    eprintln!("max_series: {max_series}: {series} series of 3 levels, {:.1} MiB", used as f64 / 1024.0);
}

fn window(levels: &[Level]) -> WindowProcessor {
    let config = WindowConfig {
        levels: levels.iter().copied().collect(),
        interval: GoDuration::from_secs(5),
        ..WindowConfig::default()
    };
    WindowProcessor::new(&config, &context("window", true))
}

fn service(directory: Arc<KnownNames>) -> ServiceProcessor {
    let mut context = context("service", false);
    context.directories = Directories::new([("directory".to_owned(), directory as Arc<dyn Directory>)]);
    let config =
        ServiceConfig { sources: vec!["directory".to_owned()], conntrack: false, ..ServiceConfig::default() };
    ServiceProcessor::new(&config, &context).unwrap()
}

/// Feeds a pass to the processors. The caller drops the result, as the last stage of a pipeline does.
fn run(stages: &mut [Box<dyn Processor>], batches: Vec<Batch>) -> Vec<Batch> {
    let mut out = Vec::new();
    let (mut now, mut next) = (Vec::new(), Vec::new());
    for batch in batches {
        now.push(batch);
        for stage in stages.iter_mut() {
            for batch in now.drain(..) {
                stage.process(batch, &mut next).unwrap();
            }
            std::mem::swap(&mut now, &mut next);
        }
        out.append(&mut now);
    }
    out
}

fn stages(levels: &[Level], with_workload: bool, with_window: bool) -> Vec<Box<dyn Processor>> {
    let mut stages: Vec<Box<dyn Processor>> = Vec::new();
    if with_workload {
        stages.push(Box::new(workload(&["process"], None)));
    }
    if with_window {
        stages.push(Box::new(window(levels)));
    }
    stages
}

fn bench(criterion: &mut Criterion<CpuTime>) {
    let coarse = [Level::Service, Level::Workload];
    let all = [Level::Service, Level::Workload, Level::Connection];
    let mut group = criterion.benchmark_group("records");
    group.throughput(Throughput::Elements(CONNECTIONS)).sample_size(20);
    for (name, levels, with_workload, with_window) in [
        ("workload", &coarse[..], true, false),
        ("window", &coarse, false, true),
        ("workload+window", &coarse, true, true),
        ("workload+window, connection level", &all, true, true),
    ] {
        // Open connections: their first records are processed, and their names are cached.
        let mut warm = stages(levels, with_workload, with_window);
        let mut number = 2;
        run(&mut warm, pass(1));
        group.bench_function(format!("{name}: open connections"), |bencher| {
            let mut next = || {
                number += 1;
                pass(number)
            };
            bencher.iter_batched(&mut next, |batches| run(&mut warm, batches), BatchSize::PerIteration);
        });
        group.bench_function(format!("{name}: new connections"), |bencher| {
            let fresh = || (stages(levels, with_workload, with_window), pass(1));
            bencher.iter_batched(
                fresh,
                |(mut stages, batches)| (run(&mut stages, batches), stages),
                BatchSize::PerIteration,
            );
        });
    }
    for (name, peers_known, changes, renames, is_new) in [
        ("open connections", true, false, false, false),
        ("new connections", true, false, false, true),
        ("new connections, peers unknown", false, false, false, true),
        ("open connections, changes", true, true, false, false),
        ("open connections, changes, peers unknown", false, true, false, false),
        ("open connections, renames", true, true, true, false),
    ] {
        let cgroup = some_cgroup();
        let directory = Arc::new(KnownNames::new());
        let fresh = || -> Vec<Box<dyn Processor>> {
            vec![Box::new(workload(&["directory", "cgroup"], Some(Arc::clone(&directory))))]
        };
        let mut warm = fresh();
        run(&mut warm, pass_of_others(1, peers_known, cgroup).collect());
        directory.changes.store(changes, Ordering::Relaxed);
        directory.renames.store(renames, Ordering::Relaxed);
        group.bench_function(format!("directory: {name}"), |bencher| {
            let batches = || pass_of_others(2, peers_known, cgroup).collect();
            if is_new {
                let both = || (fresh(), batches());
                bencher.iter_batched(
                    both,
                    |(mut stages, batches)| (run(&mut stages, batches), stages),
                    BatchSize::PerIteration,
                );
            } else {
                bencher.iter_batched(batches, |batches| run(&mut warm, batches), BatchSize::PerIteration);
            }
        });
    }
    let pods = Pods::new();
    for max_series in [1_000, 0] {
        print_memory(&pods, max_series);
    }
    let mut warm = limited_window(1_000);
    run(&mut warm, pods.pass(1));
    let mut number = 1;
    group.bench_function("window, three levels, max_series 1000: open connections", |bencher| {
        let mut next = || {
            number += 1;
            pods.pass(number)
        };
        bencher.iter_batched(&mut next, |batches| run(&mut warm, batches), BatchSize::PerIteration);
    });
    group.bench_function("window, three levels, max_series 1000: new connections", |bencher| {
        bencher.iter_batched(
            || (limited_window(1_000), pods.pass(1)),
            |(mut stages, batches)| (run(&mut stages, batches), stages),
            BatchSize::PerIteration,
        );
    });
    let directory = Arc::new(KnownNames::new());
    let mut all: Vec<Box<dyn Processor>> = vec![
        Box::new(workload(&["directory", "cgroup"], Some(Arc::clone(&directory)))),
        Box::new(service(directory)),
        Box::new(window(&coarse)),
    ];
    let pass_end = |number| Batch::PassEnd(PassEnd { tick: UnixNanos(number * 5 * SECOND), last: false });
    let (cgroup, mut number) = (some_cgroup(), 0);
    let mut next = || {
        number += 1;
        pass_of_others(number, true, cgroup).chain([pass_end(number)])
    };
    run(&mut all, next().collect());
    group.bench_function("workload+service+window: open connections", |bencher| {
        bencher.iter_batched(|| next().collect(), |batches| run(&mut all, batches), BatchSize::PerIteration);
    });
    group.bench_function("workload+service+window: open connections, as they come", |bencher| {
        bencher.iter_custom(|passes| {
            let mut spent = CpuTime.zero();
            for batch in (0..passes).flat_map(|_| next()) {
                let begun = CpuTime.start();
                run(&mut all, vec![batch]);
                spent += CpuTime.end(begun);
            }
            spent
        });
    });
    group.finish();
}

criterion_group!(name = benches; config = Criterion::default().with_measurement(CpuTime); targets = bench);
criterion_main!(benches);
