//! Programs for `cargo xtask bench`, whose cost is compared with that of Longwave: empty programs at Longwave's hooks, and programs at the
//! hooks that other agents use.
#![no_std]
#![no_main]

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RETRANS_CB,
    BPF_SOCK_OPS_RETRANS_CB_FLAG, BPF_SOCK_OPS_RTT_CB, BPF_SOCK_OPS_RTT_CB_FLAG, BPF_SOCK_OPS_STATE_CB,
    BPF_SOCK_OPS_STATE_CB_FLAG, BPF_TCP_CLOSE, sk_action,
};
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use aya_ebpf::macros::{map, sk_msg, sock_ops};
use aya_ebpf::maps::{HashMap, SockHash};
use aya_ebpf::programs::{SkMsgContext, SockOpsContext};

/// The kernel offers some of the helpers to GPL-compatible programs only.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Counters of a connection that a callback records.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Counts {
    bytes_received: u64,
    bytes_acked: u64,
    retransmits: u64,
    smoothed_us: u64,
}

/// Counters by socket cookie.
#[map(name = "counts")]
static COUNTS: HashMap<u64, Counts> = HashMap::with_max_entries(131_072, 0);

/// Sockets by cookie.
#[map(name = "sockets")]
static SOCKETS: SockHash<u64> = SockHash::with_max_entries(131_072, 0);

/// Does nothing, at the tracepoint of `state`.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/inet_sock_set_state")]
pub extern "C" fn empty(_: *const u64) -> i32 {
    0
}

/// Does nothing, at the tracepoint of `state_again`.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/inet_sock_set_state")]
pub extern "C" fn empty_again(_: *const u64) -> i32 {
    0
}

/// Records counters in a callback for each round-trip sample, retransmission and state change.
#[sock_ops]
pub fn callbacks(context: SockOpsContext) -> u32 {
    const FLAGS: u32 = BPF_SOCK_OPS_RTT_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG | BPF_SOCK_OPS_STATE_CB_FLAG;
    match context.op() {
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB | BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => {
            let _ = context.set_cb_flags(FLAGS as i32);
            record(&context);
        }
        BPF_SOCK_OPS_RTT_CB | BPF_SOCK_OPS_RETRANS_CB => record(&context),
        BPF_SOCK_OPS_STATE_CB if context.arg(1) == BPF_TCP_CLOSE => {
            let _ = COUNTS.remove(cookie(&context));
        }
        _ => {}
    }
    0
}

/// Inserts each established socket into the sock map, whose sockets send through `messages`.
#[sock_ops]
pub fn collect(context: SockOpsContext) -> u32 {
    if matches!(context.op(), BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB | BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
        // SAFETY: the pointer is that of the context.
        let _ = SOCKETS.update(cookie(&context), unsafe { &mut *context.ops }, 0);
    }
    0
}

/// Passes every message.
#[sk_msg]
pub fn messages(_: SkMsgContext) -> u32 {
    sk_action::SK_PASS
}

#[inline(always)]
fn cookie(context: &SockOpsContext) -> u64 {
    // SAFETY: the helper takes this context.
    unsafe { bpf_get_socket_cookie(context.ops.cast()) }
}

#[inline(always)]
fn record(context: &SockOpsContext) {
    // SAFETY: the pointer is that of the context.
    let counts = unsafe {
        let ops = &*context.ops;
        Counts {
            bytes_received: ops.bytes_received,
            bytes_acked: ops.bytes_acked,
            retransmits: ops.total_retrans.into(),
            smoothed_us: (ops.srtt_us >> 3).into(),
        }
    };
    let _ = COUNTS.insert(cookie(context), counts, 0);
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
