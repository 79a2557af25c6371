//! `longwave init`: writes a commented configuration for this host.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, anyhow};

use super::check::host_facts::docker_socket;
use super::check::view::View;
use super::default::{self, Names};
use super::print;

/// Writes the configuration to a new file, or to stdout if `path` is `-`.
///
/// # Errors
/// The file exists, or cannot be written.
pub(super) fn run(path: &Path) -> anyhow::Result<()> {
    let text = configuration(&View::of_this_process());
    if path == Path::new("-") {
        return print(&text);
    }
    let shown = path.display();
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                anyhow!("{shown} exists and is not overwritten: give another path (`longwave init PATH`)")
            }
            _ => anyhow!(error).context(format!("cannot create {shown}")),
        })?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {shown}"))?;
    print(&format!("{shown} is written. To run it: longwave --config {shown}\n"))
}

/// Returns the configuration as text. Extensions are active where `view` has what they need, else they are comments.
pub(super) fn configuration(view: &View) -> String {
    let Names { extensions: ids, .. } = default::names(view);
    let is_active = |id| ids.contains(&id);
    let mut text = HEAD.to_owned();
    let has_extensions = !ids.is_empty();
    text += if has_extensions { "extensions:\n" } else { "# extensions:\n" };
    let mut extension = |is_active: bool, about: &str, lines: &[String]| {
        // Under the heading "# extensions:" a comment stays one when the block becomes active.
        let prefix = if has_extensions { "" } else { "# " };
        text += &format!("{prefix}  # {about}\n");
        let prefix = match (has_extensions, is_active) {
            (true, true) => "  ",
            (true, false) => "  # ",
            (false, _) => "#   ",
        };
        lines.iter().for_each(|line| text += &format!("{prefix}{line}\n"));
    };
    extension(
        is_active("kubernetes"),
        "Names of pods, owners and services from the API server. Needs a pod.",
        &["kubernetes:".to_owned()],
    );
    let socket = docker_socket(view).unwrap_or("/var/run/docker.sock");
    extension(
        is_active("docker"),
        "Names of containers from Docker or Podman.",
        &["docker:".to_owned(), format!("  endpoint: unix://{socket}")],
    );
    let sources: Vec<&str> = ids.iter().copied().chain(["cgroup"]).collect();
    let prefix = if has_extensions { "  " } else { "  # " };
    let ids = if has_extensions { ids.join(", ") } else { "kubernetes".to_owned() };
    let service = format!("{prefix}service:\n{prefix}  sources: [{ids}]\n");
    let started = format!("{prefix}extensions: [{ids}]\n");
    let processors = if has_extensions { "workload, service, window" } else { "workload, window" };
    text + &BODY
        .replace("{sources}", &sources.join(", "))
        .replace("{service}", &service)
        .replace("{started}", &started)
        .replace("{processors}", processors)
}

const HEAD: &str = "\
# Configuration of Longwave, written by `longwave init` for this host. The text after `#` is a comment.
#   longwave validate --config FILE   checks it.
#   longwave run --config FILE        runs it.
#   longwave print-config --config FILE   prints it with all defaults.
# Sources of names, besides the cgroup tree of this host.
";

const BODY: &str = "
receivers:
  bpf:
    # Time between two records of a connection.
    interval: 5s
    # Only connections of the sockets in this cgroup and below; `*` matches any name.
    # cgroup: /system.slice/*

processors:
  # Adds the workload of both ends: the first source that resolves an end wins.
  workload:
    sources: [{sources}]
  # Adds the service to which the client connected.
{service}  # Makes a window of each interval, with one series for each flow.
  window:
    interval: 5s
    # service: source workload to service. workload: source to destination workload. connection: also addresses and ports.
    levels: [service, workload]

exporters:
  # A table on a terminal, JSON lines in a pipe.
  stdout:
  # Sends to an OpenTelemetry Collector. Uncomment it, and add it to the exporters of the pipeline below.
  # otlp_grpc:
  #   endpoint: localhost:4317
  #   tls:
  #     insecure: true
  # Serves http://localhost:9464/metrics. Uncomment it, and add it to the exporters of the pipeline below.
  # prometheus:
  #   endpoint: localhost:9464

service:
{started}  pipelines:
    metrics:
      receivers: [bpf]
      processors: [{processors}]
      exporters: [stdout]
    # One line for each event of a connection. Uncomment it to get access logs.
    # logs:
    #   receivers: [bpf]
    #   processors: [workload]
    #   exporters: [stdout]
";
