//! The part of the daemon's API that is used.

use std::collections::HashMap;

use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptions, InspectContainerOptions, ListContainersOptions};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::stream::{BoxStream, StreamExt};
use longwave_pipeline::component::innermost;
use longwave_pipeline::model::UnixNanos;

use super::address::DaemonAddress;
use super::container::{Container, ContainerId};

/// Limit of one request in seconds. A daemon that is starting containers is slow to respond.
const TIME_LIMIT: u64 = 20;

/// Events that change names, addresses or ports, as Docker and Podman call them.
const EVENTS: [&str; 9] =
    ["create", "start", "die", "died", "rename", "destroy", "remove", "connect", "disconnect"];

/// Client of one daemon.
pub(super) struct Client {
    docker: Docker,
}

/// An event of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContainerEvent {
    pub container: ContainerId,
    pub kind: EventKind,
    pub at: UnixNanos,
}

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    /// The container was started or got an address. Its current addresses and ports are valid since the event.
    Started,
    /// Anything else: the container has to be inspected.
    Changed,
    /// The container was removed.
    Removed,
}

/// The daemon did not respond as expected.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// The socket or the request failed. Shows the innermost cause, since the library's own message contains only that a request failed.
    #[error("{}", innermost(.0))]
    Request(#[from] bollard::errors::Error),
    /// There was no response within [`TIME_LIMIT`].
    #[error("no response within {TIME_LIMIT} s")]
    TimeLimit,
    /// The daemon ended the stream of events.
    #[error("the daemon ended the stream of events")]
    StreamEnded,
}

// === impl Client ===

impl Client {
    /// Creates a client. Each request connects. Requests contain no API version, so the daemon uses its own, and daemons of all versions
    /// work.
    pub fn new(address: &DaemonAddress) -> Result<Self, ClientError> {
        let docker = match address {
            DaemonAddress::Unix(path) => Docker::connect_with_unix(path, TIME_LIMIT, API_DEFAULT_VERSION),
            DaemonAddress::Tcp(address) => {
                Docker::connect_with_http(address, TIME_LIMIT, API_DEFAULT_VERSION)
            }
        };
        Ok(Self { docker: docker? })
    }

    /// Lists all running containers.
    pub async fn running(&self) -> Result<Vec<Container>, ClientError> {
        let summaries = limited(self.docker.list_containers(None::<ListContainersOptions>)).await?;
        Ok(summaries.into_iter().filter_map(Container::from_summary).collect())
    }

    /// Inspects a container. `None` if there is none with this id.
    pub async fn inspect(&self, id: ContainerId) -> Result<Option<Container>, ClientError> {
        use bollard::errors::Error::DockerResponseServerError;
        let id = id.to_string();
        match limited(self.docker.inspect_container(&id, None::<InspectContainerOptions>)).await {
            Ok(inspected) => Ok(Container::from_inspection(inspected)),
            // Podman reports it as 500 if the container is being removed.
            Err(ClientError::Request(DockerResponseServerError { status_code, message }))
                if status_code == 404 || message.to_lowercase().contains("no such container") =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Follows the events from `since` on. May return events of up to a second before it.
    pub fn events(&self, since: UnixNanos) -> BoxStream<'static, Result<ContainerEvent, ClientError>> {
        let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        let filters = HashMap::from([
            ("type".to_owned(), list(&["container", "network"])),
            ("event".to_owned(), list(&EVENTS)),
        ]);
        let since = (since.0 / 1_000_000_000).to_string();
        let options = EventsOptions { since: Some(since), until: None, filters: Some(filters) };
        let events = self.docker.clone().events(Some(options));
        events
            .filter_map(async |message| match message {
                Ok(message) => ContainerEvent::from_message(message).map(Ok),
                Err(error) => Some(Err(ClientError::from(error))),
            })
            .boxed()
    }
}

/// Limits the time of a whole request. The library's limit does not include the body of the response.
async fn limited<T>(
    request: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, ClientError> {
    let limit = std::time::Duration::from_secs(TIME_LIMIT);
    Ok(tokio::time::timeout(limit, request).await.map_err(|_| ClientError::TimeLimit)??)
}

// === impl ContainerEvent ===

impl ContainerEvent {
    /// Decodes a message. Returns `None` if it is not an event of a container.
    fn from_message(message: EventMessage) -> Option<Self> {
        let actor = message.actor?;
        let action = message.action?;
        let of_network = matches!(action.as_str(), "connect" | "disconnect");
        let id = if of_network { actor.attributes?.get("container")?.clone() } else { actor.id? };
        let nanos = message.time_nano.or_else(|| message.time?.checked_mul(1_000_000_000))?;
        let kind = match action.as_str() {
            "start" | "connect" => EventKind::Started,
            "destroy" | "remove" => EventKind::Removed,
            _ => EventKind::Changed,
        };
        Some(Self { container: ContainerId::parse(&id)?, kind, at: UnixNanos(u64::try_from(nanos).ok()?) })
    }
}

// === impl ClientError ===

impl ClientError {
    /// Returns whether the daemon responded with an error or with a body that cannot be decoded. Then the connection to it still works.
    pub fn is_response(&self) -> bool {
        use bollard::errors::Error::{DockerResponseServerError, JsonDataError, JsonSerdeError};
        matches!(
            self,
            Self::Request(JsonDataError { .. } | JsonSerdeError { .. } | DockerResponseServerError { .. })
        )
    }

    /// Returns what the user can do about it.
    pub fn remedy(&self, address: &DaemonAddress) -> String {
        let text = self.to_string();
        match address {
            DaemonAddress::Unix(path) if text.contains("Permission denied") => format!(
                "{path} is for root and its group only: run longwave as root or in that group (usually docker)"
            ),
            DaemonAddress::Unix(path)
                if text.contains("ocket not found") || text.contains("No such file") =>
            {
                format!(
                    "is Docker running, and {path} mounted where longwave runs in a container? Podman: systemctl enable --now podman.socket and endpoint: unix:///run/podman/podman.sock"
                )
            }
            DaemonAddress::Unix(_) => "is the daemon running? (systemctl status docker)".to_owned(),
            DaemonAddress::Tcp(address) => {
                format!("is a daemon listening at {address} without TLS, and reachable from here?")
            }
        }
    }
}
