//! Read-only data that the loader fills in: constants to the verifier.

use longwave_ebpf_abi::{Offsets, Settings};

/// Where the running kernel keeps its fields.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets::NONE;

/// What is switched on.
#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings::UNSET;

/// Reads what the loader wrote, not what is compiled in.
#[inline(always)]
pub fn read<T: Copy>(field: &'static T) -> T {
    // SAFETY: a reference is valid for reads.
    unsafe { core::ptr::read_volatile(field) }
}

/// A value of which the compiler forgets what it knew.
#[inline(always)]
pub fn read_once<T: Copy>(value: T) -> T {
    // SAFETY: a local variable.
    unsafe { core::ptr::read_volatile(&raw const value) }
}

/// The offset of a kernel field.
macro_rules! offset {
    ($field:ident) => {
        $crate::config::read(&$crate::config::OFFSETS.$field)
    };
}

/// A setting.
macro_rules! setting {
    ($field:ident) => {
        $crate::config::read(&$crate::config::SETTINGS.$field)
    };
}

pub(crate) use {offset, setting};
