//! What is switched on and off.

use aya::programs::BtfTracePoint;
use aya::programs::tp_btf::BtfTracePointLinkId;
use aya::{Btf, Ebpf};
use longwave_receivers::bpf::kernel::{Kernel, Options};

/// Something that costs the load.
pub trait Subject {
    /// For the table.
    fn name(&self) -> &'static str;
    /// Switches it on.
    fn on(&mut self);
    /// Switches it off.
    fn off(&mut self);
}

/// Two programs that do nothing: the floor.
pub struct Empty {
    ebpf: Ebpf,
    links: Vec<(&'static str, BtfTracePointLinkId)>,
}

impl Empty {
    pub fn new() -> Self {
        let path = std::env::var("LONGWAVE_BENCH_OBJECT").unwrap();
        let mut ebpf = Ebpf::load(&std::fs::read(path).unwrap()).unwrap();
        let types = Btf::from_sys_fs().unwrap();
        for name in ["empty", "empty_again"] {
            program(&mut ebpf, name).load("inet_sock_set_state", &types).unwrap();
        }
        Self { ebpf, links: Vec::new() }
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut BtfTracePoint {
    ebpf.program_mut(name).unwrap().try_into().unwrap()
}

impl Subject for Empty {
    fn name(&self) -> &'static str {
        "two empty programs"
    }

    fn on(&mut self) {
        for name in ["empty", "empty_again"] {
            let link = program(&mut self.ebpf, name).attach().unwrap();
            self.links.push((name, link));
        }
    }

    fn off(&mut self) {
        for (name, link) in self.links.drain(..) {
            program(&mut self.ebpf, name).detach(link).unwrap();
        }
    }
}

/// Longwave's programs, with a reader that looks only between phases.
pub struct Programs(Kernel);

impl Programs {
    pub fn new() -> Self {
        let mut kernel = Kernel::load(&Options::default()).unwrap();
        kernel.set_attached(false).unwrap();
        Self(kernel)
    }
}

impl Subject for Programs {
    fn name(&self) -> &'static str {
        "Longwave's programs"
    }

    fn on(&mut self) {
        self.0.set_attached(true).unwrap();
    }

    fn off(&mut self) {
        self.0.set_attached(false).unwrap();
        self.0.drain_transitions(&mut |_| {});
        self.0.pass(&mut |_| {}).unwrap();
    }
}
