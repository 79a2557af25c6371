//! Extension `file_storage`: stores the requests of sending queues in files, so that neither a restart nor a crash loses them.
//!
//! Invariants:
//! - A request counts as queued once it is written. `kill -9` at any time loses none of them, and what was not completely written is cut off.
//! - A request that was delivered or dropped is not returned after a restart, unless the process was killed before it could mark it.
//! - Each record has checksums. A damaged record is never sent. Only it is lost, and counted.
//! - The files together are never larger than `max_size`. Only whole files are removed, which always frees space: first those without pending
//!   requests, then the oldest.
//!
//! Layers: [`format`] and [`scan`] define a file, [`queue_log`] the files of one queue, [`store`] those of one directory. [`disk`] has the file
//! operations that they use.

mod config;
mod disk;
mod extension;
mod format;
mod lock;
mod queue;
mod queue_log;
mod queue_name;
mod scan;
mod store;
mod telemetry;
mod verify;

#[cfg(test)]
mod tests;

pub use config::FileStorageConfig;
pub use extension::FileStorage;
pub use verify::{StoreReport, verify};

use longwave_pipeline::component::{
    About, Extension, ExtensionContext, ExtensionFactory, Factory, Stability,
};

/// Returns the factory of `file_storage`.
pub fn factory() -> ExtensionFactory {
    let about = About {
        component_type: "file_storage",
        aliases: &[],
        stability: Stability::Alpha,
        description: "Stores the requests of sending queues in files",
        signals: &[],
        flow: None,
    };
    Factory::new(about, |config: &FileStorageConfig, context: ExtensionContext| {
        Ok(Box::new(FileStorage::new(config, &context)?) as Box<dyn Extension>)
    })
}
