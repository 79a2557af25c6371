//! The receiver `bpf` as the pipeline runs it, on the running kernel, with real sockets. Needs root and BPF.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::process::ExitCode;

use common::{Run, assert_sums, connect, cookie, transfer};
use longwave_config::GoDuration;
use longwave_pipeline::component::{ComponentError, Signal};
use longwave_pipeline::model::{CloseReason, ConnectionRecord, End, Event, FailReason, Role};
use longwave_receivers::bpf::{BpfReceiver, Config};
use longwave_testing::{gate, harness, tests};

async fn start(config: Config, signals: &[Signal]) -> Result<Run, ComponentError> {
    common::start("bpf", signals, |context| BpfReceiver::new(config, context)).await
}

fn config() -> Config {
    Config { interval: GoDuration::from_millis(200), max_connections: 16_384, ..Config::default() }
}

/// Scenario: a connection older than the receiver, one that opens and closes while it runs, both with traffic in both directions, and a
/// refused one. Then the receiver is stopped.
/// Guarantees: the old one is in the first window with its role, its totals and delta 0, and has one record per tick while idle. Final
/// bytes are those of the applications at both ends. Deltas sum to totals. Opens, closes, owner and times are reported. The last watermark
/// is last.
#[tokio::main(flavor = "current_thread")]
async fn privileged_connections_end_to_end() {
    gate::require_privileges();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut old_client, mut old_server) = connect(&listener);
    transfer(&mut old_client, &mut old_server, 100_000);
    transfer(&mut old_server, &mut old_client, 333);
    let [old, old_peer] = [cookie(&old_client), cookie(&old_server)];

    let mut run = start(config(), &[Signal::Metrics, Signal::Logs]).await.unwrap();
    run.passes(4).await;
    run.assert_older_and_idle(old, Role::Client, [100_000, 333]);
    run.assert_older_and_idle(old_peer, Role::Server, [333, 100_000]);
    // This process has the listener and both ends.
    assert_eq!(run.of(old_peer)[0].owner.pid, std::process::id());

    let (mut client, mut server) = connect(&listener);
    let [new, new_peer] = [cookie(&client), cookie(&server)];
    run.until(|run| !run.of(new).is_empty() && !run.of(new_peer).is_empty()).await;
    assert_eq!((run.of(new)[0].event, run.of(new_peer)[0].event), (Event::Open, Event::Open));
    transfer(&mut client, &mut server, 5_000_000);
    transfer(&mut server, &mut client, 4_321);
    run.passes(2).await;
    transfer(&mut old_client, &mut old_server, 11);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    drop((client, server));
    let refused = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let closed_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(refused.connect(&closed_port.into()).is_err());
    let failed = cookie(&refused);
    run.until(|run| [new, new_peer, failed].iter().all(|cookie| run.ended(*cookie))).await;

    for (cookie, role, sent, received) in
        [(new, Role::Client, 5_000_000, 4_321), (new_peer, Role::Server, 4_321, 5_000_000)]
    {
        let records = run.of(cookie);
        assert_sums(&records);
        let end = records.last().unwrap();
        assert_eq!((end.event, end.end), (Event::Close, Some(End::Closed(CloseReason::Fin))));
        assert_eq!((end.role, end.start_known, end.exact), (role, true, true));
        assert_eq!((end.totals.sent_bytes, end.totals.received_bytes), (sent, received));
        assert_eq!(end.owner.pid, std::process::id());
        assert!(end.opened <= end.observed && end.observed < end.tick);
        assert!(records.iter().all(|record| record.opened == end.opened));
        assert_eq!(end.connect_duration.is_some(), role == Role::Client);
        assert!(end.round_trip.smoothed.is_some() && end.round_trip.minimum.is_some());
    }
    let fail = run.of(failed)[0];
    assert_eq!((fail.event, fail.end), (Event::Fail, Some(End::Failed(FailReason::Refused))));
    assert_eq!((fail.totals.sent_bytes, fail.first, fail.errno), (0, true, 111));

    drop(old_client);
    assert_eq!(old_server.read(&mut [0]).unwrap(), 0);
    drop(old_server);
    run.finish().await;
    assert!(run.watermarks.last().unwrap().last);
    for (cookie, total, delta) in [(old, 100_011, 11), (old_peer, 333, 0)] {
        let records = run.of(cookie);
        assert_sums(&records);
        let end = records.last().unwrap();
        assert_eq!((end.event, end.totals.sent_bytes), (Event::Close, total));
        assert_eq!(records.iter().map(|record| record.delta.sent_bytes).sum::<u64>(), delta);
    }
}

/// Scenario: one thread opens and closes 2,000 connections as fast as it can, without a logs pipeline.
/// Guarantees: each end of each connection has exactly one record, or two if a tick occurred during its life. None is missing or repeated.
#[tokio::main(flavor = "current_thread")]
async fn privileged_short_connections_cost_one_record() {
    gate::require_privileges();
    const COUNT: usize = 2_000;
    let mut run = start(config(), &[Signal::Metrics]).await.unwrap();
    let cookies = tokio::task::spawn_blocking(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = |_| {
            let (mut client, mut server) = connect(&listener);
            client.write_all(b"x").unwrap();
            server.read_exact(&mut [0]).unwrap();
            [cookie(&client), cookie(&server)]
        };
        (0..COUNT).flat_map(one).collect::<Vec<u64>>()
    })
    .await
    .unwrap();
    run.passes(1).await;
    run.finish().await;
    let mut records: std::collections::HashMap<u64, Vec<&ConnectionRecord>> = Default::default();
    for record in &run.records {
        records.entry(record.id.cookie).or_default().push(record);
    }
    for cookie in cookies {
        let records = &records[&cookie];
        assert_sums(records);
        assert_eq!(records.iter().filter(|record| record.event == Event::Close).count(), 1);
        assert!(records.len() <= 2 && records.iter().all(|record| record.event != Event::Open));
        let end = records.last().unwrap();
        assert_eq!(end.totals.sent_bytes + end.totals.received_bytes, 1);
    }
}

/// Scenario: more connections than there is memory for.
/// Guarantees: the start fails with an error that names the receiver and the setting. Nothing keeps running.
#[tokio::main(flavor = "current_thread")]
async fn privileged_a_failed_start_says_why() {
    gate::require_privileges();
    let config = Config { max_connections: 2_400_000_000, ..config() };
    let error = start(config, &[Signal::Logs]).await.map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("receivers::bpf: ") && error.contains("lower `max_connections`"), "{error}");
}

fn main() -> ExitCode {
    harness::run(tests![
        privileged_connections_end_to_end,
        privileged_short_connections_cost_one_record,
        privileged_a_failed_start_says_why,
    ])
}
