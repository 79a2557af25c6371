//! Longwave's BPF programs. Nothing here runs per packet or per system call: `state` and `state_again` run when a TCP
//! socket changes state, the others when user space runs them.
//!
//! No `memset`, no `memcpy`: `aya-ebpf`'s are byte loops in a subprogram. Memory is zeroed and copied in volatile words
//! (`words`), and `cargo xtask ebpf verify` looks for calls in the translated programs.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod atomic;
mod config;
mod counters;
mod listen;
mod maps;
mod owner;
mod sample;
mod scope;
mod seed;
mod socket;
mod state;
mod table;
mod tally;
mod words;

/// The helpers used are for GPL-compatible programs.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
