//! The record file's format: round trips and damage of every kind.
#![allow(clippy::unwrap_used)]

mod arbitrary;

use longwave_pipeline::model::codec::{
    Block, Decoder, Encoder, FILE_HEADER_LEN, Fault, MAX_BLOCK_RECORDS, PassIndex, SessionEnd, SessionStart,
    file_header,
};
use longwave_pipeline::model::{
    ConnectionLimits, ConnectionRecord, OptionalCount, PassEnd, RoundTrip, UnixNanos,
};
use longwave_testing::golden;
use proptest::prelude::*;

/// Returns texts to compare, because handles of two interners are never equal.
fn shown(records: &[ConnectionRecord]) -> Vec<String> {
    records.iter().map(|record| format!("{record:?}")).collect()
}

fn start() -> SessionStart {
    SessionStart { boot_id: [7; 16], started: golden::START, host: "host-1".to_owned() }
}

/// Encodes one session with these batches, each followed by the end of a pass, and an end mark.
fn session(batches: &[Vec<ConnectionRecord>]) -> Vec<u8> {
    let (mut encoder, mut blocks) = (Encoder::default(), Vec::new());
    encoder.session_start(&start(), &mut blocks).unwrap();
    let mut records = 0;
    for batch in batches {
        encoder.records(batch, &mut blocks).unwrap();
        encoder.pass_end(golden::pass_end(), &mut blocks).unwrap();
        records += batch.len() as u64;
    }
    encoder.session_end(SessionEnd { bytes: blocks.len() as u64, records }, &mut blocks).unwrap();
    blocks
}

fn file(sessions: &[Vec<u8>]) -> Vec<u8> {
    let mut file = file_header().to_vec();
    sessions.iter().for_each(|session| file.extend_from_slice(session));
    file
}

/// Reads all blocks. Returns them and the error, if there is one.
fn read(file: &[u8]) -> (Vec<Block>, Result<(), (u64, Fault)>) {
    let mut blocks = Vec::new();
    let mut decoder = match Decoder::new(file) {
        Ok(decoder) => decoder,
        Err(error) => return (blocks, Err((error.offset, error.fault))),
    };
    loop {
        match decoder.next() {
            Ok(Some(block)) => blocks.push(block),
            Ok(None) => return (blocks, Ok(())),
            Err(error) => return (blocks, Err((error.offset, error.fault))),
        }
    }
}

fn records_of(blocks: &[Block]) -> Vec<ConnectionRecord> {
    let records = blocks
        .iter()
        .filter_map(|block| if let Block::Records(records) = block { Some(records) } else { None });
    records.flatten().cloned().collect()
}

/// *Scenario*: the golden recording is read, and the golden records are written.
/// *Guarantees*: version 4 of the format can be read; the written file equals the golden recording byte for byte.
#[test]
fn the_golden_recording_is_written_and_read() {
    let written = file(&[session(&[golden::records()])]);
    if std::env::var_os("LONGWAVE_UPDATE_GOLDEN").is_some() {
        std::fs::write(golden::path("recording.lwr"), &written).unwrap();
        return;
    }
    assert_eq!(written, golden::RECORDING);
    assert_is_the_golden_recording(golden::RECORDING);
}

/// *Scenario*: the golden recording in versions 1 and 2 of the format, which have no age of connections, and in version 3, which does not have
/// what limits them.
/// *Guarantees*: all can be read; the age is the difference of the record's times, and what limits a connection is absent, not zero.
#[test]
fn older_versions_are_read() {
    let old = || golden::records().into_iter().map(without_limits).collect();
    assert_is_a_recording_of(golden::RECORDING_V1, old());
    assert_is_a_recording_of(golden::RECORDING_V2, old());
    assert_is_a_recording_of(golden::RECORDING_V3, old());
}

/// Returns a record as a file before version 4 has it.
fn without_limits(record: ConnectionRecord) -> ConnectionRecord {
    ConnectionRecord {
        limits: ConnectionLimits::default(),
        elapsed: OptionalCount::ABSENT,
        round_trip: RoundTrip { receiver: None, ..record.round_trip },
        ..record
    }
}

fn assert_is_the_golden_recording(bytes: &[u8]) {
    assert_is_a_recording_of(bytes, golden::records());
}

fn assert_is_a_recording_of(bytes: &[u8], records: Vec<ConnectionRecord>) {
    let (blocks, end) = read(bytes);
    end.unwrap();
    assert_eq!(blocks[0], Block::Session { start: start(), after_interruption: false });
    assert_eq!(shown(&records_of(&blocks)), shown(&records));
    assert_eq!(blocks[2], Block::PassEnd(golden::pass_end()));
    assert!(matches!(blocks[3], Block::End(SessionEnd { records: 5, .. })));
    assert_eq!(blocks.len(), 4);
}

/// *Scenario*: more records than fit in a block.
/// *Guarantees*: they are split into blocks in order, and none is lost.
#[test]
fn a_large_batch_is_split_into_blocks() {
    let base = golden::records().remove(1);
    let records: Vec<_> = (0..MAX_BLOCK_RECORDS as u64 * 2 + 1)
        .map(|number| ConnectionRecord { tick: UnixNanos(number), ..base.clone() })
        .collect();
    let (blocks, end) = read(&file(&[session(std::slice::from_ref(&records))]));
    end.unwrap();
    assert_eq!(blocks.iter().filter(|block| matches!(block, Block::Records(_))).count(), 3);
    let read = records_of(&blocks);
    assert!(read.iter().map(|r| r.tick).eq(records.iter().map(|r| r.tick)));
    let first = read[0].names.local.as_ref().unwrap().address();
    assert!(
        read.iter().all(|r| r.names.local.as_ref().unwrap().address() == first),
        "equal names of all blocks are one handle"
    );
}

/// *Scenario*: every byte of a small file is changed, one at a time, to several other values.
/// *Guarantees*: the reader returns an error and never panics; the blocks that it returned before equal those that were written.
#[test]
fn every_changed_byte_is_found() {
    let whole = file(&[session(&[golden::records()]), session(&[])]);
    let (expected, _) = read(&whole);
    let expected = format!("{expected:?}");
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff, 0x20] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            let (blocks, end) = read(&damaged);
            let (offset, fault) = end.expect_err("damage must be found");
            assert!(offset <= at as u64, "byte {at}: reported at {offset}: {fault}");
            let got = format!("{blocks:?}");
            assert!(expected.starts_with(&got[..got.len() - 1]), "byte {at}: {got}");
        }
    }
}

/// *Scenario*: a file of two sessions is cut after every one of its bytes.
/// *Guarantees*: the error has the offset of the incomplete block, and every earlier block is returned. Only a cut at the end of the first
/// session is no error.
#[test]
fn every_cut_is_found() {
    let first = session(&[golden::records(), golden::records()]);
    let whole = file(&[first.clone(), session(&[golden::records()])]);
    let mut delivered = 0;
    for len in 0..whole.len() {
        let (blocks, end) = read(&whole[..len]);
        assert!(blocks.len() >= delivered, "a longer file delivers no less");
        delivered = blocks.len();
        match end {
            Ok(()) => assert_eq!(len, FILE_HEADER_LEN + first.len()),
            Err((offset, _)) => assert!(offset <= len as u64),
        }
    }
    assert_eq!(delivered, 9);
}

/// *Scenario*: a complete block is missing, occurs twice, or precedes the session's start.
/// *Guarantees*: the end mark or the session detects it.
#[test]
fn a_missing_or_doubled_block_is_found() {
    let mut encoder = Encoder::default();
    let (mut head, mut records, mut tail) = (Vec::new(), Vec::new(), Vec::new());
    encoder.session_start(&start(), &mut head).unwrap();
    encoder.records(&golden::records(), &mut records).unwrap();
    encoder
        .session_end(SessionEnd { bytes: (head.len() + records.len()) as u64, records: 5 }, &mut tail)
        .unwrap();
    let end = |parts: &[&Vec<u8>]| read(&file(&[parts.concat_bytes()])).1;
    assert!(end(&[&head, &records, &tail]).is_ok());
    assert!(matches!(end(&[&head, &tail]), Err((_, Fault::Miscounted { found_records: 0, .. }))));
    assert!(matches!(
        end(&[&head, &records, &records, &tail]),
        Err((_, Fault::Miscounted { found_records: 10, .. }))
    ));
    assert!(matches!(end(&[&records, &tail]), Err((16, Fault::Damaged(_)))));
}

trait ConcatBytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl ConcatBytes for [&Vec<u8>] {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|part| part.iter().copied()).collect()
    }
}

/// *Scenario*: a writer was killed after a complete block; the next writer appended its session.
/// *Guarantees*: everything is read, and the second session reports that the first was interrupted.
#[test]
fn an_interrupted_session_is_reported() {
    let (mut encoder, mut first) = (Encoder::default(), Vec::new());
    encoder.session_start(&start(), &mut first).unwrap();
    encoder.records(&golden::records(), &mut first).unwrap();
    let (blocks, end) = read(&file(&[first, session(&[golden::records()])]));
    end.unwrap();
    assert_eq!(blocks[2], Block::Session { start: start(), after_interruption: true });
    assert_eq!(records_of(&blocks).len(), 10);
}

/// *Scenario*: bad files of every kind.
/// *Guarantees*: each error has the offset, the fault and the likely cause.
#[test]
fn the_errors_say_what_is_wrong() {
    let whole = golden::RECORDING;
    let mut version = whole.to_vec();
    version[8] = 9;
    let mut header = whole.to_vec();
    header[10] = 1;
    let mut frame = whole.to_vec();
    frame[FILE_HEADER_LEN + 12] ^= 1;
    let mut body = whole.to_vec();
    let at = body.len() - 1;
    body[at] ^= 1;
    let cases: [(&str, &[u8]); 9] = [
        ("empty", &[]),
        ("other file", b"\x7fELF\x02\x01\x01"),
        ("other version", &version),
        ("damaged file header", &header),
        ("cut file header", &whole[..10]),
        ("cut block header", &whole[..FILE_HEADER_LEN + 5]),
        ("cut block", &whole[..whole.len() - 1]),
        ("damaged block header", &frame),
        ("damaged block", &body),
    ];
    let mut text = String::new();
    for (name, bytes) in cases {
        let (offset, fault) = read(bytes).1.unwrap_err();
        text += &format!("{name}: byte {offset}: {fault}\n");
    }
    let (mut encoder, mut open) = (Encoder::default(), Vec::new());
    encoder.session_start(&start(), &mut open).unwrap();
    let (offset, fault) = read(&file(&[open])).1.unwrap_err();
    text += &format!("no end mark: byte {offset}: {fault}\n");
    insta::assert_snapshot!(text);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// *Scenario*: arbitrary records with arbitrary names, in arbitrary batches.
    /// *Guarantees*: the records that are read equal those that were written, in the same order.
    #[test]
    fn records_survive_the_round_trip(batches in prop::collection::vec(prop::collection::vec(arbitrary::record(), 0..20), 0..4)) {
        let (blocks, end) = read(&file(&[session(&batches)]));
        prop_assert!(end.is_ok());
        prop_assert_eq!(shown(&records_of(&blocks)), shown(&batches.concat()));
    }

    /// *Scenario*: arbitrary ends of passes.
    /// *Guarantees*: they are read as they were written.
    #[test]
    fn pass_ends_survive_the_round_trip(tick in any::<u64>(), last in any::<bool>()) {
        let pass_end = PassEnd { tick: UnixNanos(tick), last };
        let (mut encoder, mut blocks) = (Encoder::default(), Vec::new());
        encoder.session_start(&start(), &mut blocks).unwrap();
        encoder.pass_end(pass_end, &mut blocks).unwrap();
        prop_assert_eq!(&read(&file(&[blocks])).0[1], &Block::PassEnd(pass_end));
    }

    /// *Scenario*: arbitrary bytes instead of a whole file, and instead of the blocks after a valid file header.
    /// *Guarantees*: the reader returns an error and never panics.
    #[test]
    fn arbitrary_bytes_are_an_error(noise in prop::collection::vec(any::<u8>(), 1..300)) {
        prop_assert!(read(&noise).1.is_err());
        prop_assert!(read(&file(&[noise])).1.is_err());
    }
}

/// Appends a block of records with this content, with right lengths and checksums, as a crafted file has.
fn crafted(count: u32, raw: &[u8]) -> Vec<u8> {
    let (mut encoder, mut bytes) = (Encoder::default(), file_header().to_vec());
    encoder.session_start(&start(), &mut bytes).unwrap();
    let stored = lz4_flex::block::compress(raw);
    let mut header = b"LWBK\x02\0\0\0".to_vec();
    for field in [count, raw.len() as u32, stored.len() as u32, crc32fast::hash(&stored)] {
        header.extend_from_slice(&field.to_le_bytes());
    }
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    [bytes, header, stored].concat()
}

/// *Scenario*: crafted files with right checksums: a block without records has 6.5 million workloads, or as many services; the workload of a block
/// with one record has millions of labels.
/// *Guarantees*: the file is refused before the names are read, so that a small file cannot take gigabytes.
#[test]
fn a_block_has_no_more_names_than_its_records_can_use() {
    const MANY: u32 = 6_500_000;
    let no_texts = vec![0; 40_000_000];
    let block = |count: u32, records: &[u8], numbers: [u32; 2], rest: &[u8]| {
        let numbers = numbers.map(u32::to_le_bytes).concat();
        read(&crafted(count, &[records, &numbers, rest].concat())).1.unwrap_err().1.to_string()
    };
    let too_many =
        "a block has more names than its records can refer to: the file is damaged (a disk or copy error?)";
    assert_eq!(block(0, &[], [MANY, 0], &no_texts), too_many);
    assert_eq!(block(0, &[], [0, MANY], &no_texts), too_many);
    let one = vec![0; 484];
    assert_eq!(block(1, &one, [3, 0], &no_texts), too_many);
    assert_eq!(block(1, &one, [0, 2], &no_texts), too_many);
    let labels = [&[0; 28][..], &MANY.to_le_bytes(), &no_texts].concat();
    let impossible =
        "a workload has an impossible number of labels: the file is damaged (a disk or copy error?)";
    assert_eq!(block(1, &one, [1, 0], &labels), impossible);
}

/// *Scenario*: the index of two sessions, of files of older versions, and of a file that is cut at every byte.
/// *Guarantees*: a decoder that begins at any pass reads its records and its end, and so up to the end of the file. A cut file has the passes
/// that are complete, and the same fault as for a decoder that reads everything.
#[test]
fn reading_can_begin_at_any_pass() {
    let batches = [golden::records(), Vec::new(), golden::records()];
    let whole = file(&[session(&batches), session(&batches[..1])]);
    for bytes in [&whole, golden::RECORDING, golden::RECORDING_V1, golden::RECORDING_V2] as [&[u8]; 4] {
        let index = PassIndex::read(std::io::Cursor::new(bytes)).unwrap();
        assert!(index.fault.is_none());
        let all = read(bytes).0;
        let ends = all.iter().filter(|block| matches!(block, Block::PassEnd(_))).count();
        assert_eq!(index.passes.len(), ends);
        for (number, pass) in index.passes.iter().enumerate() {
            let start = usize::try_from(pass.start).unwrap();
            let mut decoder = Decoder::resume(&bytes[start..], index.version, pass.start);
            let mut blocks = Vec::new();
            while let Some(block) = decoder.next().unwrap() {
                blocks.push(block);
            }
            assert_eq!(shown(&records_of(&all[all.len() - blocks.len()..])), shown(&records_of(&blocks)));
            let rest = blocks.iter().filter(|block| matches!(block, Block::PassEnd(_))).count();
            assert_eq!(rest, ends - number);
        }
    }
    for length in FILE_HEADER_LEN..whole.len() {
        let (blocks, fault) = read(&whole[..length]);
        let index = PassIndex::read(std::io::Cursor::new(&whole[..length])).unwrap();
        let passes = blocks.iter().filter(|block| matches!(block, Block::PassEnd(_))).count();
        assert_eq!(index.passes.len(), passes, "{length}");
        let fault = fault.err().map(|(offset, fault)| format!("byte {offset}: {fault}"));
        assert_eq!(index.fault.map(|fault| fault.to_string()), fault, "{length}");
    }
}
