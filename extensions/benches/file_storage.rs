//! Cost of a stored request: write, read and mark of one, and a sync. The directory is in `LONGWAVE_BENCH_DIRECTORY`, or else in `/tmp`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use longwave_extensions::file_storage::{FileStorage, FileStorageConfig};
use longwave_pipeline::component::{Extension, ExtensionContext, Health, NewRecord, Signal};
use longwave_pipeline::model::UnixNanos;
use opentelemetry::metrics::MeterProvider;
use opentelemetry::metrics::noop::NoopMeterProvider;
use tokio_util::sync::CancellationToken;

fn storage(c: &mut Criterion) {
    let parent = std::env::var("LONGWAVE_BENCH_DIRECTORY").unwrap_or_else(|_| "/tmp".to_owned());
    let folder = tempfile::tempdir_in(parent).unwrap();
    let config = FileStorageConfig { directory: folder.path().to_owned(), ..FileStorageConfig::default() };
    let context = ExtensionContext {
        id: "file_storage".to_owned(),
        meter: NoopMeterProvider::new().meter("bench"),
        health: Health::default(),
    };
    let extension = Box::new(FileStorage::new(&config, &context).unwrap());
    let storage = extension.storage().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _running = runtime.block_on(extension.start(CancellationToken::new())).unwrap();
    let queue = storage.open("otlp_grpc", Signal::Metrics).unwrap().queue;
    for (name, len) in [("1KiB", 1 << 10), ("64KiB", 64 << 10), ("2MiB", 2 << 20)] {
        let record = NewRecord {
            bytes: Bytes::from(vec![7; len]),
            items: 100,
            traffic_bytes: 1000,
            tick: UnixNanos(1),
        };
        let mut group = c.benchmark_group(format!("file_storage/{name}"));
        group.bench_function("append+done", |b| {
            b.iter(|| queue.done(&[queue.append(record.clone()).unwrap()]));
        });
        group.bench_function("append+sync+done", |b| {
            b.iter(|| {
                let key = queue.append(record.clone()).unwrap();
                queue.sync();
                queue.done(&[key]);
            });
        });
        let key = queue.append(record.clone()).unwrap();
        group.bench_function("read", |b| b.iter(|| black_box(queue.read(key).unwrap())));
        queue.done(&[key]);
        group.bench_function("done", |b| {
            let store = || queue.append(record.clone()).unwrap();
            b.iter_batched(store, |key| queue.done(&[key]), BatchSize::PerIteration);
        });
    }
}

criterion_group!(benches, storage);
criterion_main!(benches);
