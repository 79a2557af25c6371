//! Reads field offsets from the kernel's BTF (format: `Documentation/bpf/btf.rst` in the kernel's source).
//!
//! The crates that read BTF do not fit: they are under the LGPL, which is a problem for a statically linked binary, or do not expose the
//! members of a struct.

/// The types of a kernel. Construction only finds the start of each type. Everything else is parsed in look-ups.
pub struct KernelTypes<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Offset of each type in `types`. The id of a type is its index + 1, because id 0 is `void`.
    starts: Vec<u32>,
}

/// Header of a type.
#[derive(Clone, Copy)]
struct TypeHeader {
    /// Offset of the name in the strings.
    name: u32,
    /// Kind of the type, for example [`STRUCT`].
    kind: u32,
    /// Number of members.
    members: u32,
    /// Whether the offsets of the members include the sizes of bit fields.
    kind_flag: bool,
    /// Size of the type, or id of the type that it refers to.
    size_or_type: u32,
}

/// Member of a struct or union.
struct Member {
    /// Offset in bits.
    bits: u32,
    /// Size in bits of a bit field; 0 for other members.
    bit_field_size: u32,
    type_id: u32,
}

const MAGIC: u16 = 0xeb9f;
/// Sizes in bytes of the header of a type and of a member.
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

/// Limit of nested anonymous members, and of typedefs and qualifiers in a row. Kernels have a few levels only.
const MAX_DEPTH: usize = 16;

// === impl KernelTypes ===

impl<'a> KernelTypes<'a> {
    /// Parses the content of `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    /// What is wrong with the content, as the rest of the sentence "the kernel's BTF …".
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
            let header = TypeHeader::read(types, at).ok_or("ends in the middle of a type")?;
            at += HEADER
                + header.trailing().ok_or_else(|| format!("has types of an unknown kind {}", header.kind))?;
        }
        Ok(Self { types, strings, starts })
    }

    /// Returns the byte offset of the field `struct.member.member…`. Returns `None` if it does not exist or is a bit field.
    ///
    /// Follows typedefs, anonymous members, and the first element of arrays.
    pub fn offset(&self, path: &str) -> Option<u32> {
        let (bits, size) = self.field(path)?;
        (size == 0 && bits % 8 == 0).then_some(bits / 8)
    }

    /// Returns the offset in bits of the bit field `struct.member.member…`. Returns `None` if it does not exist, does not have `size` bits, or
    /// is not within one byte.
    pub fn bits(&self, path: &str, size: u32) -> Option<u32> {
        let (bits, found) = self.field(path)?;
        (found == size && bits % 8 + size <= 8).then_some(bits)
    }

    /// Returns the offset in bits of a field, and its size in bits if it is a bit field, else 0.
    fn field(&self, path: &str) -> Option<(u32, u32)> {
        let mut parts = path.split('.');
        let mut current = self.find_struct(parts.next()?)?;
        let (mut bits, mut size) = (0, 0);
        for name in parts {
            let member = self.member(current, name, 0)?;
            bits += member.bits;
            size = member.bit_field_size;
            current = member.type_id;
        }
        Some((bits, size))
    }

    /// Returns the id of the struct or union with this name.
    fn find_struct(&self, name: &str) -> Option<u32> {
        let has_name = |at: &u32| {
            TypeHeader::read(self.types, *at as usize).is_some_and(|header| {
                matches!(header.kind, STRUCT | UNION) && self.name(header.name) == name.as_bytes()
            })
        };
        self.starts.iter().position(has_name).map(|index| index as u32 + 1)
    }

    /// Returns a member of the struct or union with this id.
    fn member(&self, id: u32, name: &str, depth: usize) -> Option<Member> {
        let (at, header) = self.resolve(id)?;
        if !matches!(header.kind, STRUCT | UNION) {
            return None;
        }
        for index in 0..header.members as usize {
            let at = at + HEADER + index * MEMBER;
            let (field, type_id, offset) =
                (word(self.types, at)?, word(self.types, at + 4)?, word(self.types, at + 8)?);
            let (bits, bit_field_size) =
                if header.kind_flag { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            let field = self.name(field);
            if field == name.as_bytes() {
                return Some(Member { bits, bit_field_size, type_id });
            }
            if field.is_empty()
                && depth < MAX_DEPTH
                && let Some(inner) = self.member(type_id, name, depth + 1)
            {
                return Some(Member { bits: bits + inner.bits, ..inner });
            }
        }
        None
    }

    /// Follows typedefs, qualifiers and arrays. Returns offset and header of the type that they refer to.
    fn resolve(&self, mut id: u32) -> Option<(usize, TypeHeader)> {
        for _ in 0..MAX_DEPTH {
            let at = *self.starts.get(id.checked_sub(1)? as usize)? as usize;
            let header = TypeHeader::read(self.types, at)?;
            id = match header.kind {
                TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => header.size_or_type,
                ARRAY => word(self.types, at + HEADER)?,
                _ => return Some((at, header)),
            };
        }
        None
    }

    /// Returns the name at an offset of the strings. It is empty for an anonymous type or member.
    fn name(&self, offset: u32) -> &[u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

// === impl TypeHeader ===

impl TypeHeader {
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

    /// Returns the number of bytes after the header that belong to the type; `None` if its kind is unknown.
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

/// Reads a word. The BTF of the running kernel is in host byte order.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_ne_bytes)
}
