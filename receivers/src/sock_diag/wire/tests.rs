//! Tests with bytes that a kernel sent (6.18, little endian).

use longwave_pipeline::component::netlink::{Message, Messages, Payload};
use proptest::prelude::*;

use super::*;

/// An IPv6 socket on ::1, established, which sent 1,000 bytes. It is in the cgroup with id 1.
pub(in crate::sock_diag) const SENDER_V6: &str = "980100001400020007000000a65063df0a010000920cb5ed0000000000000000000000000000000100000000000000000000000000000001000000002616860500\
00000000000000000000000000000000000000fca08e0c050008000000000008000f00000000000c001500010000000000000006001600120000001c0102000100\
00000007aa01e01c030000000000008a00001802000000000000000000000000000000000000000000000000000000000000000000000000000000000100c4ff00\
001d00000010000000ffffff7f0b000000b8ff00000300000000000000c4ff00000000000051b960ce06000000ffffffffffffffffe90300000000000000000000\
0000000003000000020000000000000009000000000000000100000055d5f7e9000000000000000000000000000000000000000000000000000000000200000000\
000000e803000000000000000000000000000000000000000000000000000000140100000001000000000000000000000000000000000000000000000000000000\
000000000000000000000000000000000000";
/// An accepted IPv4 socket, established, which received 100 bytes of which 90 are not read.
pub(in crate::sock_diag) const RECEIVER_V4: &str = "980100001400020007000000a65063df02010000e8c78f947f0000010000000000000000000000007f000001000000000000000000000000000000002816860500\
000000000000005a000000000000000000000000a18e0c050008000000000008000f00000000000c001500010000000000000006001600520000001c0102000100\
00000007aa01e01c0300409c00000080000018020000000000000000000000000000000000000000000000000000000000000000000000000000ffff0000cbff00\
000900000004000000ffffff7f0a000000cbff00000300000000000000cbff000000000000934def3918000000ffffffffffffffff000000000000000064000000\
0000000001000000030000000000000009000000010000000000000000000000000000000000000000000000000000000000000000000000000000000100000000\
0000000000000000000000000000000000000000000000000000000000000000000100000001000000000000000000000000000000000000000000000000000000\
000000000000000000000000000000000000";
/// The end of its peer, a client that sent 100 bytes and a FIN, and received a FIN that it did not read.
pub(in crate::sock_diag) const ENDED_CLIENT: &str = "7c010000140000000000000000000000020700008f94e8c77f0000010000000000000000000000007f000001000000000000000000000000000000002916860500\
000000000000000100000000000000000000000000000005000a00060000001c010200070000000007aa00e01c0300000000000080000018020000000000000000\
000000000000000000000000000004000000000000000400000000000000ffff0000d7ff00000f00000009000000ffffff7f0c000000cbff000003000000000000\
00d7ff000000000000c93218860e000000ffffffffffffffff66000000000000000100000000000000050000000300000000000000040000000000000001000000\
bd84564800000000000000000000000000000000000000000000000000000000030000000000000064000000000000000000000000000000000000000000000000\
00000000000100000001000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Decodes a captured message with one socket.
pub(in crate::sock_diag) fn decoded(hex: &str) -> DiagSocket {
    let bytes = bytes(hex);
    let messages: Vec<Message<'_>> = Messages::new(&bytes).collect();
    let [Message { payload: Payload::Data(SOCK_DIAG_BY_FAMILY, body), .. }] = messages.as_slice() else {
        panic!("{messages:?}")
    };
    DiagSocket::decode(body).unwrap()
}

/// *Scenario*: messages of a list, over IPv6 and IPv4.
/// *Guarantees*: addresses, ports, cookie, inode, cgroup and counts are read.
#[test]
fn sockets_of_a_list_are_decoded() {
    let socket = decoded(SENDER_V6);
    assert_eq!(
        (socket.family, socket.state, socket.local_port, socket.peer_port),
        (AF_INET6, 1, 37_388, 46_573)
    );
    assert_eq!((socket.local[15], socket.peer[15]), (1, 1));
    assert_eq!((socket.cookie, socket.inode, socket.cgroup), (0x0586_1626, 0x0c8e_a0fc, 1));
    let info = socket.info.unwrap();
    assert_eq!((info.bytes_acked, info.handed_down, info.data_segs_out), (1_001, Some((1_000, 0)), 1));
    assert_eq!((info.mss, info.cwnd, info.min_rtt, info.rtt), (0x8a00, 11, 9, 29));

    let socket = decoded(RECEIVER_V4);
    assert_eq!((socket.local[10..].to_vec(), socket.unread), (vec![0xff, 0xff, 127, 0, 0, 1], 90));
    let info = socket.info.unwrap();
    assert_eq!((info.bytes_received, info.data_segs_in, info.snd_wnd), (100, 1, 65_536));
}

/// *Scenario*: the message of a socket that ended.
/// *Guarantees*: its state is CLOSE, and it has the counts and no cgroup.
#[test]
fn ended_sockets_are_decoded() {
    let socket = decoded(ENDED_CLIENT);
    assert_eq!((socket.state, socket.unread, socket.unacknowledged, socket.cgroup), (7, 1, 0, 0));
    let info = socket.info.unwrap();
    assert_eq!((info.bytes_acked, info.bytes_received, info.handed_down), (102, 1, Some((100, 0))));
}

/// *Scenario*: a `tcp_info` of each length.
/// *Guarantees*: what an older kernel lacks is absent: without the counts of bytes there is none, and without `bytes_retrans` the number of
/// unique bytes is unknown.
#[test]
fn a_shorter_reply_lacks_fields() {
    let whole = bytes(ENDED_CLIENT);
    let info = &whole[16 + MESSAGE + 8 + 4..];
    for length in 0..info.len() {
        let mut message = whole[16..16 + MESSAGE].to_vec();
        longwave_pipeline::component::netlink::attribute(&mut message, INET_DIAG_INFO, &info[..length]);
        let decoded = DiagSocket::decode(&message).unwrap().info;
        assert_eq!(decoded.is_some(), length >= 136, "{length}");
        if let Some(decoded) = decoded {
            assert_eq!(decoded.handed_down_once().is_some(), length >= 216, "{length}");
            assert_eq!(decoded.bytes_acked, 102);
        }
    }
}

/// *Scenario*: a request for a list, and one for a socket.
/// *Guarantees*: they have the layout of `struct inet_diag_req_v2`.
#[test]
fn requests_are_encoded() {
    let mut request = Vec::new();
    list(&mut request, 7, AF_INET6, LISTENING);
    let head = "480000001400010307000000000000000a06020000040000";
    assert_eq!(request, [bytes(head), vec![0; 48]].concat());
    request.clear();
    look_up(&mut request, 8, &decoded(ENDED_CLIENT));
    let wanted = "4800000014000100080000000000000002060200ffffffff8f94e8c77f0000010000000000000000000000007f000001\
                  00000000000000000000000000000000ffffffffffffffff";
    assert_eq!(request, bytes(wanted));
}

proptest! {
    /// *Scenario*: arbitrary bytes.
    /// *Guarantees*: nothing panics.
    #[test]
    fn arbitrary_bytes_do_not_panic(noise in proptest::collection::vec(any::<u8>(), 0..600)) {
        for message in Messages::new(&noise) {
            let _ = message;
        }
        let _ = DiagSocket::decode(&noise);
    }
}
