//! Creations and removals of cgroups, and the scope that follows them, with real cgroups and processes in them.

use std::cell::RefCell;
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;

use longwave_ebpf_abi::ConnectionEvent;
use longwave_pipeline::component::cgroup::{CgroupPaths, Mount};
use longwave_pipeline::component::host;
use longwave_receivers::bpf::kernel::{Kernel, Options, Transition};
use longwave_testing::gate;
use longwave_testing::harness::started_as;

use super::host::{forks, kernel, listen, pass};

/// First argument of this binary as a client. The second is the address to which it connects.
const CLIENT: &str = "--client";

/// Connects, and stays connected until the peer closes. Returns `None` if this process is no client.
pub fn client() -> Option<ExitCode> {
    if !started_as(CLIENT) {
        return None;
    }
    let address: SocketAddr = std::env::args().nth(2)?.parse().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    Some(ExitCode::SUCCESS)
}

/// A cgroup that is removed when dropped.
struct Group(PathBuf);

impl Group {
    /// Creates a cgroup of version 2 with the name `longwave-<pid>-<name>`, or one below it.
    fn new(name: &str) -> Self {
        let mount = mount();
        let path = mount.join(format!("longwave-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(path)
    }

    fn id(&self) -> u64 {
        fs::metadata(&self.0).unwrap().ino()
    }

    /// Returns the path below the mount point.
    fn path(&self) -> String {
        format!("/{}", self.0.strip_prefix(mount()).unwrap().display())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).unwrap();
    }
}

fn mount() -> PathBuf {
    match Mount::of_this_host() {
        Some(mount) if mount.is_whole => mount.point,
        _ => gate::missing("no mount of the whole tree of cgroup2", "LONGWAVE_REQUIRE_BPF"),
    }
}

/// A client in a process of its own, in a cgroup.
struct Client {
    process: Child,
    server: TcpStream,
    /// The client's port.
    port: u16,
}

impl Client {
    fn connect(group: &Path, listener: &TcpListener) -> Self {
        let _alone = forks();
        let script = "echo 0 > \"$1/cgroup.procs\" && exec \"$2\" \"$3\" \"$4\"";
        let process = Command::new("sh")
            .args(["-c", script, "sh"])
            .args([group, &std::env::current_exe().unwrap()])
            .args([CLIENT, &listener.local_addr().unwrap().to_string()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (server, peer) = listener.accept().unwrap();
        Self { process, server, port: peer.port() }
    }

    /// Closes the connection and waits for the end of the process. Returns the client's port.
    fn finish(mut self) -> u16 {
        drop(self.server);
        assert!(self.process.wait().unwrap().success());
        self.port
    }
}

/// Drains the transitions. Returns the events of the client's socket that has this local port.
fn events_of(kernel: &mut Kernel, port: u16) -> Vec<ConnectionEvent> {
    let mut events = Vec::new();
    kernel.drain_transitions(&mut |transition| {
        if let Transition::Connection(event) = transition
            && event.tuple.local_port == port
        {
            events.push(*event);
        }
    });
    events
}

/// *Scenario*: a client in a new cgroup connects and ends, and the cgroup is removed, before anything is read.
/// *Guarantees*: the path of the cgroup is known when the first event of its socket is delivered, and stays known.
pub fn privileged_a_removed_cgroup_has_its_path() {
    let mut kernel = kernel(&Options { emit_open: true, ..Options::default() });
    let paths = Arc::new(CgroupPaths::default());
    kernel.report_cgroups(Arc::clone(&paths));
    let listener = listen();
    let group = Group::new("gone");
    let (id, path) = (group.id(), group.path());
    let port = Client::connect(&group.0, &listener).finish();
    drop(group);
    let known = RefCell::new(Vec::new());
    kernel.drain_transitions(&mut |transition| {
        if let Transition::Connection(event) = transition
            && event.tuple.local_port == port
        {
            known.borrow_mut().push((event.owner.socket_cgroup, paths.path(event.owner.socket_cgroup)));
        }
    });
    let expected = (id, Some(path.as_str().into()));
    assert_eq!(known.into_inner(), [expected.clone(), expected]);
    assert_eq!(kernel.refused_cgroups(), None);
    assert_eq!(paths.path(id).as_deref(), Some(path.as_str()));
}

/// *Scenario*: a cgroup of a hierarchy of version 1 is created and removed.
/// *Guarantees*: it is not reported, since sockets have cgroups of version 2 only.
pub fn privileged_version_1_is_not_reported() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let Some(mount) = host::mounts(&mounts).find(|mount| mount.kind == "cgroup").map(|mount| mount.point)
    else {
        gate::skip("no hierarchy of version 1")
    };
    let mut kernel = kernel(&Options::default());
    let paths = Arc::new(CgroupPaths::default());
    kernel.report_cgroups(Arc::clone(&paths));
    let name = format!("longwave-{}-v1", std::process::id());
    let group = Group(mount.join(&name));
    fs::create_dir(&group.0).unwrap();
    let id = group.id();
    drop(group);
    let of_version_2 = Group::new("v2");
    kernel.drain_transitions(&mut |_| {});
    assert_eq!(paths.path(of_version_2.id()).as_deref(), Some(of_version_2.path().as_str()));
    assert!(paths.path(id).is_none_or(|path| !path.contains(&name)));
}

/// *Scenario*: a scope that no cgroup matches at first. A cgroup that matches is created, removed and created again, as at the restart of a
/// unit, with a client each time; there is also one below it, and one that does not match. Nothing is read in between.
/// *Guarantees*: exactly the connections of the cgroups that match are reported, from the first one on, also by passes.
pub fn privileged_a_scope_follows_its_pattern() {
    let pattern = format!("{}/longwave-{}-scope*", mount().display(), std::process::id()).parse().unwrap();
    let mut kernel = kernel(&Options {
        emit_open: true,
        cgroup: Some(pattern),
        max_connections: 4_096,
        ..Options::default()
    });
    assert!(kernel.unmatched_cgroup().is_some());
    let listener = listen();
    for round in 0..2 {
        let group = Group::new("scope-1");
        let below = Group::new("scope-1/worker");
        let other = Group::new("other");
        let [own, deeper, outside, here] =
            [&group.0, &below.0, &other.0, &mount()].map(|group: &PathBuf| Client::connect(group, &listener));
        let long = [Client::connect(&group.0, &listener), Client::connect(&other.0, &listener)];
        let ports = [own, deeper, outside, here].map(Client::finish);
        let mut seen = Vec::new();
        kernel.drain_transitions(&mut |transition| {
            if let Transition::Connection(event) = transition {
                seen.push(event.tuple.local_port);
            }
        });
        let count = |port: u16| seen.iter().filter(|seen| **seen == port).count();
        assert_eq!(ports.map(count), [2, 2, 0, 0], "round {round}: {seen:?}");
        assert_eq!(
            seen.len(),
            5,
            "the ends of this process, and the other cgroup, are not reported: {seen:?}"
        );
        assert!(kernel.unmatched_cgroup().is_none());
        // Decided by now: the kernel side does not track further connections of the other cgroup.
        let later = Client::connect(&other.0, &listener).finish();
        assert_eq!(events_of(&mut kernel, later).len(), 0);
        let sampled: Vec<u16> = pass(&mut kernel).iter().map(|event| event.tuple.local_port).collect();
        assert_eq!(sampled, [long[0].port], "round {round}");
        let ports = long.map(Client::finish);
        assert_eq!(ports.map(|port| events_of(&mut kernel, port).len()), [1, 0]);
        drop((below, group, other));
    }
    assert_eq!(kernel.losses().cgroup_scope_full, 0);
}

/// *Scenario*: so many cgroups come and go that their ring is full, and then one that the scope selects, with a connection that stays open.
/// *Guarantees*: the loss is counted, and the next pass finds the cgroup and reports the connection.
pub fn privileged_lost_cgroups_are_found_by_the_next_pass() {
    let pattern = format!("/longwave-{}-found", std::process::id()).parse().unwrap();
    let mut kernel = kernel(&Options { cgroup: Some(pattern), max_connections: 4_096, ..Options::default() });
    while kernel.losses().cgroup_ring_full == 0 {
        (0..500).for_each(|_| drop(Group::new("churn")));
    }
    let listener = listen();
    let (group, other) = (Group::new("found"), Group::new("unrelated"));
    let clients = [&group, &other].map(|group| Client::connect(&group.0, &listener));
    kernel.drain_transitions(&mut |_| {});
    let sampled: Vec<u16> = pass(&mut kernel).iter().map(|event| event.tuple.local_port).collect();
    assert_eq!(sampled, [clients[0].port]);
    let ports = clients.map(Client::finish);
    let mut seen = Vec::new();
    kernel.drain_transitions(&mut |transition| {
        if let Transition::Connection(event) = transition {
            seen.push(event.tuple.local_port);
        }
    });
    assert_eq!(seen, [ports[0]]);
    assert!(kernel.losses().by_reason().any(|(reason, count)| reason == "cgroup_ring_full" && count > 0));
}
