//! Measures how many records per second one core encodes to the blocks of a record file, and decodes. Prints the bytes per record as well.
//! Measures the thread's CPU time, because build machines are rarely idle.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use longwave_pipeline::model::ConnectionRecord;
use longwave_pipeline::model::codec::{Block, Decoder, Encoder, SessionStart, file_header};
use longwave_testing::cpu_time::CpuTime;
use longwave_testing::golden;

const RECORDS: u64 = 8192;

fn records() -> Vec<ConnectionRecord> {
    let base = golden::records();
    (0..RECORDS)
        .map(|number| {
            let mut record = base[(number % 2) as usize].clone();
            record.id.cookie += number * 7;
            record.local.port = (number * 31) as u16;
            record.totals.sent_bytes += number * 1_000_003;
            record.delta.sent_bytes = number * 997 % 65_536;
            record.observed.0 += number * 1_013;
            record
        })
        .collect()
}

fn codec(criterion: &mut Criterion<CpuTime>) {
    let records = records();
    let start = SessionStart { boot_id: [7; 16], started: golden::START, host: "host-1".to_owned() };
    let mut encoder = Encoder::default();
    let mut file = file_header().to_vec();
    encoder.session_start(&start, &mut file).unwrap();
    encoder.records(&records, &mut file).unwrap();
    println!("codec: {:.1} bytes a record", file.len() as f64 / RECORDS as f64);

    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(RECORDS));
    let mut blocks = Vec::new();
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            blocks.clear();
            encoder.records(&records, &mut blocks).unwrap();
            black_box(blocks.len())
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            let (mut decoder, mut found) = (Decoder::new(&file[..]).unwrap(), 0);
            // The session has no end mark, so the call after its last block returns an error.
            while let Ok(Some(block)) = decoder.next() {
                found += if let Block::Records(records) = block { records.len() } else { 0 };
            }
            assert_eq!(found as u64, RECORDS);
        });
    });
    group.finish();
}

criterion_group!(name = benches; config = Criterion::default().with_measurement(CpuTime); targets = codec);
criterion_main!(benches);
