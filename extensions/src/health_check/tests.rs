use std::time::Duration;

use axum::body::to_bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use longwave_config::{ConfigPath, Value};
use longwave_pipeline::component::{ExtensionContext, Health, with_causes};
use opentelemetry::metrics::{MeterProvider, noop::NoopMeterProvider};
use tower::ServiceExt;

use super::config::HealthCheckConfig;
use super::*;

fn context(health: &Health) -> ExtensionContext {
    let meter = NoopMeterProvider::new().meter("test");
    ExtensionContext { id: "health_check".to_owned(), meter, health: health.clone() }
}

/// Returns the settings of a YAML section.
fn config(yaml: &str) -> HealthCheckConfig {
    serde_yaml::from_str(yaml).unwrap()
}

/// Requests `path`. Returns the status, the content type and the body.
async fn get(config: &HealthCheckConfig, health: &Health, path: &str) -> (StatusCode, String, String) {
    let router = HealthCheck::new(config, &context(health)).router();
    let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let content_type = response.headers().get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap());
    let (status, content_type) = (response.status(), content_type.to_owned());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, content_type, String::from_utf8(body.to_vec()).unwrap())
}

/// *Scenario*: requests before the start, while everything runs, while a receiver is stalled, and during a stop.
/// *Guarantees*: the statuses and the JSON are the Collector's; if the status is 503, the reasons are added.
#[tokio::test(start_paused = true)]
async fn responses_are_the_collectors() {
    let (config, health) = (HealthCheckConfig::default(), Health::default());
    let not_started = get(&config, &health, "/").await;
    let expected = r#"{"status":"Server not available","upSince":"0001-01-01T00:00:00Z","uptime":"","reasons":["not all components have started"]}"#;
    assert_eq!(
        not_started,
        (StatusCode::SERVICE_UNAVAILABLE, "application/json".to_owned(), expected.to_owned())
    );

    let receiver = health.receiver("bpf", Duration::from_secs(5));
    health.all_started();
    tokio::time::advance(Duration::from_millis(12_500)).await;
    let (status, _, body) = get(&config, &health, "/anything").await;
    assert_eq!(status, StatusCode::OK);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let keys: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["status", "upSince", "uptime"]);
    assert_eq!((&body["status"], &body["uptime"]), (&"Server available".into(), &"12.5s".into()));
    let since: jiff::Timestamp = body["upSince"].as_str().unwrap().parse().unwrap();
    assert!(since.as_second() > 1_700_000_000, "{since}");

    tokio::time::advance(Duration::from_secs(10)).await;
    let (status, _, body) = get(&config, &health, "/").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains(r#"no pass has ended for 22.5s (interval 5s)"#), "{body}");
    receiver.pass_ended(None);
    assert_eq!(get(&config, &health, "/").await.0, StatusCode::OK);
    health.stopping("the pipelines are stopping");
    let (status, _, body) = get(&config, &health, "/").await;
    assert!(
        status == StatusCode::SERVICE_UNAVAILABLE && body.contains("the pipelines are stopping"),
        "{body}"
    );
}

/// *Scenario*: `path` and `response_body` are set.
/// *Guarantees*: only this path responds; the bodies replace the JSON, with the same statuses.
#[tokio::test]
async fn path_and_bodies_can_be_set() {
    let config = config("{path: /health/status, response_body: {healthy: fine, unhealthy: broken}}");
    let health = Health::default();
    let (status, content_type, body) = get(&config, &health, "/health/status").await;
    assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "broken"));
    assert_eq!(content_type, "text/plain; charset=utf-8");
    health.all_started();
    assert_eq!(get(&config, &health, "/health/status").await.2, "fine");
    assert_eq!(get(&config, &health, "/").await.0, StatusCode::NOT_FOUND);
}

/// *Scenario*: an empty section, and sections with bad values.
/// *Guarantees*: the defaults are the Collector's; every bad value is reported with its place.
#[test]
fn settings_are_checked() {
    let path = ConfigPath::from("extensions").child("health_check");
    let prepare = |yaml: &str| factory().prepare(&serde_yaml::from_str::<Value>(yaml).unwrap(), &path);
    let effective = longwave_config::to_yaml(&prepare("{}").map(|prepared| prepared.effective).unwrap());
    insta::assert_snapshot!(effective.unwrap(), @r"
    endpoint: localhost:13133
    path: /
    ");
    let errors = prepare("{endpoint: '13133', path: health, tls: {}}").err().unwrap();
    insta::assert_snapshot!(errors);
}

/// *Scenario*: another process listens on the port.
/// *Guarantees*: the start fails with the place, the cause and the remedy.
#[tokio::test]
async fn a_used_port_is_an_error() {
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config =
        HealthCheckConfig { endpoint: other.local_addr().unwrap().to_string(), ..Default::default() };
    let error = HealthCheck::new(&config, &context(&Health::default())).bind().await.err().unwrap();
    let text = with_causes(&error).replace(&config.endpoint, "ADDRESS");
    insta::assert_snapshot!(text);
}
