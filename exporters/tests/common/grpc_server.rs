//! An OTLP server over gRPC, with tonic's own decoding, that answers as it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

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
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::ServerTlsConfig;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// What the server does with one request.
pub enum Answer {
    Fine,
    Partial(i64, &'static str),
    Refuse(Status),
}

/// What the server has seen.
#[derive(Default)]
pub struct Seen {
    pub metrics: Vec<ExportMetricsServiceRequest>,
    pub logs: Vec<ExportLogsServiceRequest>,
    pub metadata: Vec<MetadataMap>,
    answers: VecDeque<Answer>,
}

/// A running server.
pub struct GrpcServer {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Seen>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl GrpcServer {
    /// Answers in this order, then with success.
    pub async fn start(answers: Vec<Answer>) -> Self {
        Self::start_at("127.0.0.1:0", answers, None).await
    }

    pub async fn start_at(address: &str, answers: Vec<Answer>, tls: Option<ServerTlsConfig>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen { answers: answers.into(), ..Seen::default() }));
        let service = Service(Arc::clone(&seen));
        let mut server = tonic::transport::Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let gzip = CompressionEncoding::Gzip;
        let router = server
            .add_service(
                MetricsServiceServer::new(service.clone()).accept_compressed(gzip).send_compressed(gzip),
            )
            .add_service(LogsServiceServer::new(service).accept_compressed(gzip));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            router.serve_with_incoming_shutdown(TcpIncoming::from(listener), stopped).await.unwrap();
        });
        Self { address, seen, stop, task }
    }

    /// Closes the listener and all connections.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

#[derive(Clone)]
struct Service(Arc<Mutex<Seen>>);

impl Service {
    fn next(&self, metadata: &MetadataMap) -> Answer {
        let mut seen = self.0.lock().unwrap();
        seen.metadata.push(metadata.clone());
        seen.answers.pop_front().unwrap_or(Answer::Fine)
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let answer = self.next(request.metadata());
        self.0.lock().unwrap().metrics.push(request.into_inner());
        let partial_success = match answer {
            Answer::Fine => None,
            Answer::Partial(rejected_data_points, message) => {
                Some(ExportMetricsPartialSuccess { rejected_data_points, error_message: message.into() })
            }
            Answer::Refuse(status) => return Err(status),
        };
        Ok(Response::new(ExportMetricsServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let answer = self.next(request.metadata());
        self.0.lock().unwrap().logs.push(request.into_inner());
        let partial_success = match answer {
            Answer::Fine => None,
            Answer::Partial(rejected_log_records, message) => {
                Some(ExportLogsPartialSuccess { rejected_log_records, error_message: message.into() })
            }
            Answer::Refuse(status) => return Err(status),
        };
        Ok(Response::new(ExportLogsServiceResponse { partial_success }))
    }
}
