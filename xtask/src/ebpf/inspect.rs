//! Searches an object for calls that the verifier accepts but that are slow.

use std::path::Path;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol, RelocationFlags, SectionIndex, SectionKind, SymbolKind};

/// Type of the relocation of a call.
const R_BPF_64_32: u32 = 10;
/// Size of an instruction in bytes.
const INSTRUCTION: u64 = 8;
/// Functions that work byte by byte in BPF. The compiler calls them for `[0; N]` and for copies of structs.
const FORBIDDEN: [&str; 5] = ["memset", "memcpy", "memmove", "memcmp", "bcmp"];

/// Fails if a program calls one of [`FORBIDDEN`].
pub fn verify(object: &Path) -> Result<()> {
    let bytes = std::fs::read(object).with_context(|| format!("ebpf: read {}", object.display()))?;
    let calls =
        forbidden_calls(&bytes).with_context(|| format!("ebpf: {}: cannot be parsed", object.display()))?;
    if let Some(call) = calls.first() {
        bail!(
            "ebpf: {}: contains {} calls of byte loops, the first of `{call}`: the compiler makes them from `[0; N]` and copies of structs; \
             use `words::zero` and `words::copy`",
            object.display(),
            calls.len(),
        );
    }
    Ok(())
}

/// Returns the forbidden function of each call.
fn forbidden_calls(bytes: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(bytes)?;
    let mut found = Vec::new();
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        let code = section.data()?;
        for (at, relocation) in section.relocations() {
            if !matches!(relocation.flags(), RelocationFlags::Elf { r_type: R_BPF_64_32 }) {
                continue;
            }
            let object::RelocationTarget::Symbol(symbol) = relocation.target() else { continue };
            let symbol = file.symbol_by_index(symbol)?;
            let name = if symbol.kind() == SymbolKind::Section {
                // For a call within the file, the instruction contains the distance to the target, in instructions.
                let at = usize::try_from(at)? + 4;
                let distance = code.get(at..at + 4).context("a call is outside of its section")?;
                let target = i64::from(i32::from_le_bytes(distance.try_into()?)) + 1;
                let index = symbol.section_index().context("a call's target has no section")?;
                function_at(&file, index, u64::try_from(target)? * INSTRUCTION)?
            } else {
                symbol.name()?.to_owned()
            };
            if FORBIDDEN.contains(&name.as_str()) {
                found.push(name);
            }
        }
    }
    Ok(found)
}

/// Returns the name of the function that starts at an offset of a section.
fn function_at(file: &object::File<'_>, section: SectionIndex, offset: u64) -> Result<String> {
    let mut functions = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
    let function =
        functions.find(|symbol| symbol.section_index() == Some(section) && symbol.address() == offset);
    Ok(function
        .with_context(|| format!("the target of a call, at {offset}, is no function"))?
        .name()?
        .to_owned())
}

#[cfg(test)]
mod tests;
