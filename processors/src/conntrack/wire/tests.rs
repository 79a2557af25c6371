//! Tests with bytes that were exchanged with a kernel (6.18, little endian).

use std::net::Ipv4Addr;

use longwave_pipeline::model::{Endpoint, UnixNanos};
use proptest::prelude::*;

use super::*;
use crate::conntrack::entry::{ConntrackEntry, TrackedState, Tuple};

/// Size of `struct nlmsghdr` in bytes.
const HEADER: usize = 16;

/// 10.9.9.9:43254 connected to 10.96.0.10:80, translated to 127.0.0.1:8080; with timestamps.
const ENTRY_V4: &str = "e400000000010200070000003e480000020000003400018014000180080001000a090909080002000a60000a1c000280050001000600\
000006000200a8f6000006000300005000003400028014000180080001007f000001080002000a0909091c0002800500010006000000060002001f90000006000300a8\
f6000008000300000001ae080008000000000008000c00a758442308000b00000000020800070000069780300004802c0001800500010003000000050002000a000000\
050003000a00000006000400230000000600050023000000100014800c00010018ea0ccc28880ffe";
/// [fd09::9]:60346 connected to [fd96::10]:80, translated to [::1]:8080; without timestamps.
const ENTRY_V6: &str = "040100000001020008000000144800000a0000004c0001802c00018014000300fd09000000000000000000000000000914000400fd9600\
000000000000000000000000101c000280050001000600000006000200ebba000006000300005000004c0002802c000180140003000000000000000000000000000000\
000114000400fd0900000000000000000000000000091c0002800500010006000000060002001f90000006000300ebba000008000300000001ae080008000000000008\
000c00a8ac539e08000b00000000020800070000069780300004802c0001800500010003000000050002000a000000050003000a000000060004002300000006000500\
23000000";
const MISSING: &str = "5c00000002000000090000003e480000feffffff480000000101010009000000000000000200000034000180140001800800010001020304\
080002000a60000a1c000280050001000600000006000200000500000600030000500000";
const STATISTICS: &str = "24000000050102000a0000003e4800000000000008000100000000040800020000040000";
const DONE: &str = "14000000030002000b0000003e48000000000000";
const GET_V4: &str = "48000000010101000700000000000000020000003400018014000180080001000a090909080002000a60000a1c000280050001000600000006\
000200a8f600000600030000500000";
const GET_V6: &str = "600000000101010008000000000000000a0000004c0001802c00018014000300fd09000000000000000000000000000914000400fd96000000\
00000000000000000000101c000280050001000600000006000200ebba00000600030000500000";
const DUMP: &str = "1400000001010103";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn end(text: &str) -> Endpoint {
    let end: std::net::SocketAddr = text.parse().unwrap();
    Endpoint { address: end.ip(), port: end.port() }
}

fn tuple(source: &str, destination: &str) -> Tuple {
    Tuple { source: end(source), destination: end(destination) }
}

fn read(bytes: &[u8]) -> Vec<(u32, Payload)> {
    Messages::new(bytes).map(|message| (message.sequence, message.payload)).collect()
}

/// *Scenario*: a kernel's replies, in one buffer: an entry of each family, a missing entry, a count, the end of a list.
/// *Guarantees*: all are decoded, with both directions, TCP's state, and the timestamp if there is one.
#[test]
fn decodes_the_replies_of_a_kernel() {
    let received: Vec<u8> =
        [ENTRY_V4, ENTRY_V6, MISSING, STATISTICS, DONE].iter().flat_map(|hex| bytes(hex)).collect();
    let v4 = ConntrackEntry {
        original: tuple("10.9.9.9:43254", "10.96.0.10:80"),
        reply: tuple("127.0.0.1:8080", "10.9.9.9:43254"),
        state: Some(TrackedState::Established),
        started: Some(UnixNanos(0x18ea_0ccc_2888_0ffe)),
    };
    let v6 = ConntrackEntry {
        original: tuple("[fd09::9]:60346", "[fd96::10]:80"),
        reply: tuple("[::1]:8080", "[fd09::9]:60346"),
        state: Some(TrackedState::Established),
        started: None,
    };
    let expected = vec![
        (7, Payload::Entry(v4)),
        (8, Payload::Entry(v6)),
        (9, Payload::Error(2)),
        (10, Payload::Count(4)),
        (11, Payload::Done),
    ];
    assert_eq!(read(&received), expected);
}

/// *Scenario*: look-ups of both families, a list, a count.
/// *Guarantees*: they are equal, byte for byte, to requests that a kernel has accepted.
#[test]
fn encodes_requests_that_a_kernel_accepted() {
    let mut request = Vec::new();
    get(&mut request, 7, &tuple("10.9.9.9:43254", "10.96.0.10:80"));
    assert_eq!(request, bytes(GET_V4));
    request.clear();
    get(&mut request, 8, &tuple("[fd09::9]:60346", "[fd96::10]:80"));
    assert_eq!(request, bytes(GET_V6));
    request.clear();
    dump(&mut request, 11);
    assert_eq!(request[..8], bytes(DUMP));
    assert_eq!(request.len(), 20);
    request.clear();
    count(&mut request, 10);
    assert_eq!(request, bytes("14000000050101000a0000000000000000000000"));
}

/// *Scenario*: an entry is truncated at each length, and each of its bytes is changed to each value.
/// *Guarantees*: nothing panics; a truncated entry is not returned.
#[test]
fn a_damaged_entry_is_none() {
    let whole = bytes(ENTRY_V4);
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_empty());
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        for value in 0..=u8::MAX {
            damaged[at] = value;
            read(&damaged);
        }
    }
}

/// *Scenario*: the entry of a UDP flow.
/// *Guarantees*: it is not returned as an entry.
#[test]
fn other_protocols_are_skipped() {
    let mut udp = bytes(ENTRY_V4);
    let at = udp.windows(5).position(|window| window == [5, 0, 1, 0, TCP]).unwrap();
    udp[at + 4] = 17;
    assert_eq!(read(&udp), [(7, Payload::Other)]);
}

proptest! {
    /// *Scenario*: random bytes, and random bytes after a valid header.
    /// *Guarantees*: reading ends without a panic.
    #[test]
    fn arbitrary_bytes_do_not_panic(noise in proptest::collection::vec(any::<u8>(), 0..400), kind in 0u16..0x200) {
        read(&noise);
        let mut message = ((HEADER + noise.len()) as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(&noise);
        prop_assert!(read(&message).len() == 1);
    }

    /// *Scenario*: an entry with a request's tuple as both directions.
    /// *Guarantees*: any tuple is decoded as it was encoded.
    #[test]
    fn what_is_written_is_read(a in any::<u32>(), b in any::<u128>(), v6 in any::<bool>(), ports in any::<(u16, u16)>()) {
        let address = |bits: u128| if v6 {
            std::net::IpAddr::from((bits | 1 << 127).to_be_bytes())
        } else {
            Ipv4Addr::from(bits as u32).into()
        };
        let tuple = Tuple {
            source: Endpoint { address: address(a.into()), port: ports.0 },
            destination: Endpoint { address: address(b), port: ports.1 },
        };
        let mut message = Vec::new();
        get(&mut message, 1, &tuple);
        let mut body = message.split_off(HEADER + GENERIC);
        let mut reply = body.clone();
        reply[..4].copy_from_slice(&[body[0], body[1], CTA_TUPLE_REPLY as u8, 0x80]);
        body.extend(reply);
        message.extend(body);
        let length = message.len() as u32;
        message[..4].copy_from_slice(&length.to_ne_bytes());
        message[4..6].copy_from_slice(&CT_NEW.to_ne_bytes());
        let entry = ConntrackEntry { original: tuple, reply: tuple, state: None, started: None };
        prop_assert_eq!(read(&message), vec![(1, Payload::Entry(entry))]);
    }
}
