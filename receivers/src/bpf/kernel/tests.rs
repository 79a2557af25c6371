//! Tests that need neither root nor BPF.

use longwave_ebpf_abi::{
    ConnectionEvent, LAYOUT_VERSION, LimitCounters, Offsets, SHORT_EVENT_LEN, flag, kind,
};
use zerocopy::IntoBytes;

use super::diagnosis::version;
use super::transition::connection;
use super::types::KernelTypes;
use super::{Diagnosis, Options, Transition, btf, layout};

/// *Scenario*: releases of several distributions, and text that is no release.
/// *Guarantees*: major and minor version are parsed; other text has none.
#[test]
fn reads_the_version_of_a_release() {
    assert_eq!(version("6.1.0-43-cloud-amd64"), Some((6, 1)));
    assert_eq!(version("6.18.44-fc-v595"), Some((6, 18)));
    assert_eq!(version("5.15"), Some((5, 15)));
    assert_eq!(version("linux"), None);
}

/// *Scenario*: records of the wrong size, version or kind, and of a size that does not match the flags.
/// *Guarantees*: they are not parsed, and no length causes a panic.
#[test]
fn foreign_records_are_not_parsed() {
    let whole = &mut ConnectionEvent::default();
    assert!(Transition::parse(&[], whole).is_none());
    assert!(Transition::parse(&[0; 2], whole).is_none());
    assert!(Transition::parse(&[1, 0, 99, 0], whole).is_none());
    let event = ConnectionEvent { version: LAYOUT_VERSION, kind: kind::CLOSE, ..ConnectionEvent::default() };
    let with_limits = ConnectionEvent { flags: flag::LIMITS, ..event };
    let other_version = ConnectionEvent { version: LAYOUT_VERSION - 1, ..event };
    for (event, parsed) in
        [(event, Some(SHORT_EVENT_LEN)), (with_limits, Some(size_of_val(&event))), (other_version, None)]
    {
        for length in 0..=size_of_val(&event) {
            assert_eq!(
                connection(&event.as_bytes()[..length], whole).is_some(),
                parsed == Some(length),
                "{length}"
            );
        }
    }
}

/// *Scenario*: an event without limits, after one with limits.
/// *Guarantees*: its fields are read, and its limits are 0.
#[test]
fn an_event_without_limits_has_none() {
    let limits = LimitCounters { rcv_ooopack: 7, ..LimitCounters::default() };
    let mut whole = ConnectionEvent { limits, flags: flag::LIMITS, ..ConnectionEvent::default() };
    let event = ConnectionEvent {
        version: LAYOUT_VERSION,
        kind: kind::CLOSE,
        cookie: 5,
        ..ConnectionEvent::default()
    };
    let parsed = connection(&event.as_bytes()[..SHORT_EVENT_LEN], &mut whole);
    assert_eq!(parsed, Some(&event));
}

/// *Scenario*: the BTF of the running kernel. The test is skipped if there is none.
/// *Guarantees*: nested, anonymous and array members are found; bit fields and unknown members are not. The range that a sample copies
/// contains its fields.
#[test]
fn finds_the_offsets_of_this_kernel() {
    let Ok(bytes) = std::fs::read(btf::VMLINUX) else {
        eprintln!("skipped: no {}", btf::VMLINUX);
        return;
    };
    let types = KernelTypes::from_bytes(&bytes).unwrap();
    let minimum = types.offset("tcp_sock.rtt_min").unwrap();
    assert_eq!(types.offset("tcp_sock.rtt_min.s.v"), Some(minimum + 4));
    assert_eq!(types.offset("sock_common.skc_daddr"), Some(0));
    assert_eq!(types.offset("sock_common.skc_reuse"), None);
    assert_eq!(types.offset("sock_common.nothing"), None);
    assert_eq!(types.offset("nothing.nothing"), None);
    let offsets = btf::offsets(&bytes).unwrap();
    let settings = layout::settings(&Options::default(), &offsets).unwrap();
    assert!(settings.sample_start <= offsets.snd_cwnd);
    assert!(settings.sample_start + settings.sample_len >= offsets.total_retrans + 4);
}

/// *Scenario*: bytes that are no BTF, BTF that is cut at any length, and BTF with any byte changed.
/// *Guarantees*: parsing returns an error or some result, and never panics or loops forever.
#[test]
fn bad_types_are_an_error() {
    assert!(KernelTypes::from_bytes(&[]).is_err());
    assert!(KernelTypes::from_bytes(b"nothing of the kind").is_err());
    // A struct `s` with a member `m` of type int at bit 32.
    let mut btf: Vec<u8> =
        vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 40, 0, 0, 0, 5, 0, 0, 0];
    btf.extend([3u32, 1 << 24, 4, 32].iter().flat_map(|word| word.to_ne_bytes()));
    btf.extend([1u32, 4 << 24 | 1, 8, 3, 1, 32].iter().flat_map(|word| word.to_ne_bytes()));
    btf.extend(b"\0s\0m\0");
    assert_eq!(KernelTypes::from_bytes(&btf).unwrap().offset("s.m"), Some(4));
    for cut in 0..btf.len() {
        assert!(KernelTypes::from_bytes(&btf[..cut]).is_err(), "cut at {cut}");
    }
    for at in 0..btf.len() {
        for byte in 0..=255 {
            let mut changed = btf.clone();
            changed[at] = byte;
            if let Ok(types) = KernelTypes::from_bytes(&changed) {
                let _ = types.offset("s.m");
            }
        }
    }
}

/// *Scenario*: a kernel whose fields are too far apart for one read.
/// *Guarantees*: an error that names the struct, not a truncated sample.
#[test]
fn refuses_ranges_that_do_not_fit() {
    let offsets = Offsets { rcv_nxt: 0, total_retrans: 10_000, ..Offsets::NONE };
    let error = layout::settings(&Options::default(), &offsets).unwrap_err();
    assert!(matches!(error, Diagnosis::Btf { .. }), "{error}");
    assert!(error.to_string().contains("tcp_sock"), "{error}");
}

/// *Scenario*: the ports 0, 63, 64 and 65535 are in scope.
/// *Guarantees*: exactly their bits are set.
#[test]
fn ports_become_bits() {
    let options = Options { ports: vec![0, 63, 64, 65_535], ..Options::default() };
    let bits = layout::ports(&options);
    assert_eq!((bits[0], bits[1], bits[1023]), (1 | 1 << 63, 1, 1 << 63));
    assert_eq!(bits.iter().map(|word| word.count_ones()).sum::<u32>(), 4);
}

/// *Scenario*: the ticks of kernels with 100, 250, 300 and 1000 Hz, other lengths, and this host's.
/// *Guarantees*: the usual ticks have the microseconds with which the kernel computes `struct tcp_info`. Others are refused.
#[test]
fn the_clock_tick_is_one_of_the_usual() {
    let micros = |nanos| super::clock_tick::micros_of(nanos).map(|micros| micros.get());
    let usual = [10_000_000, 4_000_000, 3_333_333, 1_000_000].map(micros);
    assert_eq!(usual, [Some(10_000), Some(4_000), Some(3_333), Some(1_000)]);
    assert_eq!([0, 1, 999, 976_563, 20_000_000, u64::MAX].map(micros), [None; 6]);
    assert!(super::clock_tick::micros().is_some());
}
