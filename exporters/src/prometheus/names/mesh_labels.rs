//! Labels of Istio's standard metrics, which Kmesh has as well. A label is never empty: what is not known is `unknown`, as in Istio.

use std::sync::Arc;

use longwave_pipeline::model::{FlowKey, Rfc3339, SeriesKey, UNKNOWN, WorkloadKey};

use super::MeshGroup;

/// Makes labels with Istio's names.
#[derive(Debug)]
pub(super) struct MeshLabels {
    /// Such as `.svc.cluster.local`.
    service_suffix: String,
    /// Name of the cluster. Kiali ignores series with the cluster `unknown`, so that there is no label without a name.
    cluster: Option<String>,
}

/// Pod labels that name the canonical service, in their order of precedence.
const SERVICE_LABELS: [&str; 3] = ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"];
/// Pod labels that name the canonical revision, in their order of precedence.
const REVISION_LABELS: [&str; 3] =
    ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"];
/// What the attributes of pod labels begin with.
const POD_LABEL: &str = "k8s.pod.label.";

/// One end of a flow, and the names of its labels.
struct End {
    workload: &'static str,
    namespace: &'static str,
    canonical_service: &'static str,
    canonical_revision: &'static str,
    principal: &'static str,
    app: &'static str,
    version: &'static str,
    cluster: &'static str,
}

macro_rules! end {
    ($end:literal) => {
        End {
            workload: concat!($end, "_workload"),
            namespace: concat!($end, "_workload_namespace"),
            canonical_service: concat!($end, "_canonical_service"),
            canonical_revision: concat!($end, "_canonical_revision"),
            principal: concat!($end, "_principal"),
            app: concat!($end, "_app"),
            version: concat!($end, "_version"),
            cluster: concat!($end, "_cluster"),
        }
    };
}

const SOURCE: End = end!("source");
const DESTINATION: End = end!("destination");

// === impl MeshLabels ===

impl MeshLabels {
    pub(super) fn new(cluster_domain: &str, resource: &[(String, String)]) -> Self {
        let cluster = resource.iter().find(|(key, _)| key == "k8s.cluster.name");
        Self {
            service_suffix: format!(".svc.{cluster_domain}"),
            cluster: cluster.map(|(_, name)| name.clone()),
        }
    }

    /// Visits the labels of a series. Attributes that the series does not have are unknown; the overflow series has none.
    pub(super) fn for_each(&self, group: MeshGroup, key: &SeriesKey, visit: &mut dyn FnMut(&str, &str)) {
        let unknown = WorkloadKey::default();
        let flow = key.flow();
        visit("reporter", flow.map_or(UNKNOWN, |flow| flow.reporter.as_str()));
        self.end(&SOURCE, flow.map_or(&unknown, |flow| &flow.source), visit);
        let destination = flow.map_or(&unknown, |flow| &flow.destination);
        self.end(&DESTINATION, destination, visit);
        if group.service {
            self.service(flow, visit);
        }
        visit("request_protocol", "tcp");
        visit("response_flags", "-");
        visit("connection_security_policy", UNKNOWN);
        if group.pod {
            pod(flow, destination, visit);
        }
        if group.connection {
            connection(flow, visit);
        }
    }

    fn end(&self, end: &End, workload: &WorkloadKey, visit: &mut dyn FnMut(&str, &str)) {
        let name = known(&workload.name);
        visit(end.workload, name);
        visit(end.namespace, known(&workload.namespace));
        visit(end.canonical_service, first_label(workload, &SERVICE_LABELS).unwrap_or(name));
        // Istio calls the revision of a workload without such a label `latest`.
        let revision = if name == UNKNOWN { UNKNOWN } else { "latest" };
        visit(end.canonical_revision, first_label(workload, &REVISION_LABELS).unwrap_or(revision));
        visit(end.principal, UNKNOWN);
        visit(end.app, first_label(workload, &["app"]).unwrap_or(UNKNOWN));
        visit(end.version, first_label(workload, &["version"]).unwrap_or(UNKNOWN));
        // Only workloads of Kubernetes are in the cluster.
        if let Some(cluster) = self.cluster.as_ref().filter(|_| known(&workload.namespace) != UNKNOWN) {
            visit(end.cluster, cluster);
        }
    }

    fn service(&self, flow: Option<&FlowKey>, visit: &mut dyn FnMut(&str, &str)) {
        let (name, namespace) = match flow {
            Some(flow) => (known(&flow.service.name), known(&flow.service.namespace)),
            None => (UNKNOWN, UNKNOWN),
        };
        if name != UNKNOWN && namespace != UNKNOWN {
            visit("destination_service", &format!("{name}.{namespace}{}", self.service_suffix));
        } else {
            visit("destination_service", name);
        }
        visit("destination_service_name", name);
        visit("destination_service_namespace", namespace);
    }
}

fn pod(flow: Option<&FlowKey>, destination: &WorkloadKey, visit: &mut dyn FnMut(&str, &str)) {
    let details = destination.details.as_deref();
    let connection = flow.and_then(|flow| flow.connection.as_deref());
    let address = connection.and_then(|connection| connection.destination.address);
    let address = address.map(|address| address.to_string());
    visit("destination_pod_address", address.as_deref().unwrap_or(UNKNOWN));
    visit("destination_pod_namespace", known(&destination.namespace));
    let pod = details.map(|details| &*details.pod).filter(|pod| !pod.is_empty());
    visit("destination_pod_name", pod.unwrap_or(UNKNOWN));
}

fn connection(flow: Option<&FlowKey>, visit: &mut dyn FnMut(&str, &str)) {
    let connection = flow.and_then(|flow| flow.connection.as_deref());
    let opened = connection.and_then(|connection| connection.opened);
    let opened = opened.map(|opened| Rfc3339(opened).to_string());
    visit("start_time", opened.as_deref().unwrap_or(UNKNOWN));
    let ends = connection.map(|connection| (connection.source, connection.destination)).unwrap_or_default();
    for (name, end) in [("source_address", ends.0), ("destination_address", ends.1)] {
        if end.is_empty() {
            visit(name, UNKNOWN);
        } else {
            visit(name, &end.to_string());
        }
    }
}

/// Returns the value of the first of these pod labels that the workload has.
fn first_label<'a>(workload: &'a WorkloadKey, labels: &[&str]) -> Option<&'a str> {
    let known = &workload.details.as_deref()?.labels;
    labels.iter().find_map(|wanted| {
        let label = known.iter().find(|label| label.key.name().strip_prefix(POD_LABEL) == Some(wanted))?;
        Some(&*label.value).filter(|value| !value.is_empty())
    })
}

fn known(text: &Option<Arc<str>>) -> &str {
    text.as_deref().filter(|text| !text.is_empty()).unwrap_or(UNKNOWN)
}
