//! What people read as the names of workloads and services.

use longwave_pipeline::component::visible::Visible;
use longwave_pipeline::model::UNKNOWN;

/// Returns `name.namespace`, as in a cluster's DNS. Control characters are escaped. `None` if the name is unknown.
pub fn qualified(name: &str, namespace: &str) -> Option<String> {
    is_known(name).then(|| match is_known(namespace) {
        true => format!("{}.{}", Visible(name), Visible(namespace)),
        false => Visible(name).to_string(),
    })
}

/// Returns the service to show beside a destination: none if it is unknown or equal to the destination.
pub fn service_beside(service: Option<String>, destination: &str) -> String {
    service.filter(|service| service != destination).unwrap_or_default()
}

pub(crate) fn is_known(name: &str) -> bool {
    !name.is_empty() && name != UNKNOWN
}

#[cfg(test)]
mod tests;
