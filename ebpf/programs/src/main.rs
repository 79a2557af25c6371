//! Longwave's BPF programs.
//!
//! No program runs per packet or per system call of traffic. `state` and its copies run when a TCP socket changes its state,
//! `cgroup_created` and `cgroup_removed` when a cgroup is created or removed, and the others when user space runs them.
//!
//! The programs do not use `memset` and `memcpy`, because those of `aya-ebpf` are byte loops in a subprogram. Memory is zeroed and copied
//! with volatile words ([`words`]), and `cargo xtask ebpf verify` searches the object for calls.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod atomic;
mod cgroup;
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

/// The kernel offers some of the helpers to GPL-compatible programs only.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
