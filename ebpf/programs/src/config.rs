//! Read-only data that the loader sets before verification, so that the verifier treats it as constants.

use longwave_ebpf_abi::{Offsets, Settings};

/// Offsets of the running kernel's fields.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets::NONE;

/// Settings derived from the configuration.
#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings::UNSET;

/// Reads a field. The read is volatile, because the loader has changed the compiled-in value.
#[inline(always)]
pub fn read<T: Copy>(field: &'static T) -> T {
    // SAFETY: a reference is valid for reads.
    unsafe { core::ptr::read_volatile(field) }
}

/// Returns `value` in such a way that the compiler can assume nothing about it.
#[inline(always)]
pub fn read_once<T: Copy>(value: T) -> T {
    // SAFETY: a local variable is valid for reads.
    unsafe { core::ptr::read_volatile(&raw const value) }
}

/// Reads the offset of a kernel field.
macro_rules! offset {
    ($field:ident) => {
        $crate::config::read(&$crate::config::OFFSETS.$field)
    };
}

/// Reads a setting.
macro_rules! setting {
    ($field:ident) => {
        $crate::config::read(&$crate::config::SETTINGS.$field)
    };
}

pub(crate) use {offset, setting};
