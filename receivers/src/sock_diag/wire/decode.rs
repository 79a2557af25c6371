//! Decodes the kernel's messages.

use longwave_pipeline::component::netlink::{Attributes, u16_at, u32_at, u64_at};

use super::{AF_INET, INET_DIAG_CGROUP_ID, INET_DIAG_CONG, INET_DIAG_INFO, INET_DIAG_ULP_INFO, MESSAGE};

/// A socket, as the kernel describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sock_diag) struct DiagSocket {
    /// `AF_INET` or `AF_INET6`.
    pub family: u8,
    /// The kernel's number of the state. CLOSE for a socket that ended.
    pub state: u8,
    /// Local address in network byte order; IPv4 is v4-mapped.
    pub local: [u8; 16],
    /// Peer address, likewise.
    pub peer: [u8; 16],
    /// Local port; 0 if the socket never had one.
    pub local_port: u16,
    /// Peer port; 0 if the socket has no peer, or none any more.
    pub peer_port: u16,
    /// Index of the network interface that the socket is bound to; 0 for any.
    pub interface: u32,
    /// Socket cookie.
    pub cookie: u64,
    /// `rcv_nxt - copied_seq`: bytes received and not read. The peer's FIN counts as one.
    pub unread: u32,
    /// `write_seq - snd_una`: bytes written and not acknowledged. The FIN counts as one.
    pub unacknowledged: u32,
    /// Inode of the descriptor; 0 if no process has one.
    pub inode: u32,
    /// cgroup2 id; 0 if the kernel does not report it (before 5.7, and for a socket that ended).
    pub cgroup: u64,
    /// Whether an upper layer protocol such as kernel TLS or MPTCP is attached.
    pub has_ulp: bool,
    /// Name of the congestion control, padded with NUL.
    pub congestion_control: [u8; 16],
    /// `None` for a socket without a connection, such as one in TIME_WAIT.
    pub info: Option<TcpInfo>,
}

/// The fields of `struct tcp_info` that Longwave uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sock_diag) struct TcpInfo {
    /// Consecutive timeouts.
    pub retransmits: u8,
    /// Consecutive probes without an answer.
    pub probes: u8,
    /// `TCPI_OPT_*`: options that both ends negotiated.
    pub options: u8,
    pub mss: u32,
    /// Segments in flight.
    pub unacked: u32,
    /// Smoothed round trip in µs.
    pub rtt: u32,
    /// Mean deviation in µs.
    pub rttvar: u32,
    pub cwnd: u32,
    pub total_retrans: u32,
    /// SYN and FIN count as one byte each.
    pub bytes_acked: u64,
    /// The peer's FIN counts as one byte.
    pub bytes_received: u64,
    pub segs_out: u32,
    pub segs_in: u32,
    /// `write_seq - snd_nxt`.
    pub notsent_bytes: u32,
    /// In µs; `u32::MAX` without a sample.
    pub min_rtt: u32,
    pub data_segs_in: u32,
    pub data_segs_out: u32,
    /// In bytes per second.
    pub delivery_rate: u64,
    pub delivered: u32,
    /// Data bytes passed to the IP layer, with and without retransmissions. `None` before 4.19.
    pub handed_down: Option<(u64, u64)>,
    /// Window of the peer in bytes. 0 before 5.4.
    pub snd_wnd: u32,
    /// Times in µs: with data to send, of these with the peer's window full, and of these with the send buffer full. 0 before 4.10.
    pub busy: [u64; 3],
    pub ssthresh: u32,
    /// Round trip of the receiver of data, in µs.
    pub rcv_rtt: u32,
    /// In bytes per second; `u64::MAX` without a limit.
    pub pacing_rate: u64,
    pub delivered_ce: u32,
    pub dsack_dups: u32,
    pub rcv_ooopack: u32,
    /// Retransmission timeouts. 0 before 6.7.
    pub total_rto: u16,
    /// Length of the kernel's `tcp_info` in bytes.
    pub length: u16,
}

// === impl DiagSocket ===

impl DiagSocket {
    /// Decodes the payload of a message. `None` if it is too short.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let message: &[u8; MESSAGE] = body.first_chunk()?;
        let [family, state] = [message[0], message[1]];
        let port = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
        let mut socket = Self {
            family,
            state,
            local: address(family, message, 8),
            peer: address(family, message, 24),
            local_port: port(4),
            peer_port: port(6),
            interface: u32_at(message, 40)?,
            cookie: u64_at(message, 44)?,
            unread: u32_at(message, 56)?,
            unacknowledged: u32_at(message, 60)?,
            inode: u32_at(message, 68)?,
            ..Self::default()
        };
        for (kind, value) in Attributes::new(&body[MESSAGE..]) {
            match kind {
                INET_DIAG_INFO => socket.info = TcpInfo::decode(value),
                INET_DIAG_CGROUP_ID => socket.cgroup = u64_at(value, 0).unwrap_or(0),
                INET_DIAG_CONG => {
                    let length = value.len().min(socket.congestion_control.len() - 1);
                    socket.congestion_control[..length].copy_from_slice(&value[..length]);
                }
                INET_DIAG_ULP_INFO => socket.has_ulp = true,
                _ => {}
            }
        }
        Some(socket)
    }
}

/// Returns the address at an offset. IPv4 becomes v4-mapped.
fn address(family: u8, message: &[u8; MESSAGE], at: usize) -> [u8; 16] {
    let mut address = [0; 16];
    if family == AF_INET {
        address[10..12].fill(0xff);
        address[12..].copy_from_slice(&message[at..at + 4]);
    } else {
        address.copy_from_slice(&message[at..at + 16]);
    }
    address
}

// === impl TcpInfo ===

impl TcpInfo {
    /// Decodes a `tcp_info`. `None` if it lacks the counts of bytes, which it has since 4.1.
    fn decode(info: &[u8]) -> Option<Self> {
        Some(Self {
            retransmits: *info.get(2)?,
            probes: *info.get(3)?,
            options: *info.get(5)?,
            mss: u32_at(info, 16)?,
            unacked: u32_at(info, 24)?,
            rtt: u32_at(info, 68)?,
            rttvar: u32_at(info, 72)?,
            cwnd: u32_at(info, 80)?,
            total_retrans: u32_at(info, 100)?,
            bytes_acked: u64_at(info, 120)?,
            bytes_received: u64_at(info, 128)?,
            segs_out: u32_at(info, 136).unwrap_or(0),
            segs_in: u32_at(info, 140).unwrap_or(0),
            notsent_bytes: u32_at(info, 144).unwrap_or(0),
            min_rtt: u32_at(info, 148).unwrap_or(u32::MAX),
            data_segs_in: u32_at(info, 152).unwrap_or(0),
            data_segs_out: u32_at(info, 156).unwrap_or(0),
            delivery_rate: u64_at(info, 160).unwrap_or(0),
            delivered: u32_at(info, 192).unwrap_or(0),
            handed_down: u64_at(info, 200).zip(u64_at(info, 208)),
            snd_wnd: u32_at(info, 228).unwrap_or(0),
            busy: [168, 176, 184].map(|at| u64_at(info, at).unwrap_or(0)),
            ssthresh: u32_at(info, 76)?,
            rcv_rtt: u32_at(info, 92)?,
            pacing_rate: u64_at(info, 104)?,
            delivered_ce: u32_at(info, 196).unwrap_or(0),
            dsack_dups: u32_at(info, 216).unwrap_or(0),
            rcv_ooopack: u32_at(info, 224).unwrap_or(0),
            total_rto: u16_at(info, 240).unwrap_or(0),
            length: u16::try_from(info.len()).unwrap_or(u16::MAX),
        })
    }

    /// Returns the unique data bytes that were passed to the IP layer. More than were sent if the local stack refused some. `None` if the
    /// kernel does not report them.
    pub fn handed_down_once(&self) -> Option<i64> {
        self.handed_down.map(|(sent, retransmitted)| sent as i64 - retransmitted as i64)
    }
}
