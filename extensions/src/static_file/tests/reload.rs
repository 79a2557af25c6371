use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use longwave_config::GoDuration;
use longwave_pipeline::component::{Directory, Extension, ExtensionContext, Health};
use opentelemetry::metrics::noop::NoopMeterProvider;
use opentelemetry::metrics::{Meter, MeterProvider};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::super::config::StaticConfig;
use super::super::extension::{StaticExtension, WatchedFile};
use super::{name_at, workload_at, write_file};

fn one_rule(name: &str) -> String {
    format!(
        "rules:\n- {{cidrs: [192.0.2.1], workload: {{name: {name}}}}}\n- {{cidrs: [192.0.2.2], workload: {{name: stays}}}}\n"
    )
}

/// Replaces the file by a rename, as editors and configuration managers do.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, file).unwrap();
}

fn watched(file: &Path) -> WatchedFile {
    WatchedFile::new("static", file.to_str().unwrap()).unwrap()
}

/// *Scenario*: the file is replaced by rename, later written in place.
/// *Guarantees*: a change takes effect once it was seen in two polls, and changes the version. An unchanged name keeps its handle.
#[test]
fn a_changed_file_is_read_once_it_has_settled() {
    let file = write_file(&one_rule("one"));
    let mut watched = watched(&file.file);
    let directory = Arc::clone(watched.directory());
    let (version, stays) = (directory.version(), workload_at(&directory, "192.0.2.2", 1));
    replace(&file.file, &one_rule("two"));
    watched.poll();
    assert_eq!(name_at(&directory, "192.0.2.1", 1), "one");
    watched.poll();
    assert_eq!(name_at(&directory, "192.0.2.1", 1), "two");
    assert_ne!(directory.version(), version);
    assert_eq!(workload_at(&directory, "192.0.2.2", 1), stays);
    std::fs::write(&file.file, one_rule("three")).unwrap();
    watched.poll();
    watched.poll();
    assert_eq!(name_at(&directory, "192.0.2.1", 1), "three");
    watched.poll();
    watched.poll();
    assert_eq!((watched.stats().reloads.load(Relaxed), watched.stats().failures.load(Relaxed)), (2, 0));
}

/// *Scenario*: a new file is broken, is removed, and comes back.
/// *Guarantees*: the old rules stay in force. Each state is counted once, not once per poll. A good file ends it.
#[test]
fn a_bad_file_leaves_the_old_rules_in_force() {
    let file = write_file(&one_rule("one"));
    let mut watched = watched(&file.file);
    let directory = Arc::clone(watched.directory());
    let version = directory.version();
    replace(&file.file, "rules: [{cidrs: x}]");
    (0..5).for_each(|_| watched.poll());
    std::fs::remove_file(&file.file).unwrap();
    (0..5).for_each(|_| watched.poll());
    assert_eq!((name_at(&directory, "192.0.2.1", 1).as_str(), directory.version()), ("one", version));
    assert_eq!((watched.stats().failures.load(Relaxed), watched.stats().stale.load(Relaxed)), (2, true));
    replace(&file.file, &one_rule("two"));
    (0..5).for_each(|_| watched.poll());
    assert_eq!(name_at(&directory, "192.0.2.1", 1), "two");
    assert_eq!((watched.stats().reloads.load(Relaxed), watched.stats().stale.load(Relaxed)), (1, false));
}

/// *Scenario*: the file is in a mounted ConfigMap: a link to `..data/names.yaml`, and `..data` gets another target.
/// *Guarantees*: that is a change like any other.
#[test]
fn a_link_with_a_new_target_is_a_change() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (data, name) in [("..1", "one"), ("..2", "two")] {
        std::fs::create_dir(at(data)).unwrap();
        std::fs::write(at(data).join("names.yaml"), one_rule(name)).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/names.yaml", at("names.yaml")).unwrap();
    let mut watched = watched(&at("names.yaml"));
    symlink("..2", at("..data_tmp")).unwrap();
    std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
    watched.poll();
    watched.poll();
    assert_eq!(name_at(watched.directory(), "192.0.2.1", 1), "two");
}

/// *Scenario*: the whole extension: created, started, its file changed, stopped.
/// *Guarantees*: it resolves names before it is started, reads the change without a trigger, and ends when it is stopped.
#[tokio::test]
async fn the_extension_reads_changes_without_a_trigger() {
    let file = write_file(&one_rule("one"));
    let config = StaticConfig {
        file: file.file.to_str().unwrap().to_owned(),
        reload_interval: GoDuration::from_millis(10),
    };
    let meter: Meter = NoopMeterProvider::new().meter("test");
    let extension = StaticExtension::new(
        &config,
        &ExtensionContext { id: "static".to_owned(), meter, health: Health::default() },
    )
    .unwrap();
    let directory = extension.directory().unwrap();
    let version = directory.version();
    let stop = CancellationToken::new();
    let running = tokio::spawn(Box::new(extension).start(stop.clone()).await.unwrap());
    replace(&file.file, &one_rule("two"));
    let changed = async {
        while directory.version() == version {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), changed).await.unwrap();
    stop.cancel();
    running.await.unwrap().unwrap();
}
