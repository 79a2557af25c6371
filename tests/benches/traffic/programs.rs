//! Subjects that are BPF programs: those of Longwave, and two empty ones for comparison.

use aya::programs::BtfTracePoint;
use aya::programs::tp_btf::BtfTracePointLinkId;
use aya::{Btf, Ebpf};
use longwave_receivers::bpf::kernel::{Kernel, Options};

use crate::Subject;
use crate::load::Load;

/// Two empty programs. Their cost is the minimum for any two programs.
pub struct Empty {
    ebpf: Ebpf,
    links: Vec<(&'static str, BtfTracePointLinkId)>,
}

/// Longwave's programs, whose rings are read only between phases.
pub struct Programs(Kernel);

const EMPTY: [&str; 2] = ["empty", "empty_again"];

/// Loads the object with the programs of the benches.
pub fn object() -> Ebpf {
    let path = std::env::var("LONGWAVE_BENCH_OBJECT").expect("run it by `cargo xtask bench traffic`");
    Ebpf::load(&std::fs::read(path).unwrap()).unwrap()
}

// === impl Empty ===

impl Empty {
    pub fn new() -> Self {
        let mut ebpf = object();
        let types = Btf::from_sys_fs().unwrap();
        for name in EMPTY {
            program(&mut ebpf, name).load("inet_sock_set_state", &types).unwrap();
        }
        Self { ebpf, links: Vec::new() }
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut BtfTracePoint {
    ebpf.program_mut(name).unwrap().try_into().unwrap()
}

impl Subject for Empty {
    fn name(&self) -> String {
        "two empty programs".to_owned()
    }

    fn on(&mut self, _: &Load) {
        for name in EMPTY {
            self.links.push((name, program(&mut self.ebpf, name).attach().unwrap()));
        }
    }

    fn off(&mut self) {
        for (name, link) in self.links.drain(..) {
            program(&mut self.ebpf, name).detach(link).unwrap();
        }
    }
}

// === impl Programs ===

impl Programs {
    pub fn new() -> Self {
        let mut kernel = Kernel::load(&Options::default()).unwrap();
        kernel.set_attached(false).unwrap();
        Self(kernel)
    }
}

impl Subject for Programs {
    fn name(&self) -> String {
        "Longwave's programs alone".to_owned()
    }

    fn on(&mut self, _: &Load) {
        self.0.set_attached(true).unwrap();
    }

    fn off(&mut self) {
        self.0.set_attached(false).unwrap();
        self.0.drain_transitions(&mut |_| {});
        // Closes of connections that were open when the programs were detached are not reported.
        self.0.pass(&mut |_| {}).unwrap();
    }
}
