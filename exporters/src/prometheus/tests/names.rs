use std::sync::Arc;

use longwave_pipeline::model::{
    Label, LabelKey, Reporter, Rung, SeriesKey, ServiceKey, WorkloadDetails, WorkloadKey,
};

use super::{Fixture, key, series};
use crate::prometheus::{Naming, PrometheusConfig};

/// Returns the labels of the series of `istio_tcp_received_bytes` and its value.
fn edge(key: &Arc<SeriesKey>) -> (String, String) {
    let mut fixture = Fixture::new(PrometheusConfig { naming: Naming::Istio, ..PrometheusConfig::default() });
    let mut series = series(key, 100, 1);
    series.measures.totals.received_bytes = 5;
    fixture.window(5, vec![series]);
    let samples = fixture.scrape(6);
    let (labels, value) =
        samples.iter().find(|(series, _)| series.starts_with("istio_tcp_received_bytes_total")).unwrap();
    (labels.replace(',', "\n"), value.clone())
}

fn changed(change: impl FnOnce(&mut longwave_pipeline::model::FlowKey)) -> Arc<SeriesKey> {
    let mut key = (*key("web")).clone();
    if let SeriesKey::Flow(flow) = &mut key {
        change(flow);
    }
    Arc::new(key)
}

fn with_labels(labels: &[(&str, &str)]) -> WorkloadDetails {
    let labels = labels.iter().map(|(key, value)| Label {
        key: Arc::new(LabelKey::new(&format!("k8s.pod.label.{key}"))),
        value: (*value).into(),
    });
    WorkloadDetails { labels: labels.collect(), ..WorkloadDetails::default() }
}

/// *Scenario*: the same traffic, reported by the client and by the server.
/// *Guarantees*: both have the same direction (received: from client to server), and labels that differ in the reporter only.
#[test]
fn both_reporters_agree() {
    let (client, value) = edge(&key("web"));
    assert_eq!(value, "100");
    let (server, value) = edge(&changed(|flow| flow.reporter = Reporter::Destination));
    assert_eq!(value, "5", "the server received these bytes from the client");
    assert_eq!(client.replace("reporter=\"source\"", "reporter=\"destination\""), server);
}

/// *Scenario*: pods with Istio's labels, Kubernetes' recommended labels, old-style labels, and none.
/// *Guarantees*: the canonical service and revision follow Istio's precedence. Without labels they are the workload and `latest`.
#[test]
fn canonical_names_come_from_pod_labels() {
    type Labels = &'static [(&'static str, &'static str)];
    let cases: [(Labels, &str, &str); 4] = [
        (
            &[
                ("version", "v1"),
                ("app", "old"),
                ("service.istio.io/canonical-name", "shop-web"),
                ("service.istio.io/canonical-revision", "v3"),
                ("app.kubernetes.io/name", "k8s-web"),
            ],
            "shop-web",
            "v3",
        ),
        (
            &[("app", "old"), ("app.kubernetes.io/name", "k8s-web"), ("app.kubernetes.io/version", "2")],
            "k8s-web",
            "2",
        ),
        (&[("app", "old"), ("version", "v1")], "old", "v1"),
        (&[], "web", "latest"),
    ];
    for (labels, service, revision) in cases {
        let (edge, _) = edge(&changed(|flow| flow.source.details = Some(Box::new(with_labels(labels)))));
        assert!(edge.contains(&format!("source_canonical_service=\"{service}\"")), "{edge}");
        assert!(edge.contains(&format!("source_canonical_revision=\"{revision}\"")), "{edge}");
    }
}

/// *Scenario*: a flow within the cluster; one whose service and client are unknown; the overflow series.
/// *Guarantees*: the service is fully qualified. What is unknown, or absent because others were folded into the series, is `unknown`. Only workloads of Kubernetes have a cluster.
#[test]
fn known_and_unknown_ends() {
    let (known, _) = edge(&key("web"));
    assert!(known.contains("destination_service=\"cart.shop.svc.cluster.local\""), "{known}");
    assert!(known.contains("source_cluster=\"east\""), "{known}");
    let (outside, _) = edge(&changed(|flow| {
        flow.source = Default::default();
        flow.service = ServiceKey::default();
    }));
    assert!(outside.contains("destination_service=\"unknown\""), "{outside}");
    assert!(outside.contains("source_workload=\"unknown\""), "{outside}");
    assert!(!outside.contains("source_cluster"), "{outside}");
    let (overflow, _) = edge(&Arc::new(SeriesKey::Overflow));
    assert!(overflow.contains("reporter=\"unknown\""), "{overflow}");
    // A series without attributes of workloads, or into which others were folded, has the same labels as one of unknown workloads.
    let unknown = |flow: &mut longwave_pipeline::model::FlowKey| {
        let (name, kind) = (Some("".into()), Some("".into()));
        flow.source = WorkloadKey { name, kind, ..WorkloadKey::default() };
        flow.service = ServiceKey::default();
    };
    let (folded, _) = edge(&changed(|flow| {
        unknown(flow);
        (flow.source.name, flow.source.kind, flow.folded) = (None, None, Some(Rung::Namespace));
    }));
    assert_eq!(folded, edge(&changed(unknown)).0);
}

/// *Scenario*: a series of workloads, and the same folded by namespaces, with OpenTelemetry's names.
/// *Guarantees*: the folded series has only the labels that remain, and the rung, so that both are series of the page, and a sum by any label
/// contains each byte once.
#[test]
fn folded_series_have_no_finer_labels() {
    let mut fixture =
        Fixture::new(PrometheusConfig { without_scope_info: true, ..PrometheusConfig::default() });
    let web = key("web");
    let folded = Arc::new(web.folded(Rung::Namespace).unwrap());
    fixture.window(5, vec![series(&web, 100, 1), series(&folded, 7, 2)]);
    let samples = fixture.scrape(6);
    let sent =
        samples.iter().filter(|(series, _)| series.starts_with("longwave_tcp_workload_sent_bytes_total"));
    let sent: Vec<_> = sent.map(|(series, value)| format!("{series} {value}")).collect();
    insta::assert_snapshot!(sent.join("\n"), @r#"
    longwave_tcp_workload_sent_bytes_total{reporter="source",source_k8s_namespace_name="shop",destination_service_namespace="shop",destination_k8s_namespace_name="shop",longwave_folded="namespace"} 7
    longwave_tcp_workload_sent_bytes_total{reporter="source",source_workload_name="web",source_workload_kind="Deployment",source_k8s_namespace_name="shop",destination_service_name="cart",destination_service_namespace="shop",destination_workload_name="cart",destination_workload_kind="Deployment",destination_k8s_namespace_name="shop"} 100
    "#);
}
