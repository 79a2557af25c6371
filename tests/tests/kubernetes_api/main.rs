//! The extension `kubernetes` with a real API server. Tests faults of the connection, missing rights, and the cost of ten thousand pods.
//! Longwave runs on the host. Pods of the cluster send their names to a server of the test, which compares them with the records.
#![allow(clippy::unwrap_used)]

mod corners;
mod faults;
mod greeter;
mod informer;
mod population;
mod recycled;
mod rights;
mod running;
mod scale;

use std::process::ExitCode;
use std::time::Duration;

use longwave_testing::{harness, tests};

/// Maximum wait. It is long, because machines are loaded, and the wait of Longwave after failures grows to 45 s.
const LIMIT: Duration = Duration::from_secs(180);

const PODS: &str = "/api/v1/pods";
const SERVICES: &str = "/api/v1/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
/// Watched resources: names in the self-telemetry, and paths.
const WATCHED: [(&str, &str); 3] = [("pods", PODS), ("services", SERVICES), ("endpointslices", SLICES)];
const DEFAULT_PODS: &str = "/api/v1/namespaces/default/pods";

fn main() -> ExitCode {
    harness::run(tests![
        corners::names_are_right_in_every_corner,
        faults::names_outlive_a_failing_api_server,
        recycled::a_reused_address_names_the_pod_of_its_time,
        rights::the_rules_are_exactly_those_that_are_needed,
        scale::ten_thousand_pods_fit_into_forty_mebibytes,
    ])
}
