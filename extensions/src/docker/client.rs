//! The daemon's API, as far as it is asked.

use std::collections::HashMap;

use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptions, InspectContainerOptions, ListContainersOptions};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::stream::{BoxStream, StreamExt};
use longwave_pipeline::component::innermost;
use longwave_pipeline::model::UnixNanos;

use super::address::DaemonAddress;
use super::container::{Container, ContainerId};

/// Of one request, in seconds: a daemon that is busy starting containers answers late.
const TIME_LIMIT: u64 = 20;

/// Events that change names, addresses or ports; Podman's words as well as Docker's.
const EVENTS: [&str; 9] =
    ["create", "start", "die", "died", "rename", "destroy", "remove", "connect", "disconnect"];

/// A connection to a daemon.
pub(super) struct Client {
    docker: Docker,
}

/// Something happened to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContainerEvent {
    pub container: ContainerId,
    pub kind: EventKind,
    pub at: UnixNanos,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    /// It was given an address, or was started: what it has now, it has since.
    Started,
    /// Something else: what it has, is to be asked for.
    Changed,
    /// It is no more.
    Removed,
}

/// The daemon did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// The socket, or the request. The innermost cause says what happened; the library's own words address_sets it say that it was a request.
    #[error("{}", innermost(.0))]
    Request(#[from] bollard::errors::Error),
    /// It has not answered within [`TIME_LIMIT`].
    #[error("no answer within {TIME_LIMIT} s")]
    TimeLimit,
    /// It said that there will be no more events.
    #[error("the daemon ended the stream of events")]
    StreamEnded,
}

// === impl Client ===

impl Client {
    /// To be connected with each request, which goes without a version: the daemon's own, so that no daemon is too old.
    pub fn new(address: &DaemonAddress) -> Result<Self, ClientError> {
        let docker = match address {
            DaemonAddress::Unix(path) => Docker::connect_with_unix(path, TIME_LIMIT, API_DEFAULT_VERSION),
            DaemonAddress::Tcp(address) => {
                Docker::connect_with_http(address, TIME_LIMIT, API_DEFAULT_VERSION)
            }
        };
        Ok(Self { docker: docker? })
    }

    /// All containers that run.
    pub async fn running(&self) -> Result<Vec<Container>, ClientError> {
        let summaries = limited(self.docker.list_containers(None::<ListContainersOptions>)).await?;
        Ok(summaries.into_iter().filter_map(Container::of_summary).collect())
    }

    /// What is true of a container; `None` where there is none of this id.
    pub async fn inspect(&self, id: ContainerId) -> Result<Option<Container>, ClientError> {
        use bollard::errors::Error::DockerResponseServerError;
        let id = id.to_string();
        match limited(self.docker.inspect_container(&id, None::<InspectContainerOptions>)).await {
            Ok(inspected) => Ok(Container::of_inspection(inspected)),
            // Podman says so with 500 where the container is removed meanwhile.
            Err(ClientError::Request(DockerResponseServerError { status_code, message }))
                if status_code == 404 || message.to_lowercase().contains("no such container") =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What happens from `since` on, a second or so before it included.
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
                Ok(message) => ContainerEvent::of(message).map(Ok),
                Err(error) => Some(Err(ClientError::from(error))),
            })
            .boxed()
    }
}

/// The library bounds the wait for an answer's head only.
async fn limited<T>(
    request: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, ClientError> {
    let limit = std::time::Duration::from_secs(TIME_LIMIT);
    Ok(tokio::time::timeout(limit, request).await.map_err(|_| ClientError::TimeLimit)??)
}

// === impl ContainerEvent ===

impl ContainerEvent {
    /// `None` where it is of no container.
    fn of(message: EventMessage) -> Option<Self> {
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
    /// The daemon answered, but with an error or not as this client reads it: the connection is not at fault.
    pub fn is_answer(&self) -> bool {
        use bollard::errors::Error::{DockerResponseServerError, JsonDataError, JsonSerdeError};
        matches!(
            self,
            Self::Request(JsonDataError { .. } | JsonSerdeError { .. } | DockerResponseServerError { .. })
        )
    }

    /// What to do about it.
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
