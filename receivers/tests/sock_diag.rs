//! The receiver `sock_diag` as the pipeline runs it, with real sockets in this process's network namespace. Needs no privilege.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use common::{Run, assert_sums, connect, cookie, transfer};
use longwave_config::{ByteSize, GoDuration};
use longwave_pipeline::component::Signal;
use longwave_pipeline::model::{
    CloseReason, ConnectionRecord, End, Event, FailReason, OwnerSource, Role, TcpState, Totals,
};
use longwave_receivers::sock_diag::{Config, NamespaceScope, SockDiagReceiver};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

async fn start(config: Config) -> Run {
    let signals = [Signal::Metrics, Signal::Logs];
    common::start("sock_diag", &signals, |context| SockDiagReceiver::new(config, context)).await.unwrap()
}

fn config() -> Config {
    Config { interval: GoDuration::from_millis(200), namespaces: NamespaceScope::Own, ..Config::default() }
}

fn last(run: &Run, cookie: u64) -> &ConnectionRecord {
    run.of(cookie).last().unwrap()
}

fn reason(reason: CloseReason) -> Option<End> {
    Some(End::Closed(reason))
}

/// *Scenario*: a connection older than the receiver, and one that opens while it runs and is in several lists, both with traffic in both
/// directions. Then both close.
/// *Guarantees*: bytes and roles of both ends are exact in live records and at the close. The older one has one record per tick, and its
/// first record is its baseline. The new one is reported as opened, without a time, and its deltas sum to its totals. This process is the
/// owner of both. Reasons are right.
#[tokio::test]
async fn listed_connections_are_exact() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut old_client, mut old_server) = connect(&listener);
    transfer(&mut old_client, &mut old_server, 100_000);
    transfer(&mut old_server, &mut old_client, 333);
    let [old, old_peer] = [cookie(&old_client), cookie(&old_server)];

    let mut run = start(config()).await;
    run.passes(3).await;
    run.assert_older_and_idle(old, Role::Client, [100_000, 333]);
    run.assert_older_and_idle(old_peer, Role::Server, [333, 100_000]);

    let (mut client, mut server) = connect(&listener);
    transfer(&mut client, &mut server, 5_000_000);
    transfer(&mut server, &mut client, 4_321);
    let [new, new_peer] = [cookie(&client), cookie(&server)];
    let this_process = |run: &Run, cookie| {
        run.of(cookie).last().is_some_and(|record| {
            (record.owner.pid, record.owner.source) == (std::process::id(), OwnerSource::Holder)
        })
    };
    run.until(|run| [old, old_peer, new, new_peer].iter().all(|cookie| this_process(run, *cookie))).await;
    drop((old_client, client));
    for mut server in [old_server, server] {
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
    }
    run.until(|run| [old, old_peer, new, new_peer].iter().all(|cookie| run.ended(*cookie))).await;
    for (cookie, role, sent, received) in [
        (old, Role::Client, 100_000, 333),
        (old_peer, Role::Server, 333, 100_000),
        (new, Role::Client, 5_000_000, 4_321),
        (new_peer, Role::Server, 4_321, 5_000_000),
    ] {
        let records = run.of(cookie);
        let end = records.last().unwrap();
        assert_eq!((end.event, end.end, end.role), (Event::Close, reason(CloseReason::Fin), role));
        assert_eq!(end.totals.sent_bytes, sent);
        let off = end.totals.received_bytes.abs_diff(received);
        assert!(off == 0 || (off == 1 && !end.exact), "{end:?}");
        let live: Vec<_> = records.iter().filter(|record| record.event == Event::Update).collect();
        assert!(
            live.iter()
                .all(|record| record.totals.sent_bytes <= sent && record.totals.received_bytes <= received)
        );
        assert!(records[..records.len() - 1].iter().all(|record| record.exact));
    }
    for cookie in [new, new_peer] {
        let records = run.of(cookie);
        assert_eq!((records[0].event, records[0].first, records[0].start_known), (Event::Open, true, false));
        let mut sum = Totals::default();
        records.iter().for_each(|record| sum.add(&record.delta));
        assert_eq!(sum, records.last().unwrap().totals);
    }
    for cookie in [old, old_peer] {
        assert_sums(&run.of(cookie));
    }
    run.finish().await;
}

/// Ends a connection in one of the ways in which applications do. Returns the cookies of client and server, with the bytes that each sent and
/// received, and the expected reasons.
fn end_one(way: usize, listener: &TcpListener) -> [(u64, u64, u64, CloseReason); 2] {
    let (mut client, mut server) = connect(listener);
    let ids = [cookie(&client), cookie(&server)];
    let fin = CloseReason::Fin;
    let [c, s] = match way {
        // The client closes first, and reads no end of file.
        0 => {
            transfer(&mut client, &mut server, 100);
            transfer(&mut server, &mut client, 50);
            drop(client);
            assert_eq!(server.read(&mut [0]).unwrap(), 0);
            [(100, 50, fin), (50, 100, fin)]
        }
        // The server does.
        1 => {
            transfer(&mut client, &mut server, 7);
            transfer(&mut server, &mut client, 5_000);
            drop(server);
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
            [(7, 5_000, fin), (5_000, 7, fin)]
        }
        // Half-close: data flows after the first FIN.
        2 => {
            transfer(&mut client, &mut server, 1);
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(server.read(&mut [0]).unwrap(), 0);
            transfer(&mut server, &mut client, 1);
            drop(server);
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
            [(1, 1, fin), (1, 1, fin)]
        }
        // The server closes with unread data: it sends a reset.
        3 => {
            client.write_all(&[1; 300]).unwrap();
            server.peek(&mut [0; 300]).unwrap();
            drop(server);
            assert!(client.read(&mut [0]).is_err());
            [(300, 0, CloseReason::ResetReceived), (0, 300, CloseReason::ResetSent)]
        }
        // No data at all.
        _ => {
            drop(client);
            assert_eq!(server.read(&mut [0]).unwrap(), 0);
            [(0, 0, fin), (0, 0, fin)]
        }
    };
    [(ids[0], c.0, c.1, c.2), (ids[1], s.0, s.1, s.2)]
}

/// *Scenario*: 200 connections that no list shows, ended in five ways: by client or server, half-closed, reset with unread data, and
/// without data.
/// *Guarantees*: each is opened and closed once. Sent bytes are exact. Received bytes are exact, or off by the one byte that is marked.
/// Roles and reasons are right.
#[tokio::test]
async fn short_connections_are_exact_or_marked() {
    let config = Config { interval: GoDuration::from_secs(3600), ..config() };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut run = start(config).await;
    let ended = tokio::task::spawn_blocking(move || {
        (0..200).flat_map(|n| end_one(n % 5, &listener)).collect::<Vec<_>>()
    })
    .await
    .unwrap();
    run.until(|run| ended.iter().all(|end| run.ended(end.0))).await;
    run.finish().await;
    let (mut marked, mut off) = (0, 0);
    for (index, (cookie, sent, received, why)) in ended.into_iter().enumerate() {
        let records = run.of(cookie);
        let events: Vec<_> = records.iter().map(|record| record.event).collect();
        assert_eq!(events, [Event::Open, Event::Close], "{index}");
        let end = records[1];
        assert_eq!(end.totals.sent_bytes, sent, "{index} {end:?}");
        let wrong = end.totals.received_bytes.abs_diff(received);
        assert!(wrong == 0 || (wrong == 1 && !end.exact), "{index} {end:?}");
        assert_eq!(end.end, reason(why), "{index} {end:?}");
        let role = if index % 2 == 0 { Role::Client } else { Role::Server };
        assert_eq!(end.role, role, "{index} {end:?}");
        assert_eq!(end.delta, end.totals);
        assert!(end.round_trip.smoothed.is_some() && end.peer.port != 0);
        marked += usize::from(!end.exact);
        off += wrong as usize;
    }
    eprintln!("{marked} of 400 ends are marked, {off} of them are off by one byte");
}

/// *Scenario*: a connection is in several lists, and then its client resets it with linger 0. A non-blocking connect is refused.
/// *Guarantees*: the reset connection has the totals of its last list, marked as inexact, and the reason `reset_sent`. Its peer has the reason
/// `reset_received` and all bytes. The refused connect is reported as failed.
#[tokio::test]
async fn resets_and_failures_are_reported() {
    let mut run = start(config()).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut client, mut server) = connect(&listener);
    transfer(&mut client, &mut server, 1_000);
    let [reset, reset_peer] = [cookie(&client), cookie(&server)];
    run.until(|run| [reset, reset_peer].iter().all(|cookie| run.of(*cookie).len() >= 2)).await;
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert!(server.read(&mut [0]).is_err());
    drop(server);

    let refused = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    refused.set_nonblocking(true).unwrap();
    let closed_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _ = refused.connect(&closed_port.into());
    let failed = cookie(&refused);
    assert_eq!(refused.take_error().unwrap().unwrap().raw_os_error(), Some(111));
    drop(refused);
    run.until(|run| [reset, reset_peer, failed].iter().all(|cookie| run.ended(*cookie))).await;
    run.finish().await;
    let end = last(&run, reset);
    assert_eq!((end.end, end.exact, end.totals.sent_bytes), (reason(CloseReason::ResetSent), false, 1_000));
    let end = last(&run, reset_peer);
    assert_eq!((end.end, end.totals.received_bytes), (reason(CloseReason::ResetReceived), 1_000));
    let end = last(&run, failed);
    assert_eq!((end.event, end.end), (Event::Fail, Some(End::Failed(FailReason::Refused))));
    assert_eq!(end.totals, Totals { sent_segments: 1, received_segments: 1, ..Totals::default() });
}

/// Starts a connect to a listener whose queue is full, which fails after 1.5 s. `is_blocking`: waits until then.
fn unanswered(listener: &TcpListener, is_blocking: bool) -> socket2::Socket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_nonblocking(!is_blocking).unwrap();
    socket.set_tcp_user_timeout(Some(Duration::from_millis(1_500))).unwrap();
    let error = socket.connect(&listener.local_addr().unwrap().into()).unwrap_err();
    let expected = if is_blocking { Errno::TIMEDOUT } else { Errno::INPROGRESS };
    assert_eq!(Errno::from_io_error(&error), Some(expected));
    socket
}

/// *Scenario*: the kernel drops every SYN, because the queue of the listener is full. A blocking and a non-blocking connect get no answer
/// until their time limit. Lists show them, or not.
/// *Guarantees*: each is reported once as failed, with the reason `timeout`, and never as opened. Nothing is reported of a blocking one
/// that was in no list. The start is known if lists show it. Deltas sum to totals: the SYNs, of which all but the first are
/// retransmissions.
#[tokio::test]
async fn unanswered_connects_fail_by_timeout() {
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let full = TcpListener::from(full);
    let _filler = TcpStream::connect(full.local_addr().unwrap()).unwrap();
    let mut listed = start(config()).await;
    let mut unlisted = start(Config { interval: GoDuration::from_secs(3600), ..config() }).await;
    let cookies = tokio::task::spawn_blocking(move || {
        let non_blocking = unanswered(&full, false);
        let blocking = unanswered(&full, true);
        rustix::event::poll(&mut [PollFd::new(&non_blocking, PollFlags::OUT)], None).unwrap();
        assert_eq!(non_blocking.take_error().unwrap().unwrap().raw_os_error(), Some(110));
        [non_blocking, blocking].map(|socket| cookie(&socket))
    })
    .await
    .unwrap();
    let [non_blocking, blocking] = cookies;
    listed.until(|run| cookies.iter().all(|cookie| run.ended(*cookie))).await;
    unlisted.until(|run| run.ended(non_blocking)).await;
    listed.finish().await;
    unlisted.finish().await;
    for (run, cookie) in [(&listed, non_blocking), (&listed, blocking), (&unlisted, non_blocking)] {
        let records = run.of(cookie);
        let end = records.last().unwrap();
        assert_eq!((end.event, end.end), (Event::Fail, Some(End::Failed(FailReason::Timeout))), "{end:?}");
        let others = &records[..records.len() - 1];
        assert!(
            others.iter().all(|record| (record.event, record.state) == (Event::Update, TcpState::SynSent))
        );
        assert_eq!(end.start_known, !others.is_empty());
        let mut sum = Totals::default();
        records.iter().for_each(|record| sum.add(&record.delta));
        assert_eq!(sum, end.totals);
        assert!(end.totals.retransmits > 0);
        let syns = end.totals.sent_segments;
        assert_eq!(end.totals, Totals { sent_segments: syns, retransmits: syns - 1, ..Totals::default() });
    }
    assert!(listed.of(non_blocking).len() > 2 && unlisted.of(blocking).is_empty());
}

/// *Scenario*: 3,000 connections open and close while the buffer of ended sockets has the smallest size, so that most messages are lost.
/// 20 more stay open. Lists are made every 100 ms.
/// *Guarantees*: of each connection that was reported as opened, an end is reported, once: a close, or vanished after a later list. One that
/// lists only showed before it was established is not reported as opened. Those that are open are not reported as ended.
#[tokio::test]
async fn lost_messages_are_healed_by_later_lists() {
    let config = Config { interval: GoDuration::from_millis(100), receive_buffer: ByteSize(1), ..config() };
    let mut run = start(config).await;
    let (listener, open) = tokio::task::spawn_blocking(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut some: Vec<(TcpStream, TcpStream)> = Vec::new();
        for n in 0..3_000 {
            some.push(connect(&listener));
            if n % 100 == 99 {
                some.clear();
            }
        }
        let open: Vec<_> = (0..20).map(|_| connect(&listener)).collect();
        (listener, open)
    })
    .await
    .unwrap();
    let port = listener.local_addr().unwrap().port();
    let cookies: Vec<u64> =
        open.iter().flat_map(|(client, server)| [cookie(client), cookie(server)]).collect();
    let of_this_test = |record: &&ConnectionRecord| [record.local.port, record.peer.port].contains(&port);
    let unended = |run: &Run| {
        let mut balance: HashMap<_, i32> = HashMap::new();
        for record in run.records.iter().filter(of_this_test) {
            let is_end = record.event.is_end() && record.state != TcpState::SynSent;
            *balance.entry(record.id).or_default() +=
                i32::from(record.event == Event::Open) - i32::from(is_end);
        }
        let wrong = balance.iter().find(|(_, balance)| !(0..=1).contains(*balance));
        let records = wrong.map(|(id, _)| run.of(id.cookie));
        assert!(records.is_none(), "each end is reported once: {records:#?}");
        balance.values().filter(|balance| **balance == 1).count()
    };
    run.passes(3).await;
    run.until(|run| unended(run) == cookies.len()).await;
    assert!(cookies.iter().all(|cookie| !run.ended(*cookie)));
    run.finish().await;
    let vanished = run.records.iter().filter(|record| record.event == Event::Vanished).count();
    eprintln!("{vanished} connections vanished");
    assert!(vanished > 0, "no message was lost, so that nothing was healed");
}
