//! Offsets of the running kernel's fields, from its BTF.

use std::sync::OnceLock;

use btf_rs::{Btf, Type};
use longwave_ebpf_abi::{Offsets, offsets::ABSENT};

use super::Diagnosis;

/// Where the kernel describes its own types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Anonymous structs nest a few levels only.
const MAX_DEPTH: usize = 16;

/// The offsets of the running kernel's fields, looked up once: it does not change under a process.
pub fn of_this_kernel(bytes: &[u8]) -> Result<Offsets, Diagnosis> {
    static KNOWN: OnceLock<Offsets> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(*known);
    }
    let found = offsets(bytes)?;
    Ok(*KNOWN.get_or_init(|| found))
}

/// The offsets of all fields; those that this kernel lacks are absent, unless nothing can be reported without them.
pub fn offsets(bytes: &[u8]) -> Result<Offsets, Diagnosis> {
    let btf = Btf::from_bytes(bytes)
        .map_err(|error| Diagnosis::Btf { reason: format!("cannot be parsed: {error}") })?;
    let find = |path: &str| offset(&btf, path).unwrap_or(ABSENT);
    let need = |path: &str| {
        offset(&btf, path).ok_or_else(|| Diagnosis::Btf {
            reason: format!("has no field `{path}`, which nothing can replace"),
        })
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
        cgroup: find("sock.sk_cgrp_data.cgroup"),
        user_data: find("sock.sk_user_data"),
        sport: need("inet_sock.inet_sport")?,
        ulp_ops: find("inet_connection_sock.icsk_ulp_ops"),
        is_mptcp: find("tcp_sock.is_mptcp"),
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
        net_inum: find("net.ns.inum"),
        cgroup_kn: find("cgroup.kn"),
        cgroup_level: find("cgroup.level"),
        cgroup_ancestors: find("cgroup.ancestors"),
        kn_id: find("kernfs_node.id"),
        socket_sk: need("socket.sk")?,
        task_tgid: find("task_struct.tgid"),
        task_comm: find("task_struct.comm"),
        task_cgroups: find("task_struct.cgroups"),
        css_set_dfl_cgrp: find("css_set.dfl_cgrp"),
    })
}

/// The byte offset of `struct.member.member…`, through typedefs, arrays (their first element) and anonymous members. None
/// for bit fields: they have no byte offset.
pub fn offset(btf: &Btf, path: &str) -> Option<u32> {
    let mut parts = path.split('.');
    let outer = parts.next()?;
    let mut current = btf
        .resolve_types_by_name(outer)
        .ok()?
        .into_iter()
        .find(|found| matches!(found, Type::Struct(_) | Type::Union(_)))?;
    let mut bits = 0;
    for name in parts {
        let (offset, inner) = member(btf, &current, name, 0)?;
        bits += offset;
        current = inner;
    }
    (bits % 8 == 0).then_some(bits / 8)
}

/// A member's bit offset and type.
fn member(btf: &Btf, holder: &Type, name: &str, depth: usize) -> Option<(u32, Type)> {
    let holder = plain(btf, holder.clone())?;
    let (Type::Struct(fields) | Type::Union(fields)) = &holder else { return None };
    for field in &fields.members {
        let inner = btf.resolve_chained_type(field).ok()?;
        let field_name = btf.resolve_name(field).unwrap_or_default();
        if field_name == name {
            if field.bitfield_size().is_some_and(|size| size != 0) {
                return None;
            }
            return Some((field.bit_offset(), inner));
        }
        if field_name.is_empty()
            && depth < MAX_DEPTH
            && let Some((offset, found)) = member(btf, &inner, name, depth + 1)
        {
            return Some((field.bit_offset() + offset, found));
        }
    }
    None
}

/// The struct behind typedefs, qualifiers and arrays.
fn plain(btf: &Btf, mut of: Type) -> Option<Type> {
    for _ in 0..MAX_DEPTH {
        of = match &of {
            Type::Typedef(inner) => btf.resolve_chained_type(inner).ok()?,
            Type::Const(inner) | Type::Volatile(inner) | Type::Restrict(inner) => {
                btf.resolve_chained_type(inner).ok()?
            }
            Type::TypeTag(inner) => btf.resolve_chained_type(inner).ok()?,
            Type::Array(inner) => btf.resolve_chained_type(inner).ok()?,
            _ => return Some(of),
        };
    }
    None
}
