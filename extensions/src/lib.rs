//! Extensions: who is who. Each watches its subject once, for all processors of all pipelines, and answers them through
//! [`longwave_pipeline::component::Directory`] from memory.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod docker;
pub mod history;
pub mod kubernetes;
pub mod static_file;

use longwave_pipeline::component::ExtensionFactory;

/// One factory for each extension.
pub fn factories() -> Vec<ExtensionFactory> {
    vec![kubernetes::factory(), docker::factory(), static_file::factory()]
}
