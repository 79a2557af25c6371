//! An OTLP server over gRPC, with tonic's own decoding and scripted responses.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::Stream;
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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::ServerTlsConfig;
use tonic::transport::server::{Connected, TcpIncoming};
use tonic::{Request, Response, Status};
use tower::util::MapRequestLayer;

/// Response to one request.
pub enum Reply {
    Accept,
    Partial(i64, &'static str),
    Refuse(Status),
}

/// Requests that the server received, and its remaining replies.
#[derive(Default)]
pub struct Received {
    pub metrics: Vec<ExportMetricsServiceRequest>,
    pub logs: Vec<ExportLogsServiceRequest>,
    pub metadata: Vec<MetadataMap>,
    /// `:authority` of each request.
    pub authorities: Vec<String>,
    replies: VecDeque<Reply>,
}

/// A running server.
pub struct GrpcServer {
    /// `0.0.0.0:0` if it listens at a Unix socket.
    pub address: SocketAddr,
    pub received: Arc<Mutex<Received>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl GrpcServer {
    /// Starts a server that sends `replies` in this order and then accepts every request.
    pub async fn start(replies: Vec<Reply>) -> Self {
        Self::start_at("127.0.0.1:0", replies, None).await
    }

    pub async fn start_at(address: &str, replies: Vec<Reply>, tls: Option<ServerTlsConfig>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::serve(TcpIncoming::from(listener), address, replies, tls)
    }

    /// Starts a server at a Unix socket. It accepts every request.
    pub async fn start_unix(path: &Path, tls: Option<ServerTlsConfig>) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let incoming = futures_util::stream::unfold(listener, async |listener| {
            let accepted = listener.accept().await.map(|(stream, _)| stream);
            Some((accepted, listener))
        });
        Self::serve(incoming, SocketAddr::from(([0; 4], 0)), Vec::new(), tls)
    }

    fn serve<S>(
        incoming: impl Stream<Item = std::io::Result<S>> + Send + 'static,
        address: SocketAddr,
        replies: Vec<Reply>,
        tls: Option<ServerTlsConfig>,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let received = Arc::new(Mutex::new(Received { replies: replies.into(), ..Received::default() }));
        let service = Service(Arc::clone(&received));
        let mut server = tonic::transport::Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let gzip = CompressionEncoding::Gzip;
        let heads = Arc::clone(&received);
        let router = server
            .layer(MapRequestLayer::new(move |request: http::Request<tonic::body::Body>| {
                let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
                heads.lock().unwrap().authorities.push(authority);
                request
            }))
            .add_service(
                MetricsServiceServer::new(service.clone())
                    .accept_compressed(gzip)
                    .accept_compressed(CompressionEncoding::Zstd)
                    .send_compressed(gzip),
            )
            .add_service(
                LogsServiceServer::new(service)
                    .accept_compressed(gzip)
                    .accept_compressed(CompressionEncoding::Zstd),
            );
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            router.serve_with_incoming_shutdown(incoming, stopped).await.unwrap();
        });
        Self { address, received, stop, task }
    }

    /// Returns the number of requests so far.
    pub fn requests(&self) -> usize {
        self.received.lock().unwrap().authorities.len()
    }

    /// Closes the listener and all connections.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

#[derive(Clone)]
struct Service(Arc<Mutex<Received>>);

impl Service {
    fn next(&self, metadata: &MetadataMap) -> Reply {
        let mut received = self.0.lock().unwrap();
        received.metadata.push(metadata.clone());
        received.replies.pop_front().unwrap_or(Reply::Accept)
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let reply = self.next(request.metadata());
        self.0.lock().unwrap().metrics.push(request.into_inner());
        let partial_success = match reply {
            Reply::Accept => None,
            Reply::Partial(rejected_data_points, message) => {
                Some(ExportMetricsPartialSuccess { rejected_data_points, error_message: message.into() })
            }
            Reply::Refuse(status) => return Err(status),
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
        let reply = self.next(request.metadata());
        self.0.lock().unwrap().logs.push(request.into_inner());
        let partial_success = match reply {
            Reply::Accept => None,
            Reply::Partial(rejected_log_records, message) => {
                Some(ExportLogsPartialSuccess { rejected_log_records, error_message: message.into() })
            }
            Reply::Refuse(status) => return Err(status),
        };
        Ok(Response::new(ExportLogsServiceResponse { partial_success }))
    }
}
