//! Every combination of settings passes the verifier.

use longwave_receivers::bpf::kernel::{Families, Options, Verdict, probe};

use super::host::kernel;

/// *Scenario*: each combination of the options that become read-only data. The verifier removes the code of what is switched off, so that
/// each combination is a different program.
/// *Guarantees*: all combinations load and attach one after the other, and every program is listed.
pub fn privileged_every_combination_of_switches_loads() {
    for bits in 0..128u32 {
        let on = |bit: u32| bits >> bit & 1 != 0;
        let options = Options {
            emit_open: on(0),
            connect_time: on(1),
            families: Families { v4: true, v6: on(2) },
            pre_existing: on(3),
            ports: if on(4) { vec![80, 443] } else { Vec::new() },
            cgroup: on(5).then(|| "/**".parse().unwrap()),
            heartbeat_passes: if on(6) { 12 } else { 0 },
            max_connections: 64,
            ..Options::default()
        };
        let kernel = kernel(&options);
        // Kernels from 7.0 on need a third copy of `state`.
        let names = kernel.program_stats().into_iter().map(|program| program.name);
        let names: Vec<_> = names.filter(|name| *name != "state_third").collect();
        let expected = [
            "state",
            "state_again",
            "sample",
            "seed_files",
            "seed_namespace",
            "cgroup_created",
            "cgroup_removed",
        ];
        assert_eq!(names, expected, "{options:?}");
    }
}

/// *Scenario*: only IPv6, no address family, and sizes at their limits.
/// *Guarantees*: these options load too.
pub fn privileged_unusual_options_load() {
    for options in [
        Options { families: Families { v4: false, v6: true }, max_connections: 64, ..Options::default() },
        Options { families: Families { v4: false, v6: false }, max_connections: 64, ..Options::default() },
        Options {
            max_connections: 0,
            transitions_ring_bytes: 0,
            samples_ring_bytes: 0,
            ..Options::default()
        },
        Options { max_connections: 1_000_000, transitions_ring_bytes: 5_000_000, ..Options::default() },
    ] {
        drop(kernel(&options));
    }
}

/// *Scenario*: the facts of a host on which the kernel side loads.
/// *Guarantees*: none of them is `Missing`.
pub fn privileged_the_probe_agrees_with_loading() {
    let options = Options { max_connections: 64, ..Options::default() };
    drop(kernel(&options));
    for fact in probe(&options) {
        assert_ne!(fact.verdict, Verdict::Missing, "{fact:?}");
    }
}

/// *Scenario*: the copies of `state` are detached, and attached again.
/// *Guarantees*: the kernel side reports a fault only while they are detached.
pub fn privileged_detached_programs_are_a_fault() {
    let mut kernel = kernel(&Options { max_connections: 64, ..Options::default() });
    assert_eq!(kernel.fault(), None);
    kernel.set_attached(false).unwrap();
    assert_eq!(kernel.fault().as_deref(), Some("the program `state` is detached"));
    kernel.set_attached(true).unwrap();
    assert_eq!(kernel.fault(), None);
}
