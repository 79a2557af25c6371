//! Connections that are opened in unusual ways: restored without a SYN, and with a SYN that leaves at the first write.

use std::ffi::c_int;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;

use longwave_ebpf_abi::flag;
use longwave_receivers::bpf::kernel::Options;
use longwave_testing::gate;
use socket2::{Domain, Socket, Type};

use super::connections::await_closes;
use super::host::{SeenEvents, cookie, forks, kernel, listen, received, sent};
use super::seeding::own_namespace;

/// Sets a socket option of TCP.
fn set(socket: &impl AsFd, option: c_int, value: c_int) {
    // SAFETY: the option is an integer of this size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            size_of::<c_int>() as u32,
        )
    };
    assert_eq!(result, 0, "option {option}: {}", std::io::Error::last_os_error());
}

/// Returns a bound socket in repair mode, with the sequence numbers of a connection that transferred data elsewhere.
fn repairing(send_sequence: c_int, receive_sequence: c_int) -> Socket {
    const RECEIVE_QUEUE: c_int = 1;
    const SEND_QUEUE: c_int = 2;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    set(&socket, libc::TCP_REPAIR, 1);
    for (queue, sequence) in [(SEND_QUEUE, send_sequence), (RECEIVE_QUEUE, receive_sequence)] {
        set(&socket, libc::TCP_REPAIR_QUEUE, queue);
        set(&socket, libc::TCP_QUEUE_SEQ, sequence);
    }
    socket
}

/// *Scenario*: both ends of a connection are restored by `TCP_REPAIR`, as CRIU does. They transfer 300 and 7 bytes. Then one end is closed in
/// repair mode, as if it moved to another host.
/// *Guarantees*: the bytes are exact, because a SYN that was never sent is not subtracted. The close in repair mode is marked.
pub fn privileged_a_restored_connection_has_no_syn() {
    let mut kernel = kernel(&Options::default());
    let mut seen = SeenEvents::default();
    let (one, two) = (repairing(1_000_000, 2_000_000), repairing(2_000_000, 1_000_000));
    let (address_one, address_two) = (one.local_addr().unwrap(), two.local_addr().unwrap());
    one.connect(&address_two).unwrap();
    two.connect(&address_one).unwrap();
    for socket in [&one, &two] {
        set(socket, libc::TCP_REPAIR, 0);
    }
    let (mut one, mut two) = (TcpStream::from(one), TcpStream::from(two));
    one.write_all(&[1; 300]).unwrap();
    two.read_exact(&mut [0; 300]).unwrap();
    two.write_all(&[2; 7]).unwrap();
    one.read_exact(&mut [0; 7]).unwrap();
    let cookies = [cookie(&one), cookie(&two)];
    set(&one, libc::TCP_REPAIR, 1);
    drop(one);
    socket2::SockRef::from(&two).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(two);
    await_closes(&mut kernel, &mut seen, &cookies);
    let [one, two] = cookies.map(|cookie| seen.closes_of(cookie)[0]);
    assert_eq!((sent(&one, false), received(&one)), (300, 7), "{one:?}");
    assert_eq!((sent(&two, false), received(&two)), (7, 300), "{two:?}");
    assert_eq!(one.flags & (flag::NO_SYN | flag::REPAIR), flag::NO_SYN | flag::REPAIR);
    assert_eq!(two.flags & (flag::NO_SYN | flag::REPAIR), flag::NO_SYN);
}

/// *Scenario*: with `TCP_FASTOPEN_CONNECT`, `connect` returns immediately, and the SYN leaves with the first write.
/// *Guarantees*: the connect took no longer than from the write to ESTABLISHED.
pub fn privileged_a_deferred_connect_counts_from_its_syn() {
    /// Client and server use fast open, without cookies.
    const WITHOUT_COOKIES: &str = "519";
    std::thread::spawn(|| {
        own_namespace();
        std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", WITHOUT_COOKIES)
            .unwrap_or_else(|error| gate::skip(format!("fast open cannot be enabled: {error}")));
        let mut kernel = kernel(&Options { emit_open: true, ..Options::default() });
        let mut seen = SeenEvents::default();
        let listener = listen();
        set(&listener, libc::TCP_FASTOPEN, 8);
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        set(&client, libc::TCP_FASTOPEN_CONNECT, 1);
        client.connect(&listener.local_addr().unwrap().into()).unwrap();
        let connected = monotonic();
        let mut client = TcpStream::from(client);
        while monotonic() - connected < 50_000_000 {
            std::thread::yield_now();
        }
        let before_write = monotonic();
        client.write_all(b"hello").unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        let client_cookie = cookie(&client);
        drop((client, server));
        await_closes(&mut kernel, &mut seen, &[client_cookie]);
        let open = seen.opens.iter().find(|event| event.cookie == client_cookie).unwrap();
        assert!(open.generation < connected && open.connect_ns > 0, "{open:?}");
        // The kernel stores the time of the SYN in microseconds.
        assert!(
            open.observed_ns - open.connect_ns + 1_000 >= before_write,
            "{open:?}, written at {before_write}"
        );
    })
    .join()
    .unwrap();
}

/// *Scenario*: seeding finds a connection in SYN_SENT, whose SYN is dropped. Then the rule is removed, and a later SYN is answered.
/// *Guarantees*: the duration of the connect is unknown, because the time of the first SYN is.
pub fn privileged_a_seeded_connect_has_no_duration() {
    std::thread::spawn(|| {
        own_namespace();
        let listener = listen();
        let address = listener.local_addr().unwrap();
        let nft = |command: String| {
            let _alone = forks();
            assert!(Command::new("nft").arg(command).status().unwrap().success());
        };
        nft("add table ip t".to_owned());
        nft("add chain ip t c { type filter hook input priority 0; }".to_owned());
        nft(format!("add rule ip t c tcp dport {} drop", address.port()));
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        assert!(client.connect(&address.into()).is_err());
        let mut kernel = kernel(&Options::default());
        let mut seen = SeenEvents::default();
        kernel.seed();
        nft("delete table ip t".to_owned());
        client.set_nonblocking(false).unwrap();
        let (server, _) = listener.accept().unwrap();
        let client_cookie = cookie(&client);
        drop((client, server));
        await_closes(&mut kernel, &mut seen, &[client_cookie]);
        let close = seen.closes_of(client_cookie)[0];
        assert_eq!((close.generation, close.connect_ns), (0, 0), "{close:?}");
        assert_eq!(close.flags & (flag::CLIENT | flag::ESTABLISHED), flag::CLIENT | flag::ESTABLISHED);
    })
    .join()
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Returns CLOCK_MONOTONIC in nanoseconds.
fn monotonic() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap()
}
