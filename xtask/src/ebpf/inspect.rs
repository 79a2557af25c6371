//! Looking through an object for what the verifier would take and we do not want.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// A relocation of a call, in `r_info`.
const R_BPF_64_32: u64 = 10;
const SHT_REL: u32 = 9;
const HEADER: usize = 64;

/// Fails if any program calls a subprogram: `memset` and `memcpy` are byte loops there.
pub fn verify(object: &Path) -> Result<()> {
    let bytes = std::fs::read(object).with_context(|| format!("ebpf: read {}", object.display()))?;
    let calls = calls(&bytes).with_context(|| format!("ebpf: {}: not an ELF object", object.display()))?;
    if calls != 0 {
        bail!(
            "ebpf: {}: {calls} calls into subprograms: something compiles to memset or memcpy (`[0; N]`, struct copies); \
             use `words::zero` and `words::copy`",
            object.display()
        );
    }
    Ok(())
}

/// Counts call relocations in the sections of programs; None if this is no 64-bit little-endian ELF.
fn calls(elf: &[u8]) -> Option<usize> {
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let u16_at = |at: usize| Some(usize::from(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?)));
    let u32_at = |at: usize| Some(u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(elf.get(at..at + 8)?.try_into().ok()?));
    let table = usize::try_from(u64_at(0x28)?).ok()?;
    let count = u16_at(0x3c)?;
    let section = |index: usize| table + index * HEADER;
    let mut found = 0;
    for index in 0..count {
        let at = section(index);
        if u32_at(at + 4)? != SHT_REL {
            continue;
        }
        // Only relocations of executable sections; .BTF.ext has its own.
        let target = section(u32_at(at + 0x2c)? as usize);
        if u64_at(target + 8)? & 4 == 0 {
            continue;
        }
        let (start, size) =
            (usize::try_from(u64_at(at + 0x18)?).ok()?, usize::try_from(u64_at(at + 0x20)?).ok()?);
        for relocation in (start..start + size).step_by(16) {
            found += usize::from(u64_at(relocation + 8)? & 0xffff_ffff == R_BPF_64_32);
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the committed object; something that is no ELF; an ELF cut short.
    /// Guarantees: the object calls nothing; nonsense is refused without a panic.
    #[test]
    fn the_committed_object_calls_no_subprogram() {
        let object = std::fs::read(crate::cache::workspace().join(super::super::OBJECT)).unwrap();
        assert_eq!(calls(&object), Some(0));
        assert_eq!(calls(b"nonsense"), None);
        assert_eq!(calls(&object[..80]), None);
    }
}
