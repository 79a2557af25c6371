//! Connections that are older than the programs.

use std::io::Write;
use std::process::Command;

use longwave_ebpf_abi::flag;
use longwave_receivers::bpf::kernel::Options;

use super::host::{self, SeenEvents, connect, cookie, kernel, listen, pass};

/// *Scenario*: a connection and a listener exist before the programs are loaded. Seeding runs twice.
/// *Guarantees*: the first pass emits the connection once, with its process and without a start. The listener is reported with its process.
/// The second seeding adds nothing.
pub fn privileged_older_connections_are_seeded_once() {
    let _alone = host::forks();
    let listener = listen();
    let (mut client, _server) = connect(&listener);
    client.write_all(&[1; 10]).unwrap();
    let mut kernel = kernel(&Options::default());
    let report = kernel.seed();
    assert!(report.seeded >= 2, "{report:?}");
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.namespaces_refused, Vec::<String>::new());
    kernel.seed();
    let ours: Vec<_> =
        pass(&mut kernel).into_iter().filter(|event| event.cookie == cookie(&client)).collect();
    assert_eq!(ours.len(), 1);
    assert_eq!(ours[0].flags & (flag::START_KNOWN | flag::ESTABLISHED), flag::ESTABLISHED);
    assert_eq!((ours[0].generation, ours[0].owner.pid), (0, std::process::id()));
    assert_ne!(ours[0].owner.name, [0; 16]);
    assert_eq!(ours[0].tuple.local_port, client.local_addr().unwrap().port());
    let mut seen = SeenEvents::default();
    seen.drain(&mut kernel);
    let listens: Vec<_> = seen.listens.iter().filter(|event| event.cookie == cookie(&listener)).collect();
    assert!(!listens.is_empty());
    assert!(listens.iter().all(|event| event.owner.pid == std::process::id()), "{listens:?}");
}

/// *Scenario*: another network namespace has a connection and an orphan, which its process has closed and whose peer does not read the
/// data.
/// *Guarantees*: seeding finds both, with the inode of that namespace. The orphan has no process.
pub fn privileged_other_namespaces_and_orphans_are_seeded() {
    drop(kernel(&Options { max_connections: 64, ..Options::default() }));
    let (send, receive) = std::sync::mpsc::channel();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || {
        own_namespace();
        let listener = listen();
        let (client, peer) = connect(&listener);
        let (mut orphan, orphans_peer) = connect(&listener);
        let orphan_cookie = cookie(&orphan);
        // The window of the peer is full, so that the orphan stays in FIN_WAIT1.
        orphan.set_nonblocking(true).unwrap();
        while orphan.write(&[7; 65_536]).is_ok() {}
        drop(orphan);
        let namespace = std::fs::metadata("/proc/thread-self/ns/net").unwrap();
        let inode = std::os::unix::fs::MetadataExt::ino(&namespace);
        send.send((cookie(&client), orphan_cookie, inode)).unwrap();
        let _ = wait.recv();
        drop((client, peer, orphans_peer, listener));
    });
    let (client, orphan, inode) = receive.recv().unwrap();
    let mut kernel = kernel(&Options::default());
    let report = kernel.seed();
    assert!(report.namespaces_entered >= 2, "{report:?}");
    let events = pass(&mut kernel);
    let of = |cookie: u64| events.iter().find(|event| event.cookie == cookie).copied();
    let client = of(client).expect("the client is missing");
    let orphan = of(orphan).expect("the orphan is missing");
    assert_eq!((u64::from(client.owner.netns), u64::from(orphan.owner.netns)), (inode, inode));
    assert_eq!((client.owner.pid, orphan.owner.pid), (std::process::id(), 0));
    drop(done);
    other.join().unwrap();
}

/// Moves the calling thread and its later children into a new network namespace with a loopback device.
pub fn own_namespace() {
    // SAFETY: the call takes no pointers.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "{}", std::io::Error::last_os_error());
    let _alone = host::forks();
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
}
