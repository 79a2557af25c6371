use std::net::{Ipv4Addr, SocketAddr};

use super::{TracedTransition, UnreportedCloses, parse};
use crate::end::EndId;

const LINE: &str = "    tokio-rt [x]-74      [001] ..s1. 13124.854836: inet_sock_set_state: family=AF_INET protocol=IPPROTO_TCP sport=43950 dport=39475 saddr=127.0.0.1 daddr=127.0.36.206 saddrv6=::ffff:127.0.0.1 daddrv6=::ffff:127.0.36.206 oldstate=TCP_FIN_WAIT2 newstate=TCP_CLOSE";
const LINE_V6: &str = "          <idle>-0       [000] ..s2. 13125.000001: inet_sock_set_state: family=AF_INET6 protocol=IPPROTO_TCP sport=43950 dport=39475 saddr=0.0.0.0 daddr=0.0.0.0 saddrv6=fd00::1 daddrv6=fd00::2 oldstate=TCP_LAST_ACK newstate=TCP_CLOSE";

fn end(cookie: u64, port: u16) -> EndId {
    let peer: SocketAddr = "127.0.0.2:80".parse().unwrap();
    EndId { cookie, local: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), peer, client: true }
}

fn close(end: &EndId, thread: u32) -> TracedTransition {
    TracedTransition { line: String::new(), thread, close: true, local: end.local, peer: end.peer }
}

/// *Scenario*: two lines of the trace. In one the name of the task looks like the fields that follow it, the other has IPv6 addresses.
/// *Guarantees*: thread, transition and addresses are read.
#[test]
fn reads_a_line() {
    let seen = parse(&LINE.replace(" [x]", "-[x]")).unwrap();
    assert_eq!((seen.thread, seen.close), (74, true));
    assert_eq!(seen.local, "127.0.0.1:43950".parse().unwrap());
    assert_eq!(seen.peer, "127.0.36.206:39475".parse().unwrap());
    let seen = parse(LINE_V6).unwrap();
    assert_eq!(seen.local, "[fd00::1]:43950".parse().unwrap());
    assert_eq!(seen.peer, "[fd00::2]:39475".parse().unwrap());
    assert!(parse("# tracer: nop").is_none());
}

/// *Scenario*: closes that were not reported: two while pid 1 was current, one while the test was current, one that is not in the trace,
/// and one while a process was current that has ended.
/// *Guarantees*: only the closes of pid 1 count as unobservable, and only if no close was reported for which pid 1 was current.
#[test]
fn only_closes_of_another_process_are_unobservable() {
    let ends: Vec<_> = (1..=5).map(|n| end(n, n as u16)).collect();
    let own = std::process::id();
    let transitions = [close(&ends[0], 1), close(&ends[1], 1), close(&ends[2], own), close(&ends[4], own)];
    let judged = UnreportedCloses::of(&transitions, &ends, &ends[..4]);
    assert_eq!(judged.unobservable, ends[..2]);
    assert_eq!(judged.lost, ends[2..4]);
    let judged = UnreportedCloses::of(&transitions, &ends, &ends[1..4]);
    assert_eq!(judged.unobservable, []);
    assert_eq!(judged.lost, ends[1..4]);
    let judged = UnreportedCloses::of(&[close(&ends[0], u32::MAX)], &ends, &ends[..1]);
    assert_eq!(judged.lost, ends[..1]);
}
