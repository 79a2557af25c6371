//! The BPF object: built by `cargo xtask ebpf build`, committed, and part of the binary.

use std::borrow::Cow;
use std::path::PathBuf;

use super::Diagnosis;

/// ELF parsing reads structs in place: the bytes must be aligned.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static EMBEDDED: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../../ebpf/object/longwave.bpf.o"));

/// For tests only: load this object instead, for example one that was just rebuilt.
const OVERRIDE: &str = "LONGWAVE_BPF_OBJECT";

/// The object's bytes.
pub fn bytes() -> Result<Cow<'static, [u8]>, Diagnosis> {
    match std::env::var_os(OVERRIDE).filter(|path| !path.is_empty()) {
        None => Ok(Cow::Borrowed(&EMBEDDED.0)),
        Some(path) => {
            let path = PathBuf::from(path);
            match std::fs::read(&path) {
                Ok(bytes) => Ok(Cow::Owned(bytes)),
                Err(source) => Err(Diagnosis::Object { path, source }),
            }
        }
    }
}
