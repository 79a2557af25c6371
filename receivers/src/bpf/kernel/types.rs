//! Reads the kernel's BTF: just what it takes to find where a field lies (the format is `Documentation/bpf/btf.rst` in the kernel's
//! source).
//!
//! Our own reader, since the crates that read BTF are either under the LGPL, which a statically linked binary of another licence cannot
//! take in lightly, or do not show the members of a struct.

/// The types of a kernel. One pass over the bytes notes where each type begins; everything else is looked up when asked for.
pub struct Types<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins; the id is the index + 1 (0 is `void`).
    starts: Vec<u32>,
}

/// A type's header.
#[derive(Clone, Copy)]
struct Header {
    name: u32,
    kind: u32,
    members: u32,
    /// The members' offsets carry the size of their bit fields.
    kind_flag: bool,
    /// Size, or the id of the type that this one refers to.
    size_or_type: u32,
}

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 12;
const MEMBER: usize = 12;

const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const TYPE_TAG: u32 = 18;

/// Anonymous members, typedefs and qualifiers nest a few levels only.
const MAX_DEPTH: usize = 16;

// === impl Types ===

impl<'a> Types<'a> {
    /// Reads `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, String> {
        let short = || "ends before its header does".to_owned();
        if half(bytes, 0).ok_or_else(short)? != MAGIC {
            return Err("does not begin with BTF's magic number".to_owned());
        }
        let header = word(bytes, 4).ok_or_else(short)? as usize;
        let section = |offset: usize| {
            let start = header + word(bytes, offset)? as usize;
            bytes.get(start..start.checked_add(word(bytes, offset + 4)? as usize)?)
        };
        let types = section(8).ok_or("has types outside of the file")?;
        let strings = section(16).ok_or("has names outside of the file")?;
        let mut starts = Vec::with_capacity(types.len() / 32);
        let mut at = 0;
        while at < types.len() {
            starts.push(at as u32);
            let header = Header::read(types, at).ok_or("ends in the middle of a type")?;
            at += HEADER
                + header.trailing().ok_or_else(|| format!("has types of an unknown kind {}", header.kind))?;
        }
        Ok(Self { types, strings, starts })
    }

    /// The byte offset of `struct.member.member…`, through typedefs, arrays (their first element) and anonymous members. None for bit
    /// fields: they have no byte offset.
    pub fn offset(&self, path: &str) -> Option<u32> {
        let mut parts = path.split('.');
        let mut current = self.holder(parts.next()?)?;
        let mut bits = 0;
        for name in parts {
            let (offset, inner) = self.member(current, name, 0)?;
            bits += offset;
            current = inner;
        }
        (bits % 8 == 0).then_some(bits / 8)
    }

    /// The struct or union of that name.
    fn holder(&self, name: &str) -> Option<u32> {
        let is = |at: &u32| {
            Header::read(self.types, *at as usize).is_some_and(|header| {
                matches!(header.kind, STRUCT | UNION) && self.name(header.name) == name.as_bytes()
            })
        };
        self.starts.iter().position(is).map(|index| index as u32 + 1)
    }

    /// A member's bit offset and type.
    fn member(&self, holder: u32, name: &str, depth: usize) -> Option<(u32, u32)> {
        let (at, header) = self.plain(holder)?;
        if !matches!(header.kind, STRUCT | UNION) {
            return None;
        }
        for index in 0..header.members as usize {
            let at = at + HEADER + index * MEMBER;
            let (field, inner, place) =
                (word(self.types, at)?, word(self.types, at + 4)?, word(self.types, at + 8)?);
            let (bits, bit_field) =
                if header.kind_flag { (place & 0xff_ffff, place >> 24 != 0) } else { (place, false) };
            let field = self.name(field);
            if field == name.as_bytes() {
                return (!bit_field).then_some((bits, inner));
            }
            if field.is_empty()
                && depth < MAX_DEPTH
                && let Some((offset, found)) = self.member(inner, name, depth + 1)
            {
                return Some((bits + offset, found));
            }
        }
        None
    }

    /// The type behind typedefs, qualifiers and arrays: where it begins, and its header.
    fn plain(&self, mut id: u32) -> Option<(usize, Header)> {
        for _ in 0..MAX_DEPTH {
            let at = *self.starts.get(id.checked_sub(1)? as usize)? as usize;
            let header = Header::read(self.types, at)?;
            id = match header.kind {
                TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => header.size_or_type,
                ARRAY => word(self.types, at + HEADER)?,
                _ => return Some((at, header)),
            };
        }
        None
    }

    /// The name at an offset; empty for an anonymous type or member.
    fn name(&self, offset: u32) -> &[u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

// === impl Header ===

impl Header {
    fn read(types: &[u8], at: usize) -> Option<Self> {
        let info = word(types, at + 4)?;
        Some(Self {
            name: word(types, at)?,
            kind: info >> 24 & 0x1f,
            members: info & 0xffff,
            kind_flag: info >> 31 != 0,
            size_or_type: word(types, at + 8)?,
        })
    }

    /// Bytes that follow the header, by the kind; `None` for a kind that is not known.
    fn trailing(&self) -> Option<usize> {
        let members = self.members as usize;
        Some(match self.kind {
            // pointer, forward, typedef, volatile, const, restrict, function, float, type tag
            2 | 7..=12 | 16 | 18 => 0,
            // integer, variable, declaration tag
            1 | 14 | 17 => 4,
            ARRAY => 12,
            // enum, function prototype
            6 | 13 => members * 8,
            // struct, union, data section, 64-bit enum
            STRUCT | UNION | 15 | 19 => members * MEMBER,
            _ => return None,
        })
    }
}

/// BTF is in the byte order of its kernel, which is ours.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_ne_bytes)
}
