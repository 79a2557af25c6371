//! Removes the source lines from `.BTF.ext`, which are almost half of the object. Neither the kernel nor `aya` needs them.
//!
//! Without them, a change of a comment does not change the object. Logs of the verifier then have no source lines. The linked object in the
//! build folder still contains them.

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection};

/// Name of the section.
pub const SECTION: &str = ".BTF.ext";

const MAGIC: u16 = 0xeb9f;
/// Positions in the header: each has the offset of a part (`u32`), followed by its length (`u32`).
const FUNCTIONS: usize = 8;
const LINES: usize = 16;
const RELOCATIONS: usize = 24;

/// Returns the content of `.BTF.ext` without line information.
pub fn without(object: &[u8]) -> Result<Vec<u8>> {
    let file = object::File::parse(object)?;
    let section = file.section_by_name(SECTION).with_context(|| format!("no section {SECTION}"))?;
    let data = section.data()?;
    let field = |at: usize| -> Result<usize> {
        let bytes = data.get(at..at + 4).context("the header is too short")?;
        Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
    };
    let header_len = field(4)?;
    if data.get(..2) != Some(&MAGIC.to_le_bytes()[..]) || header_len < RELOCATIONS + 8 {
        bail!("the header is of an unknown version");
    }
    let part = |header: usize| {
        let start = header_len + field(header)?;
        data.get(start..start + field(header + 4)?).context("a part is outside of the section")
    };
    let (functions, relocations) = (part(FUNCTIONS)?, part(RELOCATIONS)?);
    let mut result = data[..header_len].to_vec();
    let mut set = |header: usize, offset: usize, len: usize| -> Result<()> {
        result[header..header + 4].copy_from_slice(&u32::try_from(offset)?.to_le_bytes());
        result[header + 4..header + 8].copy_from_slice(&u32::try_from(len)?.to_le_bytes());
        Ok(())
    };
    set(FUNCTIONS, 0, functions.len())?;
    set(LINES, functions.len(), 0)?;
    set(RELOCATIONS, functions.len(), relocations.len())?;
    result.extend_from_slice(functions);
    result.extend_from_slice(relocations);
    Ok(result)
}

#[cfg(test)]
mod tests;
