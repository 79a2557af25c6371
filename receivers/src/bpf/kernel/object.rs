//! The BPF object. `cargo xtask ebpf build` builds it. It is committed and part of the binary.

use std::borrow::Cow;
use std::path::PathBuf;

use super::Diagnosis;

/// Aligns the bytes, because the ELF parser reads structs in place.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static EMBEDDED: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../../ebpf/object/longwave.bpf.o"));

/// Environment variable with the path of another object to load. For tests only.
const OVERRIDE: &str = "LONGWAVE_BPF_OBJECT";

/// Returns the bytes of the object.
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
