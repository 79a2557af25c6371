//! `otlp_grpc` against a tonic server in this process.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::certificates::Certificates;
use common::grpc_server::{GrpcServer, Reply};
use common::rotating_token::{self, RotatingToken};
use common::{any_payload, exporter, payload, permanent, records, retryable, try_authenticated, window};
use longwave_pipeline::component::{PushError, Pushed, Signal};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use serde_json::json;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};
use tonic::{Code, Status};

fn plain(server: &GrpcServer) -> serde_json::Value {
    json!({"endpoint": server.address.to_string(), "tls": {"insecure": true}})
}

/// *Scenario*: metrics and logs are sent with the default compression and without, and with a token in a header.
/// *Guarantees*: the server decodes exactly the encoded request. It receives compression, header and user agent.
#[tokio::test]
async fn requests_arrive() {
    let server = GrpcServer::start(Vec::new()).await;
    for (compression, arrives_as) in [("gzip", Some("gzip")), ("zstd", Some("zstd")), ("none", None)] {
        let mut section = plain(&server);
        section["compression"] = compression.into();
        section["headers"] = json!({"Authorization": "Bearer t0ken"});
        let mut metrics = exporter("otlp", section.clone(), Signal::Metrics);
        let mut logs = exporter("otlp_grpc", section, Signal::Logs);
        let pusher = metrics.pusher();
        pusher.start().await.unwrap();
        let request = payload(&mut *metrics, &window(77));
        assert_eq!(pusher.push(&request).await, Ok(Pushed::default()));
        assert_eq!(logs.pusher().push(&payload(&mut *logs, &records(3))).await, Ok(Pushed::default()));
        pusher.shutdown().await.unwrap();
        let mut received = server.received.lock().unwrap();
        assert_eq!(
            received.metrics.pop().unwrap(),
            ExportMetricsServiceRequest::decode(request.bytes).unwrap()
        );
        assert_eq!(received.logs.pop().unwrap().resource_logs[0].scope_logs[0].log_records.len(), 3);
        for metadata in received.metadata.drain(..) {
            let text = |key: &str| metadata.get(key).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(text("authorization").unwrap(), "Bearer t0ken");
            assert!(text("user-agent").unwrap().starts_with("longwave/"));
            assert_eq!(text("grpc-encoding").as_deref(), arrives_as);
        }
    }
}

/// *Scenario*: a TLS server and an authenticator whose token changes between two requests; then the same without TLS.
/// *Guarantees*: the metadata of each request has the current token, under the authenticator's name. Without TLS the configuration is refused, as by
/// the Collector.
#[tokio::test]
async fn authenticated_requests() {
    let certificates = Certificates::new();
    let server = tls_server(&certificates, false).await;
    let (token, authenticators) = RotatingToken::new(http::HeaderName::from_static("x-key"));
    let mut section = json!({
        "endpoint": server.address.to_string(),
        "auth": {"authenticator": rotating_token::ID},
        "headers": {"authorization": "Bearer other"},
        "tls": {"insecure_skip_verify": true},
    });
    let create = |section: &serde_json::Value| {
        try_authenticated("otlp_grpc", section.clone(), Signal::Metrics, authenticators.clone())
    };
    let pusher = create(&section).ok().unwrap().pusher();
    for now in ["one", "two"] {
        *token.token.lock().unwrap() = now;
        assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
        let metadata = server.received.lock().unwrap().metadata.pop().unwrap();
        assert_eq!(metadata.get("x-key").unwrap(), &format!("Bearer {now}"));
        assert_eq!(metadata.get("authorization").unwrap(), "Bearer other");
    }
    section["tls"] = json!({"insecure": true});
    let error = create(&section).err().unwrap();
    assert!(
        error.contains("auth::authenticator: the credentials require transport level security"),
        "{error}"
    );
}

/// *Scenario*: a batch of 20,000 records.
/// *Guarantees*: a server with gRPC's default limit of 4 MiB accepts all requests.
#[tokio::test]
async fn large_batches_pass_the_default_limit() {
    let server = GrpcServer::start(Vec::new()).await;
    let mut exporter = exporter("otlp_grpc", plain(&server), Signal::Logs);
    let payloads = exporter.encode(&records(20_000)).unwrap();
    assert!(payloads.len() > 1);
    for payload in &payloads {
        assert_eq!(exporter.pusher().push(payload).await, Ok(Pushed::default()));
    }
    let received = server.received.lock().unwrap();
    let arrived: usize =
        received.logs.iter().map(|request| request.resource_logs[0].scope_logs[0].log_records.len()).sum();
    assert_eq!(arrived, 20_000);
}

/// *Scenario*: partial success with a count and a reason, with a reason only, with a count above the request's, and with a negative count.
/// *Guarantees*: the push returns the rejected items and the reason, at most as many as were sent, and no error.
#[tokio::test]
async fn partial_success_is_reported() {
    let partial = [(3, "too old"), (0, "deprecated"), (99, ""), (-1, "")];
    let server = GrpcServer::start(partial.map(|(count, reason)| Reply::Partial(count, reason)).into()).await;
    for signal in [Signal::Metrics, Signal::Logs] {
        let pusher = exporter("otlp_grpc", plain(&server), signal).pusher();
        let push = async || pusher.push(&any_payload()).await.unwrap();
        if signal == Signal::Metrics {
            assert_eq!(push().await, Pushed { rejected_items: 3, message: Some("too old".into()) });
            assert_eq!(push().await, Pushed { rejected_items: 0, message: Some("deprecated".into()) });
        } else {
            assert_eq!(push().await, Pushed { rejected_items: 10, message: None });
            assert_eq!(push().await, Pushed::default());
        }
    }
}

/// *Scenario*: the server replies Unavailable, then success, then ResourceExhausted without RetryInfo, InvalidArgument and Unauthenticated.
/// *Guarantees*: the first error is retryable, the others are permanent. Messages have the endpoint and the server's reason. The connection
/// remains usable after a refusal.
#[tokio::test]
async fn refusals() {
    let refuse = |code, reason| Reply::Refuse(Status::new(code, reason));
    let replies = vec![
        refuse(Code::Unavailable, "restarting"),
        Reply::Accept,
        refuse(Code::ResourceExhausted, "too much"),
        refuse(Code::InvalidArgument, "bad point"),
        refuse(Code::Unauthenticated, ""),
    ];
    let server = GrpcServer::start(replies).await;
    let pusher = exporter("otlp_grpc", plain(&server), Signal::Metrics).pusher();
    let endpoint = format!("http://{}", server.address);
    let message = retryable(pusher.push(&any_payload()).await.unwrap_err());
    assert_eq!(message, format!("{endpoint}: Unavailable: restarting"));
    assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
    let message = permanent(pusher.push(&any_payload()).await.unwrap_err());
    assert_eq!(message, format!("{endpoint}: ResourceExhausted: too much"));
    let message = permanent(pusher.push(&any_payload()).await.unwrap_err());
    assert_eq!(message, format!("{endpoint}: InvalidArgument: bad point"));
    let message = permanent(pusher.push(&any_payload()).await.unwrap_err());
    assert!(message.contains("credentials"), "{message}");
}

/// *Scenario*: ResourceExhausted with `google.rpc.RetryInfo` of 1.5 s.
/// *Guarantees*: the error is retryable after that delay.
#[tokio::test]
async fn retry_info_is_applied() {
    // RpcStatus { code: 8, details: [Any { type_url, RetryInfo { Duration { 1 s, 500,000,000 ns } } }] }
    let duration = [0x08, 1, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01];
    let info = [&[0x0a, duration.len() as u8][..], &duration].concat();
    let url = b"type.googleapis.com/google.rpc.RetryInfo";
    let any = [&[0x0a, url.len() as u8][..], url, &[0x12, info.len() as u8], &info].concat();
    let details = [&[0x08, 8, 0x1a, any.len() as u8][..], &any].concat();
    let status = Status::with_details(Code::ResourceExhausted, "slow down", details.into());
    let server = GrpcServer::start(vec![Reply::Refuse(status)]).await;
    let pusher = exporter("otlp_grpc", plain(&server), Signal::Metrics).pusher();
    match pusher.push(&any_payload()).await {
        Err(PushError::Retryable { after, .. }) => assert_eq!(after, Some(Duration::from_millis(1500))),
        other => panic!("{other:?}"),
    }
}

/// *Scenario*: no process listens. Then a server starts at the address and stops, and another one starts.
/// *Guarantees*: the pusher starts without a server. The error is retryable and reports a refused connection. The same pusher reaches each
/// server.
#[tokio::test]
async fn a_server_starts_and_stops() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let section = json!({"endpoint": address, "tls": {"insecure": true}});
    let pusher = exporter("otlp_grpc", section, Signal::Metrics).pusher();
    pusher.start().await.unwrap();
    for _ in 0..2 {
        let mut refused = pusher.push(&any_payload()).await;
        // The first error after the previous server's stop may be a closed connection.
        for _ in 0..20 {
            match &refused {
                Err(PushError::Retryable { message, .. }) if message.contains("refused") => break,
                _ => refused = pusher.push(&any_payload()).await,
            }
        }
        let refused = refused.unwrap_err();
        assert!(matches!(refused, PushError::Retryable { may_have_arrived: false, .. }), "{refused:?}");
        let message = retryable(refused);
        assert!(message.contains(&address) && message.contains("is the collector running?"), "{message}");
        let server = GrpcServer::start_at(&address, Vec::new(), None).await;
        let mut arrived = pusher.push(&any_payload()).await;
        for _ in 0..20 {
            if arrived.is_ok() {
                break;
            }
            arrived = pusher.push(&any_payload()).await;
        }
        assert_eq!(arrived, Ok(Pushed::default()));
        server.stop().await;
    }
}

/// *Scenario*: a name that does not resolve (`.invalid` never does).
/// *Guarantees*: the error is retryable, and its message names the look-up as the cause.
#[tokio::test]
async fn an_unknown_name() {
    let section = json!({"endpoint": "collector.invalid:4317", "tls": {"insecure": true}});
    let pusher = exporter("otlp_grpc", section, Signal::Metrics).pusher();
    let message = retryable(pusher.push(&any_payload()).await.unwrap_err());
    assert!(message.contains("cannot resolve the name \"collector.invalid\""), "{message}");
}

async fn tls_server(certificates: &Certificates, requires_client_certificate: bool) -> GrpcServer {
    let (certificate, key) = &certificates.server;
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
    if requires_client_certificate {
        tls = tls.client_ca_root(Certificate::from_pem(&certificates.ca));
    }
    GrpcServer::start_at("127.0.0.1:0", Vec::new(), Some(tls)).await
}

/// *Scenario*: a TLS server with a certificate for `collector.test` from its own authority. Clients connect with that authority and name,
/// without the authority, without the name, without verification, with TLS 1.3 only, with TLS 1.2 and one suite that fits the certificate or none, and
/// with plaintext.
/// *Guarantees*: only matching settings succeed. With the others the message names the setting to change.
#[tokio::test]
async fn tls_and_what_can_go_wrong() {
    let certificates = Certificates::new();
    let server = tls_server(&certificates, false).await;
    let endpoint = server.address.to_string();
    let ca = certificates.file("ca.pem", &certificates.ca);
    // Another authority, so that the test does not use the system's.
    let other_ca = certificates.file("other.pem", &Certificates::new().ca);
    let name = "collector.test";
    let push = async |tls: serde_json::Value| {
        let section = json!({"endpoint": endpoint, "tls": tls});
        let pusher = exporter("otlp_grpc", section, Signal::Metrics).pusher();
        pusher.push(&any_payload()).await
    };
    assert_eq!(push(json!({"ca_file": ca, "server_name_override": name})).await, Ok(Pushed::default()));
    let newest = json!({"ca_file": ca, "server_name_override": name, "min_version": "1.3"});
    assert_eq!(push(newest).await, Ok(Pushed::default()));
    let tls12 = |suite: &str| {
        let suites = [suite];
        json!({"ca_file": ca, "server_name_override": name, "max_version": "1.2", "cipher_suites": suites, "curve_preferences": ["P384"]})
    };
    let fitting = tls12("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    assert_eq!(push(fitting).await, Ok(Pushed::default()));
    assert_eq!(push(json!({"insecure_skip_verify": true})).await, Ok(Pushed::default()));
    let fails_with = async |tls, expected: &str| {
        let message = retryable(push(tls).await.unwrap_err());
        assert!(message.contains(expected) && message.contains(&endpoint), "{message}");
    };
    fails_with(json!({"ca_file": other_ca, "server_name_override": name}), "set tls::ca_file").await;
    fails_with(json!({"ca_file": ca}), "set tls::server_name_override").await;
    fails_with(tls12("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), "no TLS version or cipher in common").await;
    fails_with(json!({"insecure": true}), "if the server expects TLS").await;
}

/// *Scenario*: the authority that the client trusts and the client's certificate are replaced on the disk: first the wrong ones, then a file that is
/// cut off, then the right ones.
/// *Guarantees*: with `reload_interval` each new connection uses the current files. A file that cannot be used changes nothing.
#[tokio::test]
async fn certificates_that_change_on_the_disk() {
    let (right, wrong) = (Certificates::new(), Certificates::new());
    let write = |from: &Certificates| {
        right.file("ca.pem", &from.ca);
        right.file("key.pem", &from.client.1);
        right.file("cert.pem", &from.client.0)
    };
    let cert = write(&wrong);
    let server = tls_server(&right, true).await;
    let tls = json!({
        "ca_file": cert.with_file_name("ca.pem"),
        "cert_file": cert,
        "key_file": cert.with_file_name("key.pem"),
        "server_name_override": "collector.test",
        "reload_interval": "1ns",
    });
    let section = json!({"endpoint": server.address.to_string(), "tls": tls});
    let pusher = exporter("otlp_grpc", section.clone(), Signal::Metrics).pusher();
    let message = retryable(pusher.push(&any_payload()).await.unwrap_err());
    assert!(message.contains("set tls::ca_file"), "{message}");
    write(&right);
    right.file("cert.pem", "-----BEGIN CERTIFICATE-----\n");
    // The certificate and the key of `wrong` stay, which the server refuses.
    let message = retryable(pusher.push(&any_payload()).await.unwrap_err());
    assert!(message.contains("tls::cert_file"), "{message}");
    write(&right);
    assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
    // Without the interval, a replacement changes nothing.
    let mut fixed = section;
    fixed["tls"]["reload_interval"] = json!("0s");
    let pusher = exporter("otlp_grpc", fixed, Signal::Metrics).pusher();
    write(&wrong);
    assert_eq!(pusher.push(&any_payload()).await, Ok(Pushed::default()));
}

/// *Scenario*: a server that requires a client certificate, and a TLS client at a server without TLS.
/// *Guarantees*: a client with `cert_file` and `key_file` succeeds. Without them, and without TLS, the message names the missing setting.
#[tokio::test]
async fn mutual_tls_and_a_plain_server() {
    let certificates = Certificates::new();
    let server = tls_server(&certificates, true).await;
    let plain_server = GrpcServer::start(Vec::new()).await;
    let ca = certificates.file("ca.pem", &certificates.ca);
    let cert = certificates.file("cert.pem", &certificates.client.0);
    let key = certificates.file("key.pem", &certificates.client.1);
    let push = async |server: &GrpcServer, mut tls: serde_json::Value| {
        tls["ca_file"] = json!(ca);
        tls["server_name_override"] = json!("collector.test");
        let section = json!({"endpoint": server.address.to_string(), "tls": tls});
        exporter("otlp_grpc", section, Signal::Metrics).pusher().push(&any_payload()).await
    };
    assert_eq!(push(&server, json!({"cert_file": cert, "key_file": key})).await, Ok(Pushed::default()));
    let message = retryable(push(&server, json!({})).await.unwrap_err());
    assert!(message.contains("tls::cert_file"), "{message}");
    let message = retryable(push(&plain_server, json!({})).await.unwrap_err());
    assert!(message.contains("set tls::insecure: true"), "{message}");
}
