//! The files for Prometheus and Grafana: rules in docker/prometheus, dashboards in docker/dashboards.
#![allow(clippy::unwrap_used)]

mod dashboards;
mod files;
mod queries;
mod source;

use std::process::ExitCode;

use longwave_testing::{harness, tests};

fn main() -> ExitCode {
    harness::run(tests![
        dashboards::are_complete,
        dashboards::have_panels_that_do_not_overlap,
        files::rules_are_valid_and_tested,
        queries::every_query_returns_data,
        queries::every_query_returns_data_from_a_current_prometheus,
    ])
}
