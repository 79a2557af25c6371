use std::collections::HashMap;

use longwave_pipeline::model::{ConnectionRecord, Totals};
use proptest::prelude::*;

use super::fixture::{Bench, Socket};

/// What happens to a socket between two passes, or a pass.
#[derive(Clone, Debug)]
enum Step {
    Send(usize, u32),
    Receive(usize, u32),
    Close(usize),
    /// A pass. Bit `n` of `lost`: the sample of socket `n` is lost. Bit `n` of `vague`: it does not show the role of a seeded socket.
    Pass {
        refused: bool,
        lost: u8,
        vague: u8,
    },
    /// A pass in which the samples of busy sockets are torn.
    Torn {
        upwards: bool,
    },
}

const SOCKETS: usize = 5;

fn step() -> impl Strategy<Value = Step> {
    let socket = 0..SOCKETS;
    prop_oneof![
        4 => (socket.clone(), 1u32..3_000_000_000u32 / 2).prop_map(|(s, n)| Step::Send(s, n)),
        4 => (socket.clone(), 1u32..1_000_000_000).prop_map(|(s, n)| Step::Receive(s, n)),
        1 => socket.prop_map(Step::Close),
        4 => any::<(bool, u8, u8)>().prop_map(|(refused, lost, vague)| Step::Pass { refused, lost, vague }),
        1 => any::<bool>().prop_map(|upwards| Step::Torn { upwards }),
    ]
}

/// The sockets, and which of them moved since their last sample.
struct World {
    sockets: Vec<Socket>,
    moved: Vec<bool>,
    next_cookie: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self { sockets: Vec::new(), moved: vec![true; SOCKETS], next_cookie: 1 };
        for index in 0..SOCKETS {
            let socket = world.socket(index % 2 == 0);
            world.sockets.push(socket);
        }
        world
    }

    fn socket(&mut self, seeded: bool) -> Socket {
        self.next_cookie += 1;
        let mut socket =
            if seeded { Socket::seeded(self.next_cookie) } else { Socket::client(self.next_cookie, 1) };
        if seeded && self.next_cookie.is_multiple_of(3) {
            // A server: no SYN is counted.
            socket.counters.bytes_acked -= 1;
        }
        socket
    }
}

fn check(
    records: &[ConnectionRecord],
    sums: &mut HashMap<u64, (Totals, Totals)>,
) -> Result<(), TestCaseError> {
    for record in records {
        let known = sums.contains_key(&record.id.cookie);
        prop_assert_eq!(record.first, !known, "first is the first delivered");
        let baseline = if record.start_known { Totals::default() } else { record.totals };
        let (sum, baseline) = sums.entry(record.id.cookie).or_insert((Totals::default(), baseline));
        sum.add(&record.delta);
        let mut whole = *sum;
        whole.add(baseline);
        prop_assert_eq!(whole, record.totals, "baseline + sum of deltas = totals, at every record");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Scenario: sockets, seeded and new, send, receive (more than 4 GiB) and close in any order, while passes are refused, samples lost or
    /// torn. Samples of seeded sockets, which are clients or servers, may not show the role.
    /// Guarantees: at every delivered record the sum of deltas is its totals less the baseline. At the close the totals are the socket's
    /// own counts. A delivered pass has exactly one record for each open connection, a refused one none.
    #[test]
    fn deltas_always_sum_to_totals(steps in prop::collection::vec(step(), 1..120)) {
        let mut bench = Bench::new(true);
        bench.tracker.rules.vanish_after = u16::MAX;
        let mut world = World::new();
        let mut known: Vec<u64> = Vec::new();
        let mut sums = HashMap::new();
        for step in steps {
            match step {
                Step::Send(s, n) => { world.sockets[s].send(n); world.moved[s] = true; }
                Step::Receive(s, n) => { world.sockets[s].receive(n); world.moved[s] = true; }
                Step::Close(s) => {
                    let closed = world.sockets[s].clone();
                    let records = bench.transition(&closed.close(bench.now + 1));
                    prop_assert_eq!(records.len(), 1);
                    check(&records, &mut sums)?;
                    prop_assert_eq!(records[0].totals.sent_bytes, closed.counters.bytes_sent);
                    prop_assert_eq!(records[0].totals.received_bytes, closed.counters.bytes_received);
                    known.retain(|cookie| *cookie != closed.cookie);
                    let fresh = world.socket(n_is_even(bench.now));
                    world.sockets[s] = fresh;
                    world.moved[s] = true;
                }
                Step::Pass { refused, lost, vague } => {
                    let mut samples = Vec::new();
                    for (index, socket) in world.sockets.iter().enumerate() {
                        if world.moved[index] && lost >> index & 1 == 0 {
                            let mut sample = socket.sample(bench.now + 5);
                            sample.counters.bytes_sent -= 100 * u64::from(socket.generation == 0 && vague >> index & 1 != 0);
                            samples.push(sample);
                            world.moved[index] = false;
                            if !known.contains(&socket.cookie) { known.push(socket.cookie); }
                        }
                    }
                    let records = bench.pass_with(&samples, false, refused);
                    let mut reported: Vec<_> = records.iter().map(|r| r.id.cookie).collect();
                    reported.sort_unstable();
                    known.sort_unstable();
                    prop_assert_eq!(&reported, if refused { &[][..] } else { &known[..] });
                    check(&records, &mut sums)?;
                }
                Step::Torn { upwards } => {
                    let mut samples = Vec::new();
                    for socket in &world.sockets {
                        let mut sample = socket.sample(bench.now + 5);
                        let c = &mut sample.counters;
                        if sums.contains_key(&socket.cookie) && c.bytes_acked > 1 {
                            let apart = (c.bytes_acked - 1).min(60_000) as u32;
                            if upwards { c.snd_una = c.snd_una.wrapping_sub(apart) } else { c.bytes_acked -= u64::from(apart) }
                        }
                        samples.push(sample);
                        if !known.contains(&socket.cookie) { known.push(socket.cookie); }
                    }
                    check(&bench.pass_with(&samples, false, false), &mut sums)?;
                    world.moved.fill(true);
                }
            }
        }
        prop_assert_eq!(bench.tracker.discards().overcounted_bytes, 0);
        prop_assert_eq!(bench.tracker.discards().late_update, 0);
    }
}

fn n_is_even(n: u64) -> bool {
    (n / super::fixture::SECOND).is_multiple_of(2)
}
