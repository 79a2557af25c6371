//! A minimal daemon, for responses and failures that a real one cannot be made to produce.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

/// The fake daemon and its responses.
#[derive(Clone)]
pub struct FakeDaemon {
    responses: Arc<Mutex<Responses>>,
    events: broadcast::Sender<Option<String>>,
    folder: Arc<TempDir>,
}

#[derive(Default)]
struct Responses {
    list: String,
    inspections: HashMap<String, String>,
    requests: Vec<String>,
}

impl FakeDaemon {
    pub fn new() -> Self {
        Self {
            responses: Arc::default(),
            events: broadcast::channel(64).0,
            folder: Arc::new(TempDir::new().unwrap()),
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// Serves until the task is aborted.
    pub fn serve(&self) -> JoinHandle<()> {
        let _ = std::fs::remove_file(self.socket());
        let listener = UnixListener::bind(self.socket()).unwrap();
        let routes = Router::new()
            .route("/containers/json", get(list))
            .route("/containers/{id}/json", get(inspect))
            .route("/events", get(events))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() })
    }

    pub fn set_list(&self, list: &str) {
        self.responses.lock().unwrap().list = list.to_owned();
    }

    /// Sets the response for a container; one that has a `message` is sent as an error.
    pub fn set_inspection(&self, id: &str, inspection: &str) {
        self.responses.lock().unwrap().inspections.insert(id.to_owned(), inspection.to_owned());
    }

    /// Sends an event to all streams.
    pub fn send(&self, event: &str) {
        let _ = self.events.send(Some(format!("{event}\n")));
    }

    /// Ends all streams of events.
    pub fn cut(&self) {
        let _ = self.events.send(None);
    }

    /// Returns the number of requests for `what`.
    pub fn requests(&self, what: &str) -> usize {
        self.responses.lock().unwrap().requests.iter().filter(|request| *request == what).count()
    }

    /// Waits until the events were requested `times` times.
    pub async fn until_followed(&self, times: usize) {
        let followed = async {
            while self.requests("events") < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), followed).await.unwrap();
    }

    fn note(&self, what: &str) {
        self.responses.lock().unwrap().requests.push(what.to_owned());
    }
}

async fn list(State(daemon): State<FakeDaemon>) -> String {
    daemon.note("list");
    daemon.responses.lock().unwrap().list.clone()
}

async fn inspect(State(daemon): State<FakeDaemon>, Path(id): Path<String>) -> Response {
    daemon.note("inspect");
    match daemon.responses.lock().unwrap().inspections.get(&id) {
        Some(response) if response.contains("message") => {
            (StatusCode::INTERNAL_SERVER_ERROR, response.clone()).into_response()
        }
        Some(response) => response.clone().into_response(),
        None => (StatusCode::NOT_FOUND, r#"{"message": "No such container"}"#).into_response(),
    }
}

async fn events(State(daemon): State<FakeDaemon>) -> Response {
    let events = daemon.events.subscribe();
    daemon.note("events");
    let stream = futures_util::stream::unfold(events, |mut events| async {
        let event = events.recv().await.ok()??;
        Some((Ok::<_, std::io::Error>(Bytes::from(event)), events))
    });
    Body::from_stream(stream).into_response()
}
