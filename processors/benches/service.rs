//! Measures how many records per second pass through `service`. There are 100,000 connections with one record each per pass, in batches of
//! 1,024. A hash table provides the names.
//!
//! The bench measures the thread's CPU time, because build machines are rarely idle. The thread that queries the kernel is not included.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use longwave_pipeline::component::{
    Accounting, Answer, CgroupName, Directories, Directory, NodeKind, Processor, ProcessorContext, Signal,
};
use longwave_pipeline::model::{
    Batch, ConnectionId, ConnectionRecord, Endpoint, Handle, Interner, PassEnd, Role, Service, UnixNanos,
    Workload,
};
use longwave_processors::service::{ServiceConfig, ServiceProcessor};

use longwave_testing::cpu_time::CpuTime;

const CONNECTIONS: u64 = 100_000;
const BATCH: usize = 1024;
const SERVICES: u64 = 1000;

/// Services by address.
struct Table(HashMap<Endpoint, Handle<Service>>);

impl Directory for Table {
    fn version(&self) -> u64 {
        0
    }

    fn workload_of_cgroup(&self, _: &CgroupName<'_>, _: UnixNanos) -> Answer<Handle<Workload>> {
        Answer::Unknown
    }

    fn workload_of_address(&self, _: Endpoint, _: UnixNanos) -> Answer<Handle<Workload>> {
        Answer::Unknown
    }

    fn service_of_address(&self, original: Endpoint, _: UnixNanos) -> Answer<Handle<Service>> {
        self.0.get(&original).map_or(Answer::Unknown, |service| Answer::Known(service.clone()))
    }

    fn service_of_backend(&self, backend: Endpoint, at: UnixNanos) -> Answer<Handle<Service>> {
        self.service_of_address(backend, at)
    }

    fn is_translated(&self, _: IpAddr) -> bool {
        true
    }
}

fn address(number: u64) -> Endpoint {
    Endpoint { address: IpAddr::V4(Ipv4Addr::from(0x0a60_0000 + number as u32)), port: 80 }
}

fn records(role: Role) -> Vec<Batch> {
    let record = |cookie: u64| {
        let client = Endpoint {
            address: IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + (cookie / 60_000) as u32)),
            port: 1024 + (cookie % 60_000) as u16,
        };
        let server = address(cookie % SERVICES);
        let (local, peer) = if role == Role::Client { (client, server) } else { (server, client) };
        let id = ConnectionId { cookie: cookie * 7919 % 1_000_003, ..ConnectionId::default() };
        ConnectionRecord { id, role, local, peer, ..ConnectionRecord::blank() }
    };
    let records: Vec<_> = (0..CONNECTIONS).map(record).collect();
    let batches = records.chunks(BATCH).map(|chunk| Batch::records(chunk.to_vec()));
    batches.chain([Batch::PassEnd(PassEnd { tick: UnixNanos(1), last: false })]).collect()
}

fn processor(conntrack: bool) -> ServiceProcessor {
    let names = Interner::default();
    let services = (0..SERVICES).map(|number| {
        let name = format!("service-{number}");
        (address(number), names.intern(Service { name: name.into(), ..Service::default() }))
    });
    let table: Arc<dyn Directory> = Arc::new(Table(services.collect()));
    let accounting = Accounting::default();
    let context = ProcessorContext {
        id: "service".to_owned(),
        pipeline: "metrics".to_owned(),
        node: accounting.node(NodeKind::Processor, "service", "metrics", Signal::Metrics, false),
        meter: opentelemetry::global::meter("bench"),
        directories: Directories::new([("table".to_owned(), table)]),
        shared: Default::default(),
    };
    let config = ServiceConfig { sources: vec!["table".to_owned()], conntrack, hold: Default::default() };
    ServiceProcessor::new(&config, &context).unwrap()
}

fn run(processor: &mut ServiceProcessor, batches: Vec<Batch>) -> Vec<Batch> {
    let mut out = Vec::with_capacity(batches.len());
    for batch in batches {
        processor.process(batch, &mut out).unwrap();
    }
    out
}

fn bench(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("service");
    group.throughput(Throughput::Elements(CONNECTIONS)).sample_size(20);
    // The cost of reading each record's identity from cold memory and writing a name into it.
    let name = Interner::default().intern(Service::default());
    group.bench_function("floor: one name for all, nothing looked up", |bencher| {
        bencher.iter_batched(
            || records(Role::Client),
            |mut batches| {
                for batch in &mut batches {
                    if let Batch::Records(records) = batch {
                        for record in Arc::make_mut(records).iter_mut() {
                            std::hint::black_box(record.id);
                            record.names.service = Some(name.clone());
                        }
                    }
                }
                batches
            },
            BatchSize::PerIteration,
        );
    });
    let mut warm = processor(false);
    run(&mut warm, records(Role::Client));
    group.bench_function("open connections", |bencher| {
        bencher.iter_batched(
            || records(Role::Client),
            |batches| run(&mut warm, batches),
            BatchSize::PerIteration,
        );
    });
    for (name, role, conntrack) in [
        ("new clients", Role::Client, false),
        ("new servers", Role::Server, false),
        ("new servers, looked up in the kernel", Role::Server, true),
    ] {
        group.bench_function(name, |bencher| {
            let fresh = || (processor(conntrack), records(role));
            bencher.iter_batched(
                fresh,
                |(mut processor, batches)| (run(&mut processor, batches), processor),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(name = benches; config = Criterion::default().with_measurement(CpuTime); targets = bench);
criterion_main!(benches);
