#![allow(clippy::unwrap_used)]

use object::{Object, ObjectSection};

use super::{LINES, SECTION, without};

/// *Scenario*: the committed object, which was stripped when it was built; bytes that are not an ELF file.
/// *Guarantees*: the object has information about functions and none about lines, and to strip it again changes nothing. Other bytes are an
/// error.
#[test]
fn the_committed_object_has_no_line_info() {
    let bytes = std::fs::read(crate::cache::workspace().join(super::super::OBJECT)).unwrap();
    let object = object::File::parse(&*bytes).unwrap();
    let section = object.section_by_name(SECTION).unwrap().data().unwrap();
    assert_eq!(section[LINES + 4..LINES + 8], [0; 4]);
    assert_ne!(section[LINES - 4..LINES], [0; 4], "information on functions");
    assert_eq!(without(&bytes).unwrap(), section);
    assert!(without(b"nonsense").is_err());
}
