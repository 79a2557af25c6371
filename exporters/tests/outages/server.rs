//! OTLP servers of both protocols with scripted answers. They store what they accept.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Response, Uri};
use longwave_pipeline::component::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Status};

/// Answer to one request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The request is stored. The response is late.
    Slow(Duration),
    /// No response, until the client gives up.
    Silent,
    /// `RESOURCE_EXHAUSTED` and so on over gRPC, with `RetryInfo` if there is a wait.
    Code(Code, Option<Duration>),
    /// A status over HTTP, with `Retry-After` if there is a wait.
    Status(u16, Option<u64>),
    /// The request is stored, but its response says that this many items are rejected.
    Partial(i64),
}

/// The remaining answers for each signal, and what was accepted. Without an answer a request is accepted immediately.
#[derive(Default)]
pub struct ServerState {
    metrics: Mutex<VecDeque<Answer>>,
    logs: Mutex<VecDeque<Answer>>,
    /// `log.record.uid` of each accepted log record.
    pub uids: Mutex<Vec<String>>,
    /// End of each accepted window, in nanoseconds: that of its first point.
    pub windows: Mutex<Vec<u64>>,
}

impl ServerState {
    pub fn new(answers: &[Answer]) -> Arc<Self> {
        let answers = || Mutex::new(answers.iter().cloned().collect());
        Arc::new(Self { metrics: answers(), logs: answers(), ..Self::default() })
    }

    /// Returns the number of answers that have not been given.
    pub fn pending(&self) -> usize {
        self.metrics.lock().unwrap().len() + self.logs.lock().unwrap().len()
    }

    async fn answer(&self, signal: Signal) -> Option<Answer> {
        let answers = if signal == Signal::Metrics { &self.metrics } else { &self.logs };
        let answer = answers.lock().unwrap().pop_front();
        match answer {
            Some(Answer::Silent) => std::future::pending().await,
            Some(Answer::Slow(delay)) => {
                tokio::time::sleep(delay).await;
                None
            }
            answer => answer,
        }
    }

    fn store_metrics(&self, request: &ExportMetricsServiceRequest) {
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let ends = metrics.iter().filter_map(|metric| match metric.data.as_ref()? {
            Data::Sum(sum) => Some(sum.data_points[0].time_unix_nano),
            _ => None,
        });
        self.windows.lock().unwrap().push(ends.max().unwrap());
    }

    fn store_logs(&self, request: &ExportLogsServiceRequest) {
        // Requests that have been merged have the resource several times.
        let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
        let uids = scopes.flat_map(|scope| &scope.log_records).map(|record| {
            let uid = record.attributes.iter().find(|pair| pair.key == "log.record.uid");
            match uid.and_then(|pair| pair.value.as_ref()?.value.as_ref()) {
                Some(any_value::Value::StringValue(uid)) => uid.clone(),
                _ => panic!("no uid: {record:?}"),
            }
        });
        self.uids.lock().unwrap().extend(uids);
    }
}

/// Starts the server of `protocol` (`otlp_grpc` or `otlp_http`). It ends with the runtime of the test.
pub async fn start(protocol: &str, state: Arc<ServerState>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    if protocol == "otlp_grpc" {
        let router = tonic::transport::Server::builder()
            .add_service(MetricsServiceServer::new(Grpc(Arc::clone(&state))))
            .add_service(LogsServiceServer::new(Grpc(state)));
        tokio::spawn(async move { router.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap() });
    } else {
        let router = Router::new().fallback(http).with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    }
    address
}

struct Grpc(Arc<ServerState>);

fn refused(code: Code, wait: Option<Duration>) -> Status {
    match wait {
        None => Status::new(code, "refused"),
        Some(wait) => Status::with_details(code, "refused", retry_info(wait).into()),
    }
}

/// Encodes a `google.rpc.Status` with a `RetryInfo`. Every part is shorter than 128 bytes.
fn retry_info(wait: Duration) -> Vec<u8> {
    let field = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    let duration = protobuf_duration(wait);
    let info = field(0x0a, &duration);
    let any = [field(0x0a, b"type.googleapis.com/google.rpc.RetryInfo"), field(0x12, &info)].concat();
    field(0x1a, &any)
}

/// Encodes a `google.protobuf.Duration` of less than a second.
fn protobuf_duration(wait: Duration) -> Vec<u8> {
    let mut bytes = vec![0x10];
    prost::encoding::encode_varint(u64::from(wait.subsec_nanos()), &mut bytes);
    bytes
}

#[tonic::async_trait]
impl MetricsService for Grpc {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        let partial_success = match self.0.answer(Signal::Metrics).await {
            Some(Answer::Code(code, wait)) => return Err(refused(code, wait)),
            Some(Answer::Partial(rejected_data_points)) => {
                Some(ExportMetricsPartialSuccess { rejected_data_points, error_message: "some".into() })
            }
            _ => None,
        };
        self.0.store_metrics(request.get_ref());
        Ok(tonic::Response::new(ExportMetricsServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl LogsService for Grpc {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        let partial_success = match self.0.answer(Signal::Logs).await {
            Some(Answer::Code(code, wait)) => return Err(refused(code, wait)),
            Some(Answer::Partial(rejected_log_records)) => {
                Some(ExportLogsPartialSuccess { rejected_log_records, error_message: "some".into() })
            }
            _ => None,
        };
        self.0.store_logs(request.get_ref());
        Ok(tonic::Response::new(ExportLogsServiceResponse { partial_success }))
    }
}

async fn http(State(state): State<Arc<ServerState>>, uri: Uri, body: Bytes) -> Response<Body> {
    let signal = if uri.path() == "/v1/metrics" { Signal::Metrics } else { Signal::Logs };
    let response = Response::builder().header("content-type", "application/x-protobuf");
    let rejected = match state.answer(signal).await {
        Some(Answer::Status(status, wait)) => {
            let response = response.status(status);
            let response =
                wait.into_iter().fold(response, |response, wait| response.header("retry-after", wait));
            return response.body(Body::empty()).unwrap();
        }
        Some(Answer::Partial(rejected)) => Some(rejected),
        _ => None,
    };
    // Both partial successes have the same layout.
    let partial_success = rejected.map(|rejected_log_records| ExportLogsPartialSuccess {
        rejected_log_records,
        error_message: "some".into(),
    });
    match signal {
        Signal::Metrics => state.store_metrics(&ExportMetricsServiceRequest::decode(body).unwrap()),
        Signal::Logs => state.store_logs(&ExportLogsServiceRequest::decode(body).unwrap()),
    }
    let body = ExportLogsServiceResponse { partial_success }.encode_to_vec();
    response.body(Body::from(body)).unwrap()
}
