//! Longwave's programs alone, and the least that two programs at their place can cost.

use aya::programs::BtfTracePoint;
use aya::programs::tp_btf::BtfTracePointLinkId;
use aya::{Btf, Ebpf};
use longwave_receivers::bpf::kernel::{Kernel, Options};

use crate::Subject;
use crate::load::Load;

/// Two programs that do nothing: the floor.
pub struct Empty {
    ebpf: Ebpf,
    links: Vec<(&'static str, BtfTracePointLinkId)>,
}

/// Longwave's programs, with a reader that looks only between phases.
pub struct Programs(Kernel);

const EMPTY: [&str; 2] = ["empty", "empty_again"];

/// The programs that Longwave is compared with, loaded by none.
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
        // What was open when the programs were detached is not seen to close.
        self.0.pass(&mut |_| {}).unwrap();
    }
}
