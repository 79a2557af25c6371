use super::*;

/// *Scenario*: the committed object; bytes that are not an ELF file; a truncated object.
/// *Guarantees*: the object calls none of the forbidden functions. Bytes that are not an ELF file are an error. A truncated object does not
/// cause a panic.
#[test]
fn the_committed_object_calls_no_byte_loop() {
    let object = std::fs::read(crate::cache::workspace().join(super::super::OBJECT)).unwrap();
    assert_eq!(forbidden_calls(&object).unwrap(), Vec::<String>::new());
    assert!(forbidden_calls(b"nonsense").is_err());
    for cut in [80, object.len() / 2] {
        let _ = forbidden_calls(&object[..cut]);
    }
}
