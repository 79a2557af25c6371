use super::depends;

/// *Scenario*: module objects with two dependencies, with an empty list, without a list, and with a truncated list.
/// *Guarantees*: the dependencies are found. Their names have underscores, as in the kernel.
#[test]
fn dependencies_are_read_from_modinfo() {
    assert_eq!(depends(b"x\0depends=nf-tables,libcrc32c\0name=y\0"), ["nf_tables", "libcrc32c"]);
    assert!(depends(b"x\0depends=\0").is_empty());
    assert!(depends(b"no modinfo").is_empty());
    assert_eq!(depends(b"\0depends=cut"), ["cut"]);
}
