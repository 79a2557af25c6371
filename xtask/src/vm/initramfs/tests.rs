use super::{Archive, quote};
use std::collections::BTreeSet;

/// *Scenario*: an archive with a file two folders down, and the same file again.
/// *Guarantees*: every entry starts at a multiple of four bytes, folders come before the file, and no entry is written twice.
#[test]
fn archive_is_aligned_and_has_parents_once() {
    let mut bytes = Vec::new();
    let mut archive = Archive { out: &mut bytes, inode: 0, written: BTreeSet::new() };
    archive.file("/a/b/c", b"12345").unwrap();
    archive.file("a/b/c", b"12345").unwrap();
    archive.finish().unwrap();
    let starts: Vec<usize> =
        bytes.windows(6).enumerate().filter(|(_, w)| w == b"070701").map(|(at, _)| at).collect();
    assert_eq!(starts.len(), 4, "a, a/b, a/b/c and the trailer");
    assert!(starts.iter().all(|at| at % 4 == 0), "{starts:?}");
    let names: Vec<_> = starts.iter().map(|at| bytes[at + 110]).collect();
    assert_eq!(names, [b'a', b'a', b'a', b'T']);
}

/// *Scenario*: a word with a quote, a space and a dollar.
/// *Guarantees*: it is quoted so that the shell reads one word and expands nothing.
#[test]
fn words_are_quoted_for_the_shell() {
    assert_eq!(quote("it's $x"), r"'it'\''s $x'");
}
