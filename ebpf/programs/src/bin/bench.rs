//! Programs that Longwave's cost is compared with: the least that two tracing programs can cost. For `cargo xtask bench` only.
#![no_std]
#![no_main]

/// The helpers used are for GPL-compatible programs.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Does nothing, where `state` is attached.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/inet_sock_set_state")]
pub extern "C" fn empty(_: *const u64) -> i32 {
    0
}

/// Does nothing, where `state_again` is attached.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tp_btf/inet_sock_set_state")]
pub extern "C" fn empty_again(_: *const u64) -> i32 {
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
