//! Offsets of the kernel fields that the programs read.

/// Offset of a field that the running kernel lacks.
pub const ABSENT: u32 = u32::MAX;

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Offsets of kernel fields in bytes, those of bit fields in bits; [`ABSENT`] for a field that the running kernel lacks.
        ///
        /// The loader writes them into read-only data before verification, so that the verifier treats each as a constant.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "zerocopy", derive(zerocopy::Immutable, zerocopy::IntoBytes))]
        pub struct Offsets {
            $($(#[$doc])* pub $name: u32,)*
        }

        impl Offsets {
            /// All fields absent.
            pub const NONE: Self = Self { $($name: ABSENT,)* };
        }
    };
}

offsets! {
    /// `sock_common.skc_family`, u16.
    family,
    /// `sock_common.skc_state`, u8.
    state,
    /// `sock_common.skc_daddr`, 4 bytes.
    daddr,
    /// `sock_common.skc_rcv_saddr`, 4 bytes.
    rcv_saddr,
    /// `sock_common.skc_v6_daddr`, 16 bytes; absent without IPv6.
    v6_daddr,
    /// `sock_common.skc_v6_rcv_saddr`, 16 bytes; absent without IPv6.
    v6_rcv_saddr,
    /// `sock_common.skc_dport`, u16, network byte order.
    dport,
    /// `sock_common.skc_num`, u16, host byte order.
    num,
    /// `sock_common.skc_cookie`, u64.
    cookie,
    /// `sock_common.skc_flags`, u64.
    flags,
    /// `sock_common.skc_net.net`, pointer.
    net,
    /// `sock.sk_protocol`, u16.
    protocol,
    /// `sock.sk_err`, i32.
    err,
    /// `sock.sk_err_soft`, i32.
    err_soft,
    /// `sock.sk_shutdown`, u8.
    shutdown,
    /// `sock.sk_lock.owned`, i32.
    lock_owned,
    /// `sock.sk_socket`, pointer; null once no descriptor refers to the socket.
    socket,
    /// `sock.sk_cgrp_data.cgroup`, pointer.
    cgroup,
    /// `sock.sk_user_data`, tagged pointer.
    user_data,
    /// `inet_sock.inet_sport`, u16, network byte order.
    sport,
    /// `inet_connection_sock.icsk_ulp_ops`, pointer.
    ulp_ops,
    /// `tcp_sock.is_mptcp`, bool; absent without MPTCP.
    is_mptcp,
    /// `tcp_sock.repair`, a single bit.
    repair,
    /// `tcp_sock.fastopen_connect`, a single bit.
    fastopen_connect,
    /// `tcp_sock.bytes_acked`, u64.
    bytes_acked,
    /// `tcp_sock.bytes_received`, u64.
    bytes_received,
    /// `tcp_sock.bytes_sent`, u64.
    bytes_sent,
    /// `tcp_sock.bytes_retrans`, u64.
    bytes_retrans,
    /// `tcp_sock.write_seq`, u32 like all further fields of `tcp_sock`.
    write_seq,
    /// `tcp_sock.snd_nxt`.
    snd_nxt,
    /// `tcp_sock.snd_una`.
    snd_una,
    /// `tcp_sock.rcv_nxt`.
    rcv_nxt,
    /// `tcp_sock.copied_seq`.
    copied_seq,
    /// `tcp_sock.segs_out`.
    segs_out,
    /// `tcp_sock.segs_in`.
    segs_in,
    /// `tcp_sock.data_segs_out`.
    data_segs_out,
    /// `tcp_sock.data_segs_in`.
    data_segs_in,
    /// `tcp_sock.total_retrans`.
    total_retrans,
    /// `tcp_sock.lost`.
    lost,
    /// `tcp_sock.delivered`.
    delivered,
    /// `tcp_sock.srtt_us`.
    srtt_us,
    /// `tcp_sock.mdev_us`.
    mdev_us,
    /// `tcp_sock.rtt_min.s[0].v`.
    rtt_min,
    /// `tcp_sock.snd_cwnd`.
    snd_cwnd,
    /// `tcp_sock.mss_cache`.
    mss_cache,
    /// `tcp_sock.packets_out`.
    packets_out,
    /// `tcp_sock.rate_delivered`.
    rate_delivered,
    /// `tcp_sock.rate_interval_us`.
    rate_interval_us,
    /// `tcp_sock.chrono_type`, the lowest of 2 bits in one byte.
    chrono_type,
    /// `tcp_sock.chrono_start`.
    chrono_start,
    /// `tcp_sock.chrono_stat`, three times u32.
    chrono_stat,
    /// `tcp_sock.rcv_ooopack`.
    rcv_ooopack,
    /// `tcp_sock.dsack_dups`.
    dsack_dups,
    /// `tcp_sock.delivered_ce`.
    delivered_ce,
    /// `tcp_sock.total_rto`, u16.
    total_rto,
    /// `tcp_sock.rcv_rtt_est.rtt_us`.
    rcv_rtt_us,
    /// `tcp_sock.snd_ssthresh`.
    snd_ssthresh,
    /// `tcp_sock.snd_wnd`.
    snd_wnd,
    /// `sock.sk_pacing_rate`, u64.
    pacing_rate,
    /// `inet_connection_sock.icsk_ca_ops`, pointer to `tcp_congestion_ops`.
    ca_ops,
    /// `tcp_congestion_ops.name`, 16 bytes.
    ca_name,
    /// `net.ns.inum`, u32.
    net_inum,
    /// `cgroup.kn`, pointer.
    cgroup_kn,
    /// `cgroup.root`, pointer to `cgroup_root`.
    cgroup_root,
    /// `cgroup_root.hierarchy_id`, i32; 0 for version 2.
    hierarchy_id,
    /// `kernfs_node.id`, u64.
    kn_id,
    /// `socket.sk`, pointer.
    socket_sk,
    /// `task_struct.group_leader`, pointer to the first thread of the process.
    task_group_leader,
    /// `task_struct.flags`, u32.
    task_flags,
    /// `task_struct.tgid`, i32.
    task_tgid,
    /// `task_struct.comm`, 16 bytes.
    task_comm,
    /// `task_struct.cgroups`, pointer to `css_set`.
    task_cgroups,
    /// `css_set.dfl_cgrp`, pointer to `cgroup`.
    css_set_dfl_cgrp,
}
