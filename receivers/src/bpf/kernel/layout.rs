//! Derives the settings of the programs from options and offsets.

use longwave_ebpf_abi::offsets::ABSENT;
use longwave_ebpf_abi::settings::{MAX_COMMON_LEN, MAX_PROGRESS_LEN, MAX_SAMPLE_LEN, family};
use longwave_ebpf_abi::{BUCKET_KEYS, Offsets, Settings};

use super::{Diagnosis, Options, diagnosis};

/// Returns the settings of the programs.
///
/// # Errors
/// The fields are too far apart for one read, or the kernel has no cgroups of sockets and the options select some.
pub fn settings(options: &Options, offsets: &Offsets) -> Result<Settings, Diagnosis> {
    let counters = range(&[
        (offsets.bytes_acked, 8),
        (offsets.bytes_received, 8),
        (offsets.bytes_sent, 8),
        (offsets.bytes_retrans, 8),
        (offsets.write_seq, 4),
        (offsets.snd_nxt, 4),
        (offsets.snd_una, 4),
        (offsets.rcv_nxt, 4),
        (offsets.copied_seq, 4),
        (offsets.segs_out, 4),
        (offsets.segs_in, 4),
        (offsets.data_segs_out, 4),
        (offsets.data_segs_in, 4),
        (offsets.total_retrans, 4),
        (offsets.lost, 4),
        (offsets.delivered, 4),
        (offsets.srtt_us, 4),
        (offsets.mdev_us, 4),
        (offsets.rtt_min, 4),
        (offsets.snd_cwnd, 4),
        (offsets.mss_cache, 4),
        (offsets.packets_out, 4),
        (offsets.rate_delivered, 4),
        (offsets.rate_interval_us, 4),
        (if offsets.chrono_type == ABSENT { ABSENT } else { offsets.chrono_type / 8 }, 1),
        (offsets.chrono_start, 4),
        (offsets.chrono_stat, 12),
        (offsets.rcv_ooopack, 4),
        (offsets.dsack_dups, 4),
        (offsets.delivered_ce, 4),
        (offsets.total_rto, 2),
        (offsets.rcv_rtt_us, 4),
        (offsets.snd_ssthresh, 4),
        (offsets.snd_wnd, 4),
    ]);
    let progress =
        range(&[(offsets.rcv_nxt, 4), (offsets.snd_nxt, 4), (offsets.snd_una, 4), (offsets.delivered, 4)]);
    let common = range(&[
        (offsets.dport, 2),
        (offsets.num, 2),
        (offsets.state, 1),
        (offsets.cookie, 8),
        (offsets.flags, 8),
    ]);
    for (what, (_, length), max) in
        [("tcp_sock", counters, MAX_SAMPLE_LEN), ("sock_common", common, MAX_COMMON_LEN)]
    {
        if length > max {
            return Err(Diagnosis::Btf {
                reason: format!(
                    "spreads the fields of `{what}` over {length} bytes, more than the {max} that a sample reads"
                ),
            });
        }
    }
    if options.cgroup.is_some() && [offsets.cgroup, offsets.cgroup_kn, offsets.kn_id].contains(&ABSENT) {
        return Err(Diagnosis::Btf {
            reason: "has no cgroups of sockets (CONFIG_SOCK_CGROUP_DATA): remove the setting `cgroup`".into(),
        });
    }
    let mut families = 0;
    if options.families.v4 {
        families |= family::V4;
    }
    if options.families.v6 {
        families |= family::V6;
    }
    Ok(Settings {
        wake_watermark: options.wake_bytes,
        buckets: buckets(options.max_connections),
        sample_start: counters.0,
        sample_len: counters.1,
        progress_start: progress.0,
        progress_len: if progress.1 <= MAX_PROGRESS_LEN { progress.1 } else { 0 },
        common_start: common.0,
        common_len: common.1,
        emit_open: options.emit_open.into(),
        connect_time: (options.connect_time || options.emit_open).into(),
        families,
        pre_existing: options.pre_existing.into(),
        scope_ports: (!options.ports.is_empty()).into(),
        scope_cgroups: options.cgroup.is_some().into(),
        heartbeat_passes: options.heartbeat_passes,
        state_copies: copies(&diagnosis::release()),
    })
}

/// Returns the number of copies of `state`: three if the kernel can preempt a program of a tracepoint, else two.
pub fn copies(release: &str) -> u8 {
    const PREEMPTIBLE_TRACEPOINTS: (u32, u32) = (7, 0);
    if diagnosis::version(release).is_some_and(|version| version >= PREEMPTIBLE_TRACEPOINTS) { 3 } else { 2 }
}

/// Returns the number of buckets of the table, for seven slots for every four connections.
///
/// With seven, no connection finds both of its buckets full, even under churn (`ebpf/table/tests/load.rs`). With six, 60 in a million do.
pub fn buckets(max_connections: u32) -> u32 {
    let slots = u64::from(max_connections).max(1) * 7 / 4;
    u32::try_from(slots.div_ceil(u64::from(BUCKET_KEYS))).unwrap_or(u32::MAX / BUCKET_KEYS)
}

/// Returns start and length of the range that contains all fields that the kernel has. `fields` are pairs of offset and size.
///
/// The range consists of whole words, because the verifier requires that the copy is aligned as the fields are.
fn range(fields: &[(u32, u32)]) -> (u32, u32) {
    let present = || fields.iter().filter(|(offset, _)| *offset != ABSENT);
    let start = present().map(|(offset, _)| *offset).min().unwrap_or(0) & !7;
    let end = present().map(|(offset, size)| offset + size).max().unwrap_or(0).next_multiple_of(8);
    (start, end - start)
}

/// Returns the value of the map `port_scope`, one bit for each port.
pub fn ports(options: &Options) -> [u64; 1024] {
    let mut bits = [0; 1024];
    for port in &options.ports {
        bits[usize::from(port >> 6)] |= 1 << (port & 63);
    }
    bits
}
