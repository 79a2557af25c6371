//! Runs a receiver as the pipeline does, and makes connections.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use longwave_pipeline::component::{
    ComponentError, Health, Receiver, ReceiverContext, RecordOutput, Running, Shared, Signal,
};
use longwave_pipeline::model::{Batch, ConnectionRecord, Event, PassEnd, Role, Totals};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Longer than any healthy wait, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running receiver, and what it delivered so far.
pub struct Run {
    batches: mpsc::Receiver<Batch>,
    running: Running,
    stop: CancellationToken,
    pub records: Vec<ConnectionRecord>,
    pub watermarks: Vec<PassEnd>,
}

/// Starts the receiver that `create` returns.
pub async fn start<R: Receiver>(
    id: &str,
    signals: &[Signal],
    create: impl FnOnce(ReceiverContext) -> R,
) -> Result<Run, ComponentError> {
    let context = ReceiverContext {
        id: id.into(),
        signals: signals.to_vec(),
        meter: opentelemetry::global::meter("test"),
        health: Health::default(),
        shared: Shared::default(),
    };
    let (output, batches) = RecordOutput::pair(256);
    let stop = CancellationToken::new();
    let running = Box::new(create(context)).start(output, stop.clone()).await?;
    Ok(Run { batches, running, stop, records: Vec::new(), watermarks: Vec::new() })
}

impl Run {
    /// Checks that a connection that is older than the receiver has one record per tick, from the first on, with these sent and received bytes
    /// and no deltas.
    pub fn assert_older_and_idle(&self, cookie: u64, role: Role, [sent, received]: [u64; 2]) {
        let records = self.of(cookie);
        let ticks: Vec<_> = records.iter().map(|record| record.tick).collect();
        let expected: Vec<_> = self.watermarks.iter().map(|mark| mark.tick).collect();
        assert_eq!(ticks, expected, "one record per tick, from the first on");
        for record in &records {
            assert_eq!((record.event, record.role, record.start_known), (Event::Update, role, false));
            assert_eq!((record.totals.sent_bytes, record.totals.received_bytes), (sent, received));
            assert_eq!(record.delta, Totals::default());
        }
    }

    /// Receives batches until `enough` returns true. The receiver must keep running.
    pub async fn until(&mut self, enough: impl Fn(&Self) -> bool) {
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

    /// Receives batches until this number of further watermarks has arrived.
    pub async fn passes(&mut self, count: usize) {
        let enough = self.watermarks.len() + count;
        self.until(|run| run.watermarks.len() >= enough).await;
    }

    /// Stops the receiver and receives the rest.
    pub async fn finish(&mut self) {
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

    /// Returns the records of a connection.
    pub fn of(&self, cookie: u64) -> Vec<&ConnectionRecord> {
        self.records.iter().filter(|record| record.id.cookie == cookie).collect()
    }

    /// Returns whether the last record of a connection was received.
    pub fn ended(&self, cookie: u64) -> bool {
        self.of(cookie).last().is_some_and(|record| record.event.is_end())
    }
}

/// Returns the cookie of a socket.
pub fn cookie(socket: impl std::os::fd::AsFd) -> u64 {
    rustix::net::sockopt::socket_cookie(socket).unwrap()
}

/// Connects to a listener. Returns client and server.
pub fn connect(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Writes bytes at one end and reads them at the other.
pub fn transfer(from: &mut TcpStream, to: &mut TcpStream, bytes: usize) {
    let sent = vec![7; bytes];
    std::thread::scope(|scope| {
        scope.spawn(|| from.write_all(&sent).unwrap());
        to.read_exact(&mut vec![0; bytes]).unwrap();
    });
}

/// Checks that the deltas of a connection's records sum to its last totals less its baseline.
pub fn assert_sums(records: &[&ConnectionRecord]) {
    let first = records.first().unwrap();
    let mut sum = if first.start_known { Totals::default() } else { first.totals };
    records.iter().for_each(|record| sum.add(&record.delta));
    assert_eq!(sum, records.last().unwrap().totals);
    assert_eq!(records.iter().filter(|record| record.first).count(), 1);
    assert!(first.first);
}
