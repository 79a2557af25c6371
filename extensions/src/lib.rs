//! Extensions. Most resolve names: each watches one source (Kubernetes, Docker, a file) once for all processors of all pipelines. Look-ups
//! through [`longwave_pipeline::component::Directory`] are served from memory. [`health_check`] serves the health of the pipelines.
//! [`client_auth`] authenticates the requests of exporters, and [`file_storage`] stores them.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod client_auth;
pub mod docker;
pub mod file_storage;
pub mod health_check;
pub mod history;
pub mod kubernetes;
mod rfc3339;
pub mod static_file;

use longwave_pipeline::component::ExtensionFactory;

/// Returns one factory for each extension.
pub fn factories() -> Vec<ExtensionFactory> {
    vec![
        kubernetes::factory(),
        docker::factory(),
        static_file::factory(),
        health_check::factory(),
        client_auth::bearer_factory(),
        client_auth::basic_factory(),
        file_storage::factory(),
    ]
}
