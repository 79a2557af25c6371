//! Damaged record files: `replay` reports where the damage is, and delivers the records before it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use longwave_tests::longwave::{command, write_config};
use serde_json::json;
use tempfile::TempDir;

/// Reads the fixture with a few hundred records (see `fixtures/README.md`).
fn good_file() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/connections.lwr")).unwrap()
}

/// Replays `bytes` to stdout and returns the output.
fn replay(bytes: &[u8]) -> Output {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("records.lwr");
    fs::write(&path, bytes).unwrap();
    run(folder.path(), &path)
}

fn run(folder: &Path, records: &Path) -> Output {
    let config = json!({
        "receivers": {"replay": {"path": records, "speed": "fast"}},
        "exporters": {"stdout": {"format": "json"}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"logs": {"receivers": ["replay"], "exporters": ["stdout"]}},
        },
    });
    let config = write_config(folder, &config);
    let timeout = vec!["timeout".to_owned(), "--signal=TERM".to_owned(), "60".to_owned()];
    command(&timeout).arg("run").arg("--config").arg(config).stdin(Stdio::null()).output().unwrap()
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Asserts that the run failed, that stderr contains `words`, and that the output is the beginning of the output for the whole file.
/// Returns the number of records.
fn assert_refused(output: &Output, words: &[&str]) -> usize {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "accepted:\n{stderr}");
    assert!(!matches!(output.status.code(), Some(101 | 124)), "panicked or never ended:\n{stderr}");
    for word in words {
        assert!(stderr.contains(word), "stderr does not say {word:?}:\n{stderr}");
    }
    let (whole, part) = (lines(&replay(&good_file())), lines(output));
    assert_eq!(part, whole[..part.len()], "what was delivered is not the beginning of the whole");
    part.len()
}

/// *Scenario*: the undamaged file.
/// *Guarantees*: it is replayed to the end, and the process exits with 0 by itself.
#[test]
fn whole() {
    let output = replay(&good_file());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(lines(&output).len() > 100, "{} records", lines(&output).len());
}

/// Returns an offset in the last block that contains records (see `longwave_pipeline::model::codec` for the format).
fn inside_last_records(bytes: &[u8]) -> usize {
    const RECORDS: u8 = 2;
    let mut blocks =
        bytes.windows(5).enumerate().filter(|(_, start)| start[..4] == *b"LWBK" && start[4] == RECORDS);
    blocks.next_back().unwrap().0 + 64
}

/// Returns the number of records in the whole file.
fn all() -> usize {
    lines(&replay(&good_file())).len()
}

/// *Scenario*: one file ends inside its last block (the end mark), another inside the last records.
/// *Guarantees*: the error names the offset. Every record of the earlier blocks is delivered.
#[test]
fn truncated() {
    let good = good_file();
    let without_mark = assert_refused(&replay(&good[..good.len() - 3]), &["byte "]);
    assert_eq!(without_mark, all(), "only the end mark is cut");
    let middle = assert_refused(&replay(&good[..inside_last_records(&good)]), &["byte "]);
    assert!(middle > 0 && middle < all(), "{middle} of {}", all());
}

/// *Scenario*: one bit of the last records is flipped.
/// *Guarantees*: the checksum does not match. The error names the offset. The records before it are delivered.
#[test]
fn corrupt() {
    let mut bytes = good_file();
    let at = inside_last_records(&bytes);
    bytes[at] ^= 0x10;
    let before = assert_refused(&replay(&bytes), &["byte "]);
    assert!(before > 0 && before < all(), "{before} of {}", all());
}

/// *Scenario*: a file that is not a record file.
/// *Guarantees*: the error reports this, at offset 0.
#[test]
fn wrong_magic() {
    let mut bytes = good_file();
    bytes[..4].copy_from_slice(b"GIF8");
    assert_eq!(assert_refused(&replay(&bytes), &["byte 0", "not a"]), 0);
}

/// *Scenario*: a file of an unknown version.
/// *Guarantees*: the error names the version.
#[test]
fn wrong_version() {
    let mut bytes = good_file();
    bytes[8] = 0xee;
    let checksum = crc32(&bytes[..12]).to_le_bytes();
    bytes[12..16].copy_from_slice(&checksum);
    assert_eq!(assert_refused(&replay(&bytes), &["version", "238"]), 0);
}

/// Returns the checksum of a header (CRC-32 with the IEEE polynomial), so that only the version of the header is wrong.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

/// *Scenario*: an empty file, and one that ends inside the header.
/// *Guarantees*: the error names the offset at which the file ends. Nothing is delivered.
#[test]
fn empty() {
    assert_eq!(assert_refused(&replay(b""), &["byte 0"]), 0);
    assert_eq!(assert_refused(&replay(&good_file()[..3]), &["byte "]), 0);
}

/// *Scenario*: the file does not exist.
/// *Guarantees*: the error names the path.
#[test]
fn missing() {
    let folder = TempDir::new().unwrap();
    let path: PathBuf = folder.path().join("nowhere.lwr");
    let output = run(folder.path(), &path);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere.lwr"));
}
