//! A simulated socket, which lists show while it changes.

use longwave_ebpf_abi::ConnectionEvent;
use longwave_pipeline::model::{ConnectionRecord, Event, TcpState, Totals};
use proptest::prelude::*;

use super::super::config::NamespaceScope;
use super::super::wire::TcpInfo;
use super::super::wire::tests::{RECEIVER_V4, decoded};
use super::*;
use crate::tracking::tracker::tests::fixture::Bench;

/// What happens to a connection.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write(u32),
    /// Unsent bytes are sent. A FIN follows the last one.
    Send(u32),
    /// Bytes in flight, and then the FIN, are acknowledged.
    Acknowledge(u32),
    Receive(u32),
    ReceiveFin,
    ReadEnd,
    /// A FIN is queued.
    Close,
    /// A list shows the connection. `is_torn`: the kernel read state and queues before the step before, and `tcp_info` after it.
    List {
        is_torn: bool,
    },
}

/// A connection, as its own end sees it.
#[derive(Clone, Copy, Debug, Default)]
struct Life {
    is_client: bool,
    written: u32,
    sent: u32,
    acked: u32,
    received: u32,
    is_fin_queued: bool,
    is_fin_sent: bool,
    is_fin_acked: bool,
    is_fin_received: bool,
    has_read_end: bool,
    /// Whether its FIN was queued before the peer's was received.
    closed_first: bool,
}

/// The source and the tracker.
struct World {
    source: SockDiag,
    bench: Bench,
    netns: u32,
    records: Vec<ConnectionRecord>,
}

const COOKIE: u64 = 77;

fn step() -> impl Strategy<Value = Step> {
    let bytes = 1u32..5_000;
    prop_oneof![
        3 => bytes.clone().prop_map(Step::Write),
        3 => bytes.clone().prop_map(Step::Send),
        3 => bytes.clone().prop_map(Step::Acknowledge),
        2 => bytes.prop_map(Step::Receive),
        1 => Just(Step::ReceiveFin),
        1 => Just(Step::ReadEnd),
        1 => Just(Step::Close),
        4 => any::<bool>().prop_map(|is_torn| Step::List { is_torn }),
    ]
}

// === impl Life ===

impl Life {
    fn apply(&mut self, step: Step) {
        match step {
            Step::Write(bytes) if !self.is_fin_queued => self.written += bytes,
            Step::Send(bytes) => {
                self.sent += bytes.min(self.written - self.sent);
                self.is_fin_sent |= self.is_fin_queued && self.sent == self.written;
            }
            Step::Acknowledge(bytes) => {
                let data = bytes.min(self.sent - self.acked);
                self.acked += data;
                self.is_fin_acked |= self.is_fin_sent && bytes > data;
            }
            Step::Receive(bytes) if !self.is_fin_received => self.received += bytes,
            Step::ReceiveFin if !self.is_fin_received => {
                (self.is_fin_received, self.closed_first) = (true, self.is_fin_queued);
            }
            Step::ReadEnd => self.has_read_end |= self.is_fin_received,
            Step::Close => self.is_fin_queued = true,
            _ => {}
        }
    }

    fn state(&self) -> TcpState {
        match (self.is_fin_queued, self.is_fin_received) {
            (false, false) => TcpState::Established,
            (false, true) => TcpState::CloseWait,
            (true, false) if self.is_fin_acked => TcpState::FinWait2,
            (true, false) => TcpState::FinWait1,
            (true, true) if self.closed_first => TcpState::Closing,
            (true, true) => TcpState::LastAck,
        }
    }

    /// Returns the small socket that takes over from it, if it ends now.
    fn successor(&self) -> Option<TcpState> {
        match self.state() {
            TcpState::FinWait2 => Some(TcpState::FinWait2),
            TcpState::Closing if self.is_fin_acked => Some(TcpState::TimeWait),
            _ => None,
        }
    }

    fn has_ended(&self) -> bool {
        self.is_fin_acked && self.is_fin_received
    }

    fn info(&self) -> TcpInfo {
        TcpInfo {
            unacked: u32::from(self.sent > self.acked || (self.is_fin_sent && !self.is_fin_acked)),
            bytes_acked: u64::from(self.acked) + u64::from(self.is_client) + u64::from(self.is_fin_acked),
            bytes_received: u64::from(self.received) + u64::from(self.is_fin_received),
            notsent_bytes: self.written - self.sent + u32::from(self.is_fin_queued && !self.is_fin_sent),
            data_segs_in: u32::from(self.received > 0),
            handed_down: Some((self.sent.into(), 0)),
            ..decoded(RECEIVER_V4).info.unwrap()
        }
    }

    /// Returns what the kernel reports if it read state and queues when the connection was as `before`.
    fn socket(&self, before: &Self) -> DiagSocket {
        DiagSocket {
            cookie: COOKIE,
            state: before.state() as u8,
            unread: u32::from(before.is_fin_received && !before.has_read_end),
            unacknowledged: before.written - before.acked
                + u32::from(before.is_fin_queued && !before.is_fin_acked),
            info: Some(self.info()),
            ..decoded(RECEIVER_V4)
        }
    }
}

// === impl World ===

impl World {
    /// `has_listener`: a socket listens on the local port.
    fn new(has_listener: bool) -> Self {
        let namespaces = Namespaces::new(NamespaceScope::Own, 4_096).unwrap();
        let (netns, mut bench) = (namespaces.entered[0].inode, Bench::new(true));
        let mut source = SockDiag::new(&Config::default(), namespaces);
        if has_listener {
            let listener = DiagSocket { cookie: 1, peer: [0; 16], peer_port: 0, ..decoded(RECEIVER_V4) };
            bench.tracker.listen(&source.listening.observe(&listener, netns, 0, 1).unwrap());
        }
        Self { source, bench, netns, records: Vec::new() }
    }

    fn list(&mut self, socket: &DiagSocket, is_seeding: bool) {
        self.source.pass += 1;
        let mut new = NewConnections::default();
        let sample = self.source.observe(socket, self.netns, is_seeding, &mut new);
        let events: Vec<ConnectionEvent> = sample.into_iter().chain(new.opened).chain(new.samples).collect();
        let records = if is_seeding { Vec::new() } else { self.bench.pass(&events) };
        self.records.extend(records);
    }

    fn end(&mut self, socket: DiagSocket, successor: Option<TcpState>) {
        let Self { source, bench, netns, records } = self;
        source.let_wait(*netns, bench.now + 1, Some(socket));
        let ended = source.ended.pop().unwrap();
        source.end(&ended, successor, &mut |transition| {
            if let Transition::Connection(event) = transition {
                records.extend(bench.transition(event));
            }
        });
    }
}

/// *Scenario*: a connection ends while the kernel writes its entry of a list: its port is gone, or its state is CLOSE. An earlier list had it,
/// or not.
/// *Guarantees*: it is opened and closed once.
#[test]
fn an_entry_of_an_ended_socket_is_no_other_connection() {
    let life = Life::default();
    let socket = life.socket(&life);
    let ended = DiagSocket { state: TcpState::Close as u8, ..socket };
    for entry in [DiagSocket { local_port: 0, ..socket }, ended] {
        for was_listed in [false, true] {
            let mut world = World::new(false);
            if was_listed {
                world.list(&socket, false);
            }
            world.list(&entry, false);
            world.end(ended, None);
            let count = |event: Event| world.records.iter().filter(|record| record.event == event).count();
            let counts = [Event::Open, Event::Close, Event::Vanished].map(count);
            assert_eq!(counts, [1, 1, 0], "{entry:?} {was_listed}");
            let live = world.records.iter().filter(|record| !record.event.is_end());
            assert!(live.map(|record| record.state).all(|state| state == TcpState::Established));
        }
    }
}

/// *Scenario*: lists show delivery rates between a byte and a terabyte a second, with a small and a large segment size.
/// *Guarantees*: the record has the rate, less what does not fill a segment in 1,000 s or in one second.
#[test]
fn any_delivery_rate_is_reported() {
    let mut world = World::new(false);
    for exponent in 0..13 {
        for mss in [536, 65_483] {
            let rate = 10_u64.pow(exponent);
            let mut socket = Life::default().socket(&Life::default());
            let info = socket.info.as_mut().unwrap();
            (info.delivery_rate, info.mss) = (rate, mss);
            world.list(&socket, false);
            let reported = world.records.last().unwrap().gauges.delivery_rate;
            let segment = u64::from(mss);
            let lost = if rate / segment > 1_000_000 { segment } else { segment / 1_000 + 1 };
            assert!(reported <= rate && reported + lost >= rate, "{rate} {mss} {reported}");
        }
    }
}

proptest! {
    /// *Scenario*: a client or a server sends, receives and ends in any order, while lists show it, or the state that it had before its
    /// last step. It may be older than Longwave. It ends with FINs or not. The small socket that took over may be found or not.
    /// *Guarantees*: totals never decrease, and at every record the deltas sum to them. No live record has more than was sent. The last
    /// record is exact, or off by one byte and marked.
    #[test]
    fn deltas_sum_to_totals_at_every_record(
        steps in prop::collection::vec(step(), 1..40),
        (is_client, is_older, has_listener, is_successor_found) in any::<(bool, bool, bool, bool)>(),
    ) {
        let mut world = World::new(has_listener && !is_client);
        let mut life = Life { is_client, ..Life::default() };
        let (mut before, mut is_seeding, mut is_torn_once) = (life, is_older, false);
        for step in steps {
            if let Step::List { is_torn } = step {
                is_torn_once |= is_torn;
                world.list(&life.socket(if is_torn { &before } else { &life }), is_seeding);
                is_seeding = false;
                let Some(live) = world.records.last() else { continue };
                prop_assert!(live.totals.sent_bytes <= u64::from(life.sent), "{live:?}");
                let received = u64::from(life.received) + u64::from(is_torn_once && life.is_fin_received);
                prop_assert!(live.totals.received_bytes <= received, "{live:?}");
            } else {
                before = life;
                life.apply(step);
            }
            if life.has_ended() {
                break;
            }
        }
        let ended = DiagSocket { state: TcpState::Close as u8, ..life.socket(&life) };
        world.end(ended, life.successor().filter(|_| is_successor_found));
        let mut sum = Totals::default();
        for record in &world.records {
            if record.first && record.event != Event::Open {
                sum = record.totals;
            }
            sum.add(&record.delta);
            prop_assert_eq!(sum, record.totals, "{:#?}", world.records);
        }
        let last = world.records.last().unwrap();
        prop_assert!(last.event.is_end());
        let off = last.totals.sent_bytes.abs_diff(life.sent.into());
        let off = off.max(last.totals.received_bytes.abs_diff(life.received.into()));
        prop_assert!(off == 0 || (off == 1 && !last.exact), "{last:#?}");
    }
}
