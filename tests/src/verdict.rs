//! Compares the counts of each end with the records of its connection.

use std::collections::{BTreeMap, HashMap};

use crate::end::{Account, EndId};
use crate::record::Record;

/// One connection of a scenario, with the counts of its ends.
#[derive(Clone, Debug)]
pub struct PlayedConnection {
    /// Name of the scenario, for messages.
    pub name: String,
    /// Client and server, in this order, or the only end.
    pub ends: Vec<Account>,
    /// Whether all data arrived, in both directions.
    pub arrived: bool,
}

/// Records of one connection, which have the same cookie and generation.
type Stream<'a> = Vec<&'a Record>;

impl PlayedConnection {
    /// Returns the identities of the ends.
    pub fn ids(&self) -> impl Iterator<Item = EndId> {
        self.ends.iter().map(Account::id)
    }

    /// Creates a connection whose data arrived completely.
    pub fn arrived(name: &str, client: Account, server: Account) -> Self {
        Self { name: name.to_owned(), ends: vec![client, server], arrived: true }
    }

    /// Creates a connection of which some data did not arrive.
    pub fn cut(name: &str, client: Account, server: Account) -> Self {
        Self { name: name.to_owned(), ends: vec![client, server], arrived: false }
    }

    /// Creates a connection with only one end.
    pub fn one_ended(name: &str, client: Account) -> Self {
        Self { name: name.to_owned(), ends: vec![client], arrived: false }
    }
}

/// Returns the expected number of final records of each cookie.
pub fn finals(connections: &[PlayedConnection]) -> Vec<(u64, usize)> {
    let mut finals: HashMap<u64, usize> = HashMap::new();
    for end in connections.iter().flat_map(|connection| &connection.ends) {
        *finals.entry(end.cookie).or_default() += 1;
    }
    finals.into_iter().collect()
}

/// Returns the ends whose final record is missing or `vanished`.
pub fn unseen(connections: &[PlayedConnection], records: &[Record]) -> Vec<EndId> {
    let streams = streams(records);
    let mut turns: HashMap<u64, usize> = HashMap::new();
    let ends = connections.iter().flat_map(PlayedConnection::ids);
    ends.filter(|end| {
        let turn = turns.entry(end.cookie).or_default();
        let stream = streams.get(&end.cookie).and_then(|generations| generations.get(*turn));
        *turn += 1;
        !stream.and_then(|stream| stream.last()).is_some_and(|last| matches!(last.event(), "close" | "fail"))
    })
    .collect()
}

/// Checks every end of every connection.
///
/// # Panics
/// If something is wrong, with all problems.
pub fn assert_exact(connections: &[PlayedConnection], records: &[Record]) {
    let problems = check(connections, records);
    let ends: usize = connections.iter().map(|connection| connection.ends.len()).sum();
    assert!(!connections.is_empty(), "no connection was made");
    assert!(
        problems.is_empty(),
        "{} problems in {} connections, {ends} ends:\n{}",
        problems.len(),
        connections.len(),
        problems.join("\n")
    );
}

/// Returns all differences between the connections and the records.
pub fn check(connections: &[PlayedConnection], records: &[Record]) -> Vec<String> {
    let streams = streams(records);
    let mut seen: HashMap<u64, usize> = HashMap::new();
    let mut problems = Vec::new();
    for connection in connections {
        let mut found = Vec::new();
        for end in &connection.ends {
            let turn = seen.entry(end.cookie).or_default();
            let stream = streams.get(&end.cookie).and_then(|generations| generations.get(*turn));
            *turn += 1;
            let context = format!("{} {:?} cookie {:x} turn {turn}", connection.name, end.role, end.cookie);
            match stream {
                None => problems.push(format!("{context}: no record")),
                Some(stream) => {
                    check_end(end, stream, &context, &mut problems);
                    found.push(*stream.last().unwrap());
                }
            }
        }
        if let (true, [client, server]) = (connection.arrived, found.as_slice()) {
            check_arrival(&connection.name, client, server, &mut problems);
        }
    }
    problems.extend(too_many(&streams, &seen));
    problems
}

/// Comparison of the records of the receiver `sock_diag` with the connections.
#[derive(Debug, Default)]
pub struct Within {
    /// Ends in the connections.
    pub ends: usize,
    /// Differences that are not allowed.
    pub problems: Vec<String>,
    /// Ends whose last record is marked: its counts may be off by one byte.
    pub marked: usize,
    /// Ends of which a count is off by one byte.
    pub off: usize,
    /// Ends without a record.
    pub unreported: usize,
    /// Ends whose socket connected again, which are not compared.
    pub connected_again: usize,
    /// Ends whose counters the kernel had reset: their counts are those of the last list.
    pub without_counters: usize,
}

/// Compares connections with the records of `sock_diag`: final counts are exact, or off by the one byte that is marked.
///
/// Of a socket that connects again, only the last connection is compared: the kernel clears the counters of the others without a message.
/// Such a connection is reported as vanished if a list had it, else not at all.
pub fn check_within_one(connections: &[PlayedConnection], records: &[Record]) -> Within {
    let streams = streams(records);
    let mut left: HashMap<u64, usize> = finals(connections).into_iter().collect();
    let mut within = Within::default();
    for connection in connections {
        for end in &connection.ends {
            within.ends += 1;
            let left = left.entry(end.cookie).or_default();
            *left -= 1;
            if *left > 0 {
                within.connected_again += 1;
                continue;
            }
            let Some(stream) = streams.get(&end.cookie).and_then(|generations| generations.last()) else {
                within.unreported += 1;
                continue;
            };
            let context = format!("{} {:?} cookie {:x}", connection.name, end.role, end.cookie);
            let Some(last) = stream.last().filter(|last| last.is_final()) else {
                within.problems.push(format!("{context}: not ended: {:?}", events(stream)));
                continue;
            };
            if stream.iter().filter(|record| record.is_final()).count() != 1 {
                within.problems.push(format!("{context}: ended twice: {:?}", events(stream)));
            }
            let mut problem = |text: String| within.problems.push(format!("{context}: {text}"));
            if let Some(first) = stream.first() {
                check_deltas(end, stream, first, &mut problem);
            }
            within.marked += usize::from(!last.exact);
            // Without counters, the close has those of a list, and its reason is that the application reset it.
            if !last.exact
                && last.state.as_deref() == Some("established")
                && last.close_reason.as_deref() == Some("reset_sent")
            {
                within.without_counters += 1;
                continue;
            }
            let sent = (last.sent_bytes + last.unsent_bytes).abs_diff(end.written);
            let received = last.received_bytes.abs_diff(end.read + last.unread_bytes);
            if sent.max(received) > u64::from(!last.exact) {
                problem(format!(
                    "sent {} + unsent {} for {} written, received {} for {} read + {} unread, exact {}, {:?} from {:?}",
                    last.sent_bytes,
                    last.unsent_bytes,
                    end.written,
                    last.received_bytes,
                    end.read,
                    last.unread_bytes,
                    last.exact,
                    last.close_reason,
                    last.state,
                ));
            }
            within.off += usize::from(sent.max(received) == 1);
        }
    }
    within
}

/// Groups records by cookie, and then by generation, in the order in which the connections were opened. Their records may arrive in another
/// order: a sample of a socket's next connection can be read before the close of the one before.
fn streams(records: &[Record]) -> HashMap<u64, Vec<Stream<'_>>> {
    let mut streams: HashMap<u64, BTreeMap<u64, Stream<'_>>> = HashMap::new();
    for record in records {
        let (cookie, generation) = record.cookie_and_generation();
        streams.entry(cookie).or_default().entry(generation).or_default().push(record);
    }
    streams.into_iter().map(|(cookie, generations)| (cookie, generations.into_values().collect())).collect()
}

/// Returns the cookies with more connections than expected.
fn too_many(streams: &HashMap<u64, Vec<Stream<'_>>>, seen: &HashMap<u64, usize>) -> Vec<String> {
    seen.iter()
        .filter_map(|(cookie, expected)| {
            let got = streams.get(cookie).map_or(0, Vec::len);
            (got > *expected)
                .then(|| format!("cookie {cookie:x}: {got} connections reported, there were {expected}"))
        })
        .collect()
}

fn check_end(end: &Account, stream: &[&Record], context: &str, problems: &mut Vec<String>) {
    let mut problem = |text: String| problems.push(format!("{context}: {text}"));
    let finals = stream.iter().filter(|record| record.is_final()).count();
    if finals != 1 {
        problem(format!("{finals} final records: {:?}", events(stream)));
    }
    let (Some(first), Some(last)) = (stream.first(), stream.last()) else { return };
    if !last.is_final() {
        problem(format!("records after the final one: {:?}", events(stream)));
    }
    let expected_event = if end.failed.is_some() { "fail" } else { "close" };
    if last.event() != expected_event {
        problem(format!("ended with {:?}, not {expected_event}", last.event()));
    }
    if last.sent_bytes + last.unsent_bytes != end.written {
        problem(format!(
            "sent {} + unsent {} is not written {}",
            last.sent_bytes, last.unsent_bytes, end.written
        ));
    }
    if last.received_bytes != end.read + last.unread_bytes {
        problem(format!(
            "received {} is not read {} + unread {}",
            last.received_bytes, end.read, last.unread_bytes
        ));
    }
    if last.role != end.role.as_str() {
        problem(format!("role {:?}", last.role));
    }
    if last.start_known == end.pre_existing {
        problem(format!("start_known {}", last.start_known));
    }
    if !last.exact {
        problem("not marked exact".to_owned());
    }
    check_addresses(end, last, &mut problem);
    check_reason(end, last, &mut problem);
    check_deltas(end, stream, first, &mut problem);
}

fn check_addresses(end: &Account, last: &Record, problem: &mut impl FnMut(String)) {
    let (source, destination) = match end.role {
        crate::end::Role::Client => (end.local, end.peer),
        crate::end::Role::Server => (end.peer, end.local),
    };
    if last.destination() != Some(destination) {
        problem(format!("destination {:?}, not {destination}", last.destination()));
    }
    // Not compared for a failed connection: when the test can read it, its socket has no port any more.
    if end.failed.is_none() && last.source() != Some(source) {
        problem(format!("source {:?}, not {source}", last.source()));
    }
    let reporter = if end.role == crate::end::Role::Client { "source" } else { "destination" };
    if last.reporter != reporter {
        problem(format!("reporter {:?}, not {reporter}", last.reporter));
    }
}

fn check_reason(end: &Account, last: &Record, problem: &mut impl FnMut(String)) {
    if let Some(error) = end.failed {
        if last.error_type.as_deref() != Some(error) {
            problem(format!("error.type {:?}, not {error}", last.error_type));
        }
        return;
    }
    let reason = last.close_reason.as_deref().unwrap_or("(none)");
    if !end.reasons.is_empty() && !end.reasons.contains(&reason) {
        problem(format!("close reason {reason} from {:?}, not {:?}", last.state, end.reasons));
    }
}

fn check_deltas(end: &Account, stream: &[&Record], first: &Record, problem: &mut impl FnMut(String)) {
    let mut before = first.measures().map(|(_, total, _)| if end.pre_existing { total } else { 0 });
    let baseline = before;
    let mut sums = [0_u64; 6];
    for record in stream {
        for (index, (name, total, delta)) in record.measures().into_iter().enumerate() {
            if total < before[index] {
                problem(format!("{name} decreased from {} to {total}", before[index]));
            }
            before[index] = total;
            sums[index] += delta;
        }
    }
    for (index, (name, _, _)) in first.measures().into_iter().enumerate() {
        let grown = before[index].saturating_sub(baseline[index]);
        if sums[index] != grown {
            problem(format!(
                "{name}: deltas sum to {}, totals increased by {grown} in {stream:#?}",
                sums[index],
            ));
        }
    }
    if end.pre_existing && first.measures().iter().any(|(_, _, delta)| *delta != 0) {
        problem("the first record of a seeded connection has a delta".to_owned());
    }
}

fn check_arrival(name: &str, client: &Record, server: &Record, problems: &mut Vec<String>) {
    for (direction, sent, received) in [
        ("client → server", client.sent_bytes, server.received_bytes),
        ("server → client", server.sent_bytes, client.received_bytes),
    ] {
        if sent != received {
            problems.push(format!(
                "{name} cookies {:x}/{:x}: {direction}: sent {sent}, received {received}",
                client.cookie(),
                server.cookie()
            ));
        }
    }
}

fn events<'a>(stream: &[&'a Record]) -> Vec<&'a str> {
    stream.iter().map(|record| record.event()).collect()
}
