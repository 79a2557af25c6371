//! The fixed layout of a [`ConnectionRecord`], and the content of blocks without records.

use std::num::{NonZeroU32, NonZeroU64};

use super::error::Fault;
use super::fields::{Reader, Writer};
use super::names::{NameReader, NameWriter};
use super::{SessionEnd, SessionStart};
use crate::model::batch::PassEnd;
use crate::model::record::{
    CloseReason, ConnectionId, ConnectionLimits, ConnectionRecord, End, Endpoint, Event, FailReason, Gauges,
    LimitDetails, Limits, OptionalCount, Owner, OwnerSource, Role, RoundTrip, TcpState, Totals,
};
use crate::model::time::UnixNanos;

/// Size of a record in bytes.
pub(super) const RECORD_LEN: usize = 484;
/// First version of the format in which a record ends with the connection's age.
const AGE_SINCE: u16 = 3;
/// First version of the format in which a record ends with what limits the connection.
const LIMITS_SINCE: u16 = 4;
/// Size in bytes of what [`put_limits`] writes.
const LIMITS_LEN: usize = 157;

const FIRST: u8 = 1;
const EXACT: u8 = 2;
const IPV6_SOCKET: u8 = 4;
const START_KNOWN: u8 = 8;
const ACKED: u8 = 16;
const ALL_FLAGS: u8 = 31;

const ALIVE: u8 = 0;
const CLOSED: u8 = 1;
const FAILED: u8 = 2;

/// Writes the record to `out` and its names to `names`.
#[inline]
pub(super) fn put(record: &ConnectionRecord, names: &mut NameWriter, out: &mut [u8; RECORD_LEN]) {
    let mut fields = Writer::new(out);
    fields.u32(record.id.boot);
    fields.u32(record.id.netns);
    fields.u64(record.id.cookie);
    fields.u64(record.id.generation);
    fields.u8(record.event as u8);
    fields.u8(record.role as u8);
    fields.u8(record.state as u8);
    fields.u8(flags(record));
    let (end, reason, errno) = match record.end {
        None => (ALIVE, 0, 0),
        Some(End::Closed(reason)) => (CLOSED, reason as u8, 0),
        Some(End::Failed(reason)) => {
            let (number, errno) = fail_number(reason);
            (FAILED, number, errno)
        }
    };
    fields.u8(end);
    fields.u8(reason);
    fields.u16(errno);
    fields.u16(record.errno);
    for endpoint in [&record.local, &record.peer] {
        fields.bytes(endpoint.address_bytes());
        fields.u16(endpoint.port);
    }
    fields.u64(record.owner.cgroup);
    fields.u32(record.owner.pid);
    fields.u8(record.owner.source as u8);
    fields.bytes(record.owner.name);
    fields.u64(record.opened.0);
    fields.u64(optional(record.connect_duration));
    fields.u64(record.observed.0);
    fields.u64(record.tick.0);
    for totals in [&record.totals, &record.delta] {
        fields.u64(totals.sent_bytes);
        fields.u64(totals.received_bytes);
        fields.u64(totals.sent_segments);
        fields.u64(totals.received_segments);
        fields.u64(totals.data_segments);
        fields.u64(totals.retransmits);
        fields.u64(totals.lost);
    }
    fields.u64(optional(record.round_trip.smoothed));
    fields.u64(optional(record.round_trip.variance));
    fields.u64(optional(record.round_trip.minimum));
    fields.u64(record.gauges.unsent_bytes);
    fields.u64(record.gauges.unread_bytes);
    fields.u64(record.gauges.in_flight_bytes);
    fields.u64(record.gauges.delivery_rate);
    fields.u32(record.gauges.cwnd);
    fields.u32(record.gauges.mss);
    fields.u32(names.workload(record.names.local.as_ref()));
    fields.u32(names.workload(record.names.peer.as_ref()));
    fields.u32(names.service(record.names.service.as_ref()));
    fields.u64(record.age);
    put_limits(record, &mut fields);
    debug_assert!(fields.is_full());
}

/// Returns the size of a record in bytes in this version of the format.
pub(super) fn record_len(version: u16) -> usize {
    match version {
        LIMITS_SINCE.. => RECORD_LEN,
        AGE_SINCE.. => RECORD_LEN - LIMITS_LEN,
        _ => RECORD_LEN - LIMITS_LEN - size_of::<u64>(),
    }
}

/// Writes what limits the connection.
#[inline]
fn put_limits(record: &ConnectionRecord, fields: &mut Writer<'_>) {
    let details = record.limits.details();
    for limits in [&details.total, &details.delta] {
        limits.fields().into_iter().for_each(|count| fields.u64(count.to_bits()));
    }
    fields.u64(record.elapsed.to_bits());
    fields.u64(optional(record.round_trip.receiver));
    fields.u64(optional(details.pacing_rate));
    fields.u32(details.ssthresh.map_or(0, NonZeroU32::get));
    fields.u8(details.zero_window.into());
    fields.bytes(details.congestion_control);
}

/// Reads what [`put_limits`] wrote into `record`.
fn take_limits(from: &mut Reader<'_>, record: &mut ConnectionRecord) -> Result<(), Fault> {
    let mut details = LimitDetails::default();
    for limits in [&mut details.total, &mut details.delta] {
        let mut fields = [OptionalCount::ABSENT; 7];
        for field in &mut fields {
            *field = OptionalCount::from_bits(from.u64()?);
        }
        *limits = Limits::of_fields(fields);
    }
    record.elapsed = OptionalCount::from_bits(from.u64()?);
    record.round_trip.receiver = NonZeroU64::new(from.u64()?);
    details.pacing_rate = NonZeroU64::new(from.u64()?);
    details.ssthresh = NonZeroU32::new(from.u32()?);
    details.zero_window = boolean(from.u8()?)?;
    details.congestion_control = from.array()?;
    record.limits = ConnectionLimits::new(details);
    Ok(())
}

/// Reads one record of [`record_len`] bytes.
pub(super) fn take(bytes: &[u8], names: &NameReader) -> Result<ConnectionRecord, Fault> {
    let mut from = Reader::new(bytes);
    let id =
        ConnectionId { boot: from.u32()?, netns: from.u32()?, cookie: from.u64()?, generation: from.u64()? };
    let event = event(from.u8()?)?;
    let role = role(from.u8()?)?;
    let state = state(from.u8()?)?;
    let flags = from.u8()?;
    if flags & !ALL_FLAGS != 0 {
        return Err(IMPOSSIBLE);
    }
    let end = end(from.u8()?, from.u8()?, from.u16()?)?;
    let errno = from.u16()?;
    let local = Endpoint::from_bytes(from.array()?, from.u16()?);
    let peer = Endpoint::from_bytes(from.array()?, from.u16()?);
    let owner = Owner {
        cgroup: from.u64()?,
        pid: from.u32()?,
        source: owner_source(from.u8()?)?,
        name: from.array()?,
    };
    let opened = UnixNanos(from.u64()?);
    let connect_duration = NonZeroU64::new(from.u64()?);
    let observed = UnixNanos(from.u64()?);
    let tick = UnixNanos(from.u64()?);
    let (totals, delta) = (totals(&mut from)?, totals(&mut from)?);
    let round_trip = RoundTrip {
        smoothed: NonZeroU64::new(from.u64()?),
        variance: NonZeroU64::new(from.u64()?),
        minimum: NonZeroU64::new(from.u64()?),
        receiver: None,
    };
    let gauges = Gauges {
        unsent_bytes: from.u64()?,
        unread_bytes: from.u64()?,
        in_flight_bytes: from.u64()?,
        delivery_rate: from.u64()?,
        cwnd: from.u32()?,
        mss: from.u32()?,
    };
    let names = names.names(from.u32()?, from.u32()?, from.u32()?)?;
    let start_known = flags & START_KNOWN != 0;
    let age = match from.is_empty() {
        true if start_known => observed.0.saturating_sub(opened.0),
        true => 0,
        false => from.u64()?,
    };
    let mut record = ConnectionRecord {
        id,
        event,
        role,
        state,
        first: flags & FIRST != 0,
        exact: flags & EXACT != 0,
        ipv6_socket: flags & IPV6_SOCKET != 0,
        start_known,
        errno,
        local,
        peer,
        owner,
        opened,
        connect_duration,
        age,
        observed,
        tick,
        totals,
        delta,
        round_trip,
        acked: flags & ACKED != 0,
        gauges,
        end,
        names,
        ..ConnectionRecord::blank()
    };
    if !from.is_empty() {
        take_limits(&mut from, &mut record)?;
    }
    from.finish()?;
    Ok(record)
}

/// Returns the content of a block for the end of a pass.
pub(super) fn pass_end_bytes(pass_end: PassEnd) -> [u8; 9] {
    let mut bytes = [0; 9];
    let mut fields = Writer::new(&mut bytes);
    fields.u64(pass_end.tick.0);
    fields.u8(pass_end.last.into());
    bytes
}

pub(super) fn take_pass_end(bytes: &[u8]) -> Result<PassEnd, Fault> {
    let mut from = Reader::new(bytes);
    let pass_end = PassEnd { tick: UnixNanos(from.u64()?), last: boolean(from.u8()?)? };
    from.finish()?;
    Ok(pass_end)
}

/// Returns the content of a session's first block.
pub(super) fn session_start_bytes(start: &SessionStart) -> Vec<u8> {
    let mut bytes = start.boot_id.to_vec();
    bytes.extend_from_slice(&start.started.0.to_le_bytes());
    bytes.extend_from_slice(start.host.as_bytes());
    bytes
}

pub(super) fn take_session_start(bytes: &[u8]) -> Result<SessionStart, Fault> {
    let mut from = Reader::new(bytes);
    let (boot_id, started) = (from.array()?, UnixNanos(from.u64()?));
    let host = std::str::from_utf8(from.rest()).map_err(|_| Fault::Damaged("a host name is not UTF-8"))?;
    Ok(SessionStart { boot_id, started, host: host.to_owned() })
}

/// Returns the content of an end mark.
pub(super) fn session_end_bytes(end: SessionEnd) -> [u8; 16] {
    let mut bytes = [0; 16];
    let mut fields = Writer::new(&mut bytes);
    fields.u64(end.bytes);
    fields.u64(end.records);
    bytes
}

pub(super) fn take_session_end(bytes: &[u8]) -> Result<SessionEnd, Fault> {
    let mut from = Reader::new(bytes);
    let end = SessionEnd { bytes: from.u64()?, records: from.u64()? };
    from.finish()?;
    Ok(end)
}

/// Reads a boolean, which is 0 or 1.
pub(super) fn boolean(byte: u8) -> Result<bool, Fault> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(IMPOSSIBLE),
    }
}

const IMPOSSIBLE: Fault = Fault::Damaged("a record has an invalid value");

fn flags(record: &ConnectionRecord) -> u8 {
    let flags = [
        (record.first, FIRST),
        (record.exact, EXACT),
        (record.ipv6_socket, IPV6_SOCKET),
        (record.start_known, START_KNOWN),
        (record.acked, ACKED),
    ];
    flags.into_iter().map(|(set, flag)| if set { flag } else { 0 }).sum()
}

fn optional(nanos: Option<NonZeroU64>) -> u64 {
    nanos.map_or(0, NonZeroU64::get)
}

fn totals(from: &mut Reader<'_>) -> Result<Totals, Fault> {
    Ok(Totals {
        sent_bytes: from.u64()?,
        received_bytes: from.u64()?,
        sent_segments: from.u64()?,
        received_segments: from.u64()?,
        data_segments: from.u64()?,
        retransmits: from.u64()?,
        lost: from.u64()?,
    })
}

fn event(number: u8) -> Result<Event, Fault> {
    let all = [Event::Open, Event::Update, Event::Close, Event::Fail, Event::Vanished];
    all.into_iter().find(|event| *event as u8 == number).ok_or(IMPOSSIBLE)
}

fn role(number: u8) -> Result<Role, Fault> {
    [Role::Unknown, Role::Client, Role::Server]
        .into_iter()
        .find(|role| *role as u8 == number)
        .ok_or(IMPOSSIBLE)
}

fn state(number: u8) -> Result<TcpState, Fault> {
    let state = TcpState::from_kernel(number);
    if state as u8 == number { Ok(state) } else { Err(IMPOSSIBLE) }
}

fn owner_source(number: u8) -> Result<OwnerSource, Fault> {
    OwnerSource::ALL.into_iter().find(|source| *source as u8 == number).ok_or(IMPOSSIBLE)
}

fn end(kind: u8, reason: u8, errno: u16) -> Result<Option<End>, Fault> {
    match (kind, reason, errno) {
        (ALIVE, 0, 0) => Ok(None),
        (CLOSED, number, 0) => {
            let reason =
                CloseReason::ALL.into_iter().find(|reason| *reason as u8 == number).ok_or(IMPOSSIBLE)?;
            Ok(Some(End::Closed(reason)))
        }
        (FAILED, number, errno) => Ok(Some(End::Failed(fail_reason(number, errno)?))),
        _ => Err(IMPOSSIBLE),
    }
}

const PLAIN_FAILURES: [FailReason; 6] = [
    FailReason::Refused,
    FailReason::Timeout,
    FailReason::Unreachable,
    FailReason::Reset,
    FailReason::AddressUnavailable,
    FailReason::Cancelled,
];
const ERRNO_FAILURE: u8 = 255;

fn fail_number(reason: FailReason) -> (u8, u16) {
    match reason {
        FailReason::Refused => (1, 0),
        FailReason::Timeout => (2, 0),
        FailReason::Unreachable => (3, 0),
        FailReason::Reset => (4, 0),
        FailReason::AddressUnavailable => (5, 0),
        FailReason::Cancelled => (6, 0),
        FailReason::Errno(errno) => (ERRNO_FAILURE, errno),
    }
}

fn fail_reason(number: u8, errno: u16) -> Result<FailReason, Fault> {
    match (number, errno) {
        (ERRNO_FAILURE, errno) => Ok(FailReason::Errno(errno)),
        (number, 0) => {
            PLAIN_FAILURES.into_iter().find(|reason| fail_number(*reason).0 == number).ok_or(IMPOSSIBLE)
        }
        _ => Err(IMPOSSIBLE),
    }
}
