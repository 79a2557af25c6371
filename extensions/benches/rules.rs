//! CPU time of a look-up in a file of 1,100 rules.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, criterion_group, criterion_main};
use longwave_extensions::static_file::{StaticConfig, StaticExtension};
use longwave_pipeline::component::{CgroupName, Extension, ExtensionContext, Health};
use longwave_pipeline::model::{Endpoint, UnixNanos};
use opentelemetry::metrics::MeterProvider;
use opentelemetry::metrics::noop::NoopMeterProvider;

const NETWORKS: u32 = 1_000;
const CGROUPS: u32 = 100;

fn rules(c: &mut Criterion) {
    let mut text = String::from("rules:\n- {cidrs: [10.0.0.0/8], workload: {name: all}}\n");
    for index in 0..NETWORKS {
        let network = Ipv4Addr::from(0x0a00_0000 + index * 256);
        writeln!(
            text,
            "- {{cidrs: [{network}/24], ports: [443, \"8000-9000\"], workload: {{name: w{index}}}}}"
        )
        .unwrap();
    }
    for index in 0..CGROUPS {
        writeln!(
            text,
            "- {{cgroups: [\"/system.slice/unit{index}@*.service\"], workload: {{name: u{index}}}}}"
        )
        .unwrap();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let config = StaticConfig { file: file.path().display().to_string(), ..StaticConfig::default() };
    let context = ExtensionContext {
        id: "static".to_owned(),
        meter: NoopMeterProvider::new().meter("bench"),
        health: Health::default(),
    };
    let directory = StaticExtension::new(&config, &context).unwrap().directory().unwrap();

    let mut next = 0_u32;
    let mut end = |base: u32, port: u16| {
        next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let address = IpAddr::V4(Ipv4Addr::from(base + next % (NETWORKS * 256)));
        Endpoint { address, port }
    };
    for (name, base, port) in
        [("port", 0x0a00_0000, 443), ("outer network", 0x0a00_0000, 80), ("nothing", 0x0b00_0000, 80)]
    {
        c.bench_function(&format!("static/address/{name}"), |b| {
            b.iter(|| directory.workload_of_address(black_box(end(base, port)), UnixNanos(1)));
        });
    }
    for path in ["/system.slice/unit77@main.service", "/user.slice/user-1000.slice/session-1.scope"] {
        let cgroup = CgroupName { path, ..CgroupName::default() };
        c.bench_function(&format!("static/cgroup{path}"), |b| {
            b.iter(|| directory.workload_of_cgroup(black_box(&cgroup), UnixNanos(1)));
        });
    }
}

criterion_group!(benches, rules);
criterion_main!(benches);
