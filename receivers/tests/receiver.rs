//! The receiver `bpf` as the pipeline runs it, on the running kernel, with real sockets. Needs root and BPF.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use longwave_config::GoDuration;
use longwave_pipeline::component::{
    ComponentError, Health, Receiver, ReceiverContext, RecordOutput, Running, Shared, Signal,
};
use longwave_pipeline::model::{
    Batch, CloseReason, ConnectionRecord, End, Event, FailReason, PassEnd, Role, Totals,
};
use longwave_receivers::bpf::{BpfReceiver, Config};
use longwave_testing::{gate, harness, tests};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Longer than any healthy wait, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running receiver, and what it delivered so far.
struct Run {
    batches: mpsc::Receiver<Batch>,
    running: Running,
    stop: CancellationToken,
    records: Vec<ConnectionRecord>,
    watermarks: Vec<PassEnd>,
}

async fn start(config: Config, signals: &[Signal]) -> Result<Run, ComponentError> {
    let context = ReceiverContext {
        id: "bpf".into(),
        signals: signals.to_vec(),
        meter: opentelemetry::global::meter("test"),
        health: Health::default(),
        shared: Shared::default(),
    };
    let (output, batches) = RecordOutput::pair(256);
    let stop = CancellationToken::new();
    let running = Box::new(BpfReceiver::new(config, context)).start(output, stop.clone()).await?;
    Ok(Run { batches, running, stop, records: Vec::new(), watermarks: Vec::new() })
}

fn config() -> Config {
    Config { interval: GoDuration::from_millis(200), max_connections: 16_384, ..Config::default() }
}

impl Run {
    /// Receives batches until `enough` returns true. The receiver must keep running.
    async fn until(&mut self, enough: impl Fn(&Self) -> bool) {
        tokio::time::timeout(PATIENCE, async {
            while !enough(self) {
                let batch = tokio::select! {
                    batch = self.batches.recv() => batch.unwrap(),
                    ended = &mut self.running => panic!("the receiver ended: {ended:?}"),
                };
                self.take(batch);
            }
        })
        .await
        .unwrap();
    }

    async fn passes(&mut self, count: usize) {
        let enough = self.watermarks.len() + count;
        self.until(|run| run.watermarks.len() >= enough).await;
    }

    /// Stops the receiver and receives the rest.
    async fn finish(&mut self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, &mut self.running).await.unwrap().unwrap();
        while let Some(batch) = self.batches.recv().await {
            self.take(batch);
        }
    }

    fn take(&mut self, batch: Batch) {
        let watermark = self.watermarks.last().copied();
        assert!(watermark.is_none_or(|mark| !mark.last), "nothing follows the last watermark");
        match batch {
            Batch::Records(records) => {
                for record in records.iter() {
                    assert!(
                        watermark.is_none_or(|mark| record.tick > mark.tick),
                        "{record:?} behind {watermark:?}"
                    );
                }
                self.records.extend(records.iter().cloned());
            }
            Batch::PassEnd(mark) => {
                assert!(watermark.is_none_or(|before| mark.tick > before.tick));
                self.watermarks.push(mark);
            }
            Batch::Window(_) => panic!("a receiver sends no windows"),
        }
    }

    fn of(&self, cookie: u64) -> Vec<&ConnectionRecord> {
        self.records.iter().filter(|record| record.id.cookie == cookie).collect()
    }

    fn ended(&self, cookie: u64) -> bool {
        self.of(cookie).last().is_some_and(|record| record.event.is_end())
    }
}

fn cookie(socket: impl std::os::fd::AsFd) -> u64 {
    rustix::net::sockopt::socket_cookie(socket).unwrap()
}

fn connect(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

fn transfer(from: &mut TcpStream, to: &mut TcpStream, bytes: usize) {
    let sent = vec![7; bytes];
    std::thread::scope(|scope| {
        scope.spawn(|| from.write_all(&sent).unwrap());
        to.read_exact(&mut vec![0; bytes]).unwrap();
    });
}

/// Checks that the deltas of a connection's records sum to its last totals less its baseline.
fn assert_sums(records: &[&ConnectionRecord]) {
    let first = records.first().unwrap();
    let mut sum = if first.start_known { Totals::default() } else { first.totals };
    records.iter().for_each(|record| sum.add(&record.delta));
    assert_eq!(sum, records.last().unwrap().totals);
    assert_eq!(records.iter().filter(|record| record.first).count(), 1);
    assert!(first.first);
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
    for (cookie, role, sent, received) in
        [(old, Role::Client, 100_000, 333), (old_peer, Role::Server, 333, 100_000)]
    {
        let records = run.of(cookie);
        let ticks: Vec<_> = records.iter().map(|record| record.tick).collect();
        let expected: Vec<_> = run.watermarks.iter().map(|mark| mark.tick).collect();
        assert_eq!(ticks, expected, "one record per tick, from the first on");
        for record in &records {
            assert_eq!((record.event, record.role, record.start_known), (Event::Update, role, false));
            assert_eq!((record.totals.sent_bytes, record.totals.received_bytes), (sent, received));
            assert_eq!(record.delta, Totals::default());
        }
    }
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
