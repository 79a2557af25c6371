//! Hooks that other tools use: callbacks for socket operations, and messages that pass through a sock map.

use std::fs::File;

use aya::Ebpf;
use aya::maps::SockHash;
use aya::maps::sock::SockMapFd;
use aya::programs::links::CgroupAttachMode;
use aya::programs::sk_msg::SkMsgLink;
use aya::programs::sock_ops::SockOpsLink;
use aya::programs::{SkMsg, SockOps};
use longwave_tests::cgroup;

use crate::Subject;
use crate::load::Load;
use crate::programs::object;

/// `sockops` with callbacks for round trips, retransmissions and changes of state, which update counters in a hash map.
pub struct Callbacks {
    ebpf: Ebpf,
    link: Option<SockOpsLink>,
}

/// `sk_msg` over a sock map that `sockops` fills.
pub struct Messages {
    ebpf: Ebpf,
    sockets: SockMapFd,
    links: Option<(SockOpsLink, SkMsgLink)>,
}

fn root_cgroup() -> File {
    File::open(cgroup::mount_point().expect("cgroup2 is not mounted")).unwrap()
}

fn attach_sock_ops(ebpf: &mut Ebpf, name: &str) -> SockOpsLink {
    let program: &mut SockOps = ebpf.program_mut(name).unwrap().try_into().unwrap();
    let link = program.attach(root_cgroup(), CgroupAttachMode::Single).unwrap();
    program.take_link(link).unwrap()
}

// === impl Callbacks ===

impl Callbacks {
    pub fn new() -> Self {
        let mut ebpf = object();
        let program: &mut SockOps = ebpf.program_mut("callbacks").unwrap().try_into().unwrap();
        program.load().unwrap();
        Self { ebpf, link: None }
    }
}

impl Subject for Callbacks {
    fn name(&self) -> String {
        "sockops, callbacks into a hash".to_owned()
    }

    fn on(&mut self, _: &Load) {
        self.link = Some(attach_sock_ops(&mut self.ebpf, "callbacks"));
    }

    fn off(&mut self) {
        self.link = None;
    }
}

// === impl Messages ===

impl Messages {
    pub fn new() -> Self {
        let mut ebpf = object();
        let program: &mut SockOps = ebpf.program_mut("collect").unwrap().try_into().unwrap();
        program.load().unwrap();
        let program: &mut SkMsg = ebpf.program_mut("messages").unwrap().try_into().unwrap();
        program.load().unwrap();
        let sockets: SockHash<_, u64> = ebpf.map("sockets").unwrap().try_into().unwrap();
        let sockets = sockets.fd().try_clone().unwrap();
        Self { ebpf, sockets, links: None }
    }
}

impl Subject for Messages {
    fn name(&self) -> String {
        "sk_msg through a sock map".to_owned()
    }

    fn on(&mut self, _: &Load) {
        let collect = attach_sock_ops(&mut self.ebpf, "collect");
        let program: &mut SkMsg = self.ebpf.program_mut("messages").unwrap().try_into().unwrap();
        let link = program.attach(&self.sockets).unwrap();
        self.links = Some((collect, program.take_link(link).unwrap()));
    }

    fn off(&mut self) {
        self.links = None;
    }
}
