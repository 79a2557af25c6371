//! Reads the offsets of the running kernel's fields from its BTF.

use std::sync::OnceLock;

use longwave_ebpf_abi::{Offsets, offsets::ABSENT};

use super::Diagnosis;
use super::types::KernelTypes;

/// File in which the kernel describes its own types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Returns the offsets of the running kernel's fields. Only the first call parses `bytes`, because the kernel does not change.
pub fn of_this_kernel(bytes: &[u8]) -> Result<Offsets, Diagnosis> {
    static OFFSETS: OnceLock<Offsets> = OnceLock::new();
    if let Some(offsets) = OFFSETS.get() {
        return Ok(*offsets);
    }
    let offsets = offsets(bytes)?;
    Ok(*OFFSETS.get_or_init(|| offsets))
}

/// Returns the offsets of all fields. Fields that the kernel lacks are [`ABSENT`].
///
/// # Errors
/// The kernel lacks a field without which no connection can be reported.
pub fn offsets(bytes: &[u8]) -> Result<Offsets, Diagnosis> {
    let types = KernelTypes::from_bytes(bytes).map_err(|reason| Diagnosis::Btf { reason })?;
    let find = |path: &str| types.offset(path).unwrap_or(ABSENT);
    let find_bit = |path: &str| types.bits(path, 1).unwrap_or(ABSENT);
    let need = |path: &str| {
        types
            .offset(path)
            .ok_or_else(|| Diagnosis::Btf { reason: format!("has no field `{path}`, which Longwave needs") })
    };
    Ok(Offsets {
        family: need("sock_common.skc_family")?,
        state: need("sock_common.skc_state")?,
        daddr: need("sock_common.skc_daddr")?,
        rcv_saddr: need("sock_common.skc_rcv_saddr")?,
        v6_daddr: find("sock_common.skc_v6_daddr"),
        v6_rcv_saddr: find("sock_common.skc_v6_rcv_saddr"),
        dport: need("sock_common.skc_dport")?,
        num: need("sock_common.skc_num")?,
        cookie: need("sock_common.skc_cookie")?,
        flags: need("sock_common.skc_flags")?,
        net: find("sock_common.skc_net.net"),
        protocol: need("sock.sk_protocol")?,
        err: need("sock.sk_err")?,
        err_soft: find("sock.sk_err_soft"),
        shutdown: find("sock.sk_shutdown"),
        lock_owned: find("sock.sk_lock.owned"),
        socket: find("sock.sk_socket"),
        cgroup: find("sock.sk_cgrp_data.cgroup"),
        user_data: find("sock.sk_user_data"),
        sport: need("inet_sock.inet_sport")?,
        ulp_ops: find("inet_connection_sock.icsk_ulp_ops"),
        is_mptcp: find("tcp_sock.is_mptcp"),
        repair: find_bit("tcp_sock.repair"),
        fastopen_connect: find_bit("tcp_sock.fastopen_connect"),
        bytes_acked: need("tcp_sock.bytes_acked")?,
        bytes_received: need("tcp_sock.bytes_received")?,
        bytes_sent: find("tcp_sock.bytes_sent"),
        bytes_retrans: find("tcp_sock.bytes_retrans"),
        write_seq: need("tcp_sock.write_seq")?,
        snd_nxt: need("tcp_sock.snd_nxt")?,
        snd_una: need("tcp_sock.snd_una")?,
        rcv_nxt: need("tcp_sock.rcv_nxt")?,
        copied_seq: need("tcp_sock.copied_seq")?,
        segs_out: find("tcp_sock.segs_out"),
        segs_in: find("tcp_sock.segs_in"),
        data_segs_out: find("tcp_sock.data_segs_out"),
        data_segs_in: find("tcp_sock.data_segs_in"),
        total_retrans: find("tcp_sock.total_retrans"),
        lost: find("tcp_sock.lost"),
        delivered: need("tcp_sock.delivered")?,
        srtt_us: find("tcp_sock.srtt_us"),
        mdev_us: find("tcp_sock.mdev_us"),
        rtt_min: find("tcp_sock.rtt_min.s.v"),
        snd_cwnd: find("tcp_sock.snd_cwnd"),
        mss_cache: find("tcp_sock.mss_cache"),
        packets_out: find("tcp_sock.packets_out"),
        rate_delivered: find("tcp_sock.rate_delivered"),
        rate_interval_us: find("tcp_sock.rate_interval_us"),
        // Newer kernels have a whole byte.
        chrono_type: types
            .bits("tcp_sock.chrono_type", 2)
            .or_else(|| types.offset("tcp_sock.chrono_type").map(|bytes| bytes * 8))
            .unwrap_or(ABSENT),
        chrono_start: find("tcp_sock.chrono_start"),
        chrono_stat: find("tcp_sock.chrono_stat"),
        rcv_ooopack: find("tcp_sock.rcv_ooopack"),
        dsack_dups: find("tcp_sock.dsack_dups"),
        delivered_ce: find("tcp_sock.delivered_ce"),
        total_rto: find("tcp_sock.total_rto"),
        rcv_rtt_us: find("tcp_sock.rcv_rtt_est.rtt_us"),
        snd_ssthresh: find("tcp_sock.snd_ssthresh"),
        snd_wnd: find("tcp_sock.snd_wnd"),
        pacing_rate: find("sock.sk_pacing_rate"),
        ca_ops: find("inet_connection_sock.icsk_ca_ops"),
        ca_name: find("tcp_congestion_ops.name"),
        net_inum: find("net.ns.inum"),
        cgroup_kn: find("cgroup.kn"),
        cgroup_root: find("cgroup.root"),
        hierarchy_id: find("cgroup_root.hierarchy_id"),
        kn_id: find("kernfs_node.id"),
        socket_sk: need("socket.sk")?,
        task_group_leader: find("task_struct.group_leader"),
        task_flags: find("task_struct.flags"),
        task_tgid: find("task_struct.tgid"),
        task_comm: find("task_struct.comm"),
        task_cgroups: find("task_struct.cgroups"),
        css_set_dfl_cgrp: find("css_set.dfl_cgrp"),
    })
}
