//! Connections that open, transfer data and close while the programs are attached.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use longwave_ebpf_abi::{flag, kind};
use longwave_receivers::bpf::kernel::Options;
use longwave_testing::gate;

use super::host::{self, SeenEvents, connect, cookie, kernel, listen, pass, received, sent};

/// *Scenario*: a loopback connection transfers 100,000 bytes in one direction and 7 in the other, and closes.
/// *Guarantees*: each end has one close with exact byte counts, role, times, ports, and the owner of the client. Nothing is lost.
pub fn privileged_a_connection_closes_with_exact_counters() {
    let _alone = host::forks();
    let mut kernel = kernel(&Options { emit_open: true, ..Options::default() });
    let mut seen = SeenEvents::default();
    let listener = listen();
    let (mut client, mut server) = connect(&listener);
    let (client_cookie, server_cookie) = (cookie(&client), cookie(&server));
    let (client_port, server_port) =
        (client.local_addr().unwrap().port(), listener.local_addr().unwrap().port());
    let writer = std::thread::spawn(move || {
        client.write_all(&[1; 100_000]).unwrap();
        let mut answer = Vec::new();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        client.read_to_end(&mut answer).unwrap();
        answer.len()
    });
    let mut request = Vec::new();
    server.read_to_end(&mut request).unwrap();
    server.write_all(&[2; 7]).unwrap();
    drop(server);
    assert_eq!((request.len(), writer.join().unwrap()), (100_000, 7));
    await_closes(&mut kernel, &mut seen, &[client_cookie, server_cookie]);

    let client = seen.closes_of(client_cookie)[0];
    let server = seen.closes_of(server_cookie)[0];
    assert_eq!((sent(&client, true), received(&client)), (100_000, 7), "{client:?}");
    assert_eq!((sent(&server, false), received(&server)), (7, 100_000), "{server:?}");
    let known = flag::START_KNOWN | flag::ESTABLISHED;
    // On a busy machine a close can have limits.
    let others = !(flag::SECOND_CHANCE | flag::LIMITS);
    assert_eq!(client.flags & others, known | flag::CLIENT);
    assert_eq!(server.flags & others, known | flag::SERVER | flag::CLOSER);
    assert_eq!((client.tuple.local_port, client.tuple.peer_port), (client_port, server_port));
    assert_eq!((server.tuple.local_port, server.tuple.peer_port), (server_port, client_port));
    assert_eq!(client.tuple.local, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1]);
    assert!(
        client.generation > 0
            && client.connect_ns > 0
            && client.observed_ns > client.generation + client.connect_ns
    );
    assert_eq!(client.owner.pid, std::process::id());
    assert_ne!(client.owner.name, [0; 16]);
    assert_ne!(client.owner.netns, 0);
    assert_eq!(server.owner.pid, std::process::id(), "the process that closes");
    let opens = seen.opens.iter().filter(|open| open.cookie == server_cookie);
    assert!(opens.clone().all(|open| open.owner.pid == 0), "a passive open has no current process");
    assert!(client.counters.rtt_min_lifetime_us < u32::MAX && client.counters.srtt_us > 0);
    assert_eq!(
        seen.opens.iter().filter(|open| [client_cookie, server_cookie].contains(&open.cookie)).count(),
        2
    );
    let listens: Vec<_> = seen.listens.iter().filter(|event| event.cookie == cookie(&listener)).collect();
    assert_eq!(listens.len(), 1);
    assert_eq!((listens[0].kind, listens[0].tuple.local_port), (kind::LISTEN, server_port));
    assert_eq!(listens[0].owner.pid, std::process::id());
    assert_eq!(kernel.losses().lost_closes(), 0);
}

/// *Scenario*: threads with names of their own connect and listen.
/// *Guarantees*: the owner is the process, with the name of its first thread, as `ps` shows it.
pub fn privileged_the_owner_of_a_thread_is_its_process() {
    let mut kernel = kernel(&Options::default());
    let mut seen = SeenEvents::default();
    let named = |name: &str, run: fn() -> TcpListener| {
        std::thread::Builder::new().name(name.to_owned()).spawn(run).unwrap().join().unwrap()
    };
    let listener = named("listen-pool-1", listen);
    let address = listener.local_addr().unwrap();
    let connect = move || TcpStream::connect(address).unwrap();
    let client = std::thread::Builder::new().name("http-conn-2".to_owned()).spawn(connect);
    let client = client.unwrap().join().unwrap();
    let client_cookie = cookie(&client);
    drop((client, listener.accept().unwrap()));
    await_closes(&mut kernel, &mut seen, &[client_cookie]);
    let comm = std::fs::read(format!("/proc/{}/comm", std::process::id())).unwrap();
    let mut expected = [0; 16];
    expected[..comm.len() - 1].copy_from_slice(&comm[..comm.len() - 1]);
    let close = seen.closes_of(client_cookie)[0];
    let listen = seen.listens.iter().find(|event| event.cookie == cookie(&listener)).unwrap();
    for owner in [close.owner, listen.owner] {
        assert_eq!((owner.pid, owner.name), (std::process::id(), expected), "{owner:?}");
    }
}

/// *Scenario*: a connection over IPv6 loopback closes, and then its listener.
/// *Guarantees*: the addresses are IPv6, and the close of the listener is reported.
pub fn privileged_ipv6_and_unlisten() {
    let mut kernel = kernel(&Options::default());
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else { gate::skip("no IPv6 loopback") };
    let mut seen = SeenEvents::default();
    let (client, server) = connect(&listener);
    let (client_cookie, listener_cookie) = (cookie(&client), cookie(&listener));
    drop((client, server, listener));
    await_closes(&mut kernel, &mut seen, &[client_cookie]);
    let mut loopback = [0; 16];
    loopback[15] = 1;
    assert_eq!(seen.closes_of(client_cookie)[0].tuple.local, loopback);
    let kinds: Vec<_> =
        seen.listens.iter().filter(|event| event.cookie == listener_cookie).map(|event| event.kind).collect();
    assert_eq!(kinds, [kind::LISTEN, kind::UNLISTEN]);
}

/// *Scenario*: a connection to a port without a listener.
/// *Guarantees*: it has one close, without ESTABLISHED and with the errno ECONNREFUSED.
pub fn privileged_a_refused_connection_is_a_failure() {
    let mut kernel = kernel(&Options::default());
    let listener = listen();
    let free: SocketAddr = listener.local_addr().unwrap();
    drop(listener);
    let mut seen = SeenEvents::default();
    assert!(TcpStream::connect(free).is_err());
    seen.drain(&mut kernel);
    let failures: Vec<_> = seen.closes.iter().filter(|event| event.tuple.peer_port == free.port()).collect();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].flags & flag::ESTABLISHED, 0);
    assert_eq!(failures[0].error, libc::ECONNREFUSED as u16);
    assert_ne!(failures[0].tuple.local_port, 0, "chosen after SYN_SENT, but known at the end");
}

/// *Scenario*: 2,000 sockets. First all transfer data, then two, then none.
/// *Guarantees*: a pass emits each active socket exactly once, across the boundaries of its runs.
pub fn privileged_a_pass_emits_each_active_connection_once() {
    let mut kernel = kernel(&Options { heartbeat_passes: 0, ..Options::default() });
    let listener = listen();
    let mut ends: Vec<(TcpStream, TcpStream)> = (0..1_000).map(|_| connect(&listener)).collect();
    let ours: Vec<u64> = ends.iter().flat_map(|(client, server)| [cookie(client), cookie(server)]).collect();
    let count = |events: Vec<longwave_ebpf_abi::ConnectionEvent>| {
        let mut counts: HashMap<u64, usize> = ours.iter().map(|cookie| (*cookie, 0)).collect();
        for event in events {
            assert_eq!(event.kind, kind::SAMPLE, "{event:?}");
            counts.entry(event.cookie).and_modify(|count| *count += 1);
        }
        counts
    };
    for round in 0..3 {
        for (client, server) in &mut ends {
            client.write_all(&[round; 3]).unwrap();
            server.read_exact(&mut [0; 3]).unwrap();
        }
        let counts = count(pass(&mut kernel));
        assert!(counts.values().all(|count| *count == 1), "round {round}: {:?}", not_once(&counts));
    }
    ends[500].0.write_all(&[9]).unwrap();
    ends[500].1.read_exact(&mut [0]).unwrap();
    let counts = count(pass(&mut kernel));
    assert_eq!(counts.values().sum::<usize>(), 2);
    assert_eq!((counts[&ours[1000]], counts[&ours[1001]]), (1, 1));
    assert_eq!(count(pass(&mut kernel)).values().sum::<usize>(), 0);
}

/// Returns some sockets that were not emitted exactly once.
fn not_once(counts: &HashMap<u64, usize>) -> Vec<(&u64, &usize)> {
    counts.iter().filter(|(_, count)| **count != 1).take(5).collect()
}

/// *Scenario*: an idle connection, with a heartbeat every third pass.
/// *Guarantees*: after its first sample it has a sample in every third pass, which is flagged as a heartbeat.
pub fn privileged_an_idle_connection_has_a_heartbeat() {
    let mut kernel = kernel(&Options { heartbeat_passes: 3, ..Options::default() });
    let listener = listen();
    let (client, _server) = connect(&listener);
    let ours = cookie(&client);
    let seen: Vec<_> = (0..7)
        .map(|_| {
            pass(&mut kernel)
                .into_iter()
                .find(|event| event.cookie == ours)
                .map(|event| event.flags & flag::HEARTBEAT)
        })
        .collect();
    let beat = Some(flag::HEARTBEAT);
    assert_eq!(seen, [Some(0), None, None, beat, None, None, beat]);
}

/// *Scenario*: connections on two ports, only one of which is in scope.
/// *Guarantees*: only the connection on that port is reported.
pub fn privileged_ports_bound_the_scope() {
    let (wanted, other) = (listen(), listen());
    let port = wanted.local_addr().unwrap().port();
    let mut kernel = kernel(&Options { ports: vec![port], ..Options::default() });
    let mut seen = SeenEvents::default();
    let (inside, outside) = (connect(&wanted), connect(&other));
    let (inside_cookie, outside_cookie) = (cookie(&inside.0), cookie(&outside.0));
    assert!(
        pass(&mut kernel).iter().all(|event| [event.tuple.local_port, event.tuple.peer_port].contains(&port))
    );
    drop((outside, inside));
    await_closes(&mut kernel, &mut seen, &[inside_cookie]);
    assert!(seen.closes_of(outside_cookie).is_empty());
}

/// Drains until each of these has closed, because a softirq may process the last segments of a close later.
pub fn await_closes(
    kernel: &mut longwave_receivers::bpf::kernel::Kernel,
    seen: &mut SeenEvents,
    cookies: &[u64],
) {
    let deadline = Instant::now() + host::LIMIT;
    while Instant::now() < deadline {
        seen.drain(kernel);
        if cookies.iter().all(|cookie| !seen.closes_of(*cookie).is_empty()) {
            for cookie in cookies {
                assert_eq!(seen.closes_of(*cookie).len(), 1, "one close each");
            }
            return;
        }
        std::thread::yield_now();
    }
    panic!("some closes are missing: {:?}", kernel.losses());
}
