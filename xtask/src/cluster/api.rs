//! Requests to the API server, sent by curl with the rights of the administrator.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::layout::{Layout, api_url};
use crate::sh;

/// Time between two checks whether a component is running or ready.
pub const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Returns a curl command for a path of the API.
fn curl(layout: &Layout, path: &str) -> Command {
    let mut command = Command::new("/usr/bin/curl");
    command.args(["--silent", "--show-error", "--fail", "--no-buffer", "--noproxy", "*", "--cacert"]);
    command.arg(layout.ca()).arg("--header").arg(format!("@{}", layout.header().display()));
    command.arg(format!("{}{path}", api_url()));
    command
}

/// Returns whether the API server reports that it is ready.
pub fn ready(layout: &Layout) -> bool {
    let mut command = curl(layout, "/readyz");
    sh::output_silent(command.args(["--max-time", "5"])).is_ok_and(|answer| answer == "ok")
}

/// A curl process that watches a collection until it is dropped.
struct Watch(Child);

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Watches a collection until an object satisfies `wanted`. Calls `healthy` repeatedly during the wait, and returns its error if it fails.
pub fn wait_for(
    layout: &Layout,
    collection: &str,
    limit: Duration,
    wanted: impl Fn(&Value) -> bool,
    healthy: impl Fn() -> Result<()>,
) -> Result<()> {
    let until = Instant::now() + limit;
    while Instant::now() < until {
        let path = format!("{collection}?watch=true&timeoutSeconds={}", limit.as_secs());
        let child =
            curl(layout, &path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut watch = Watch(child.context("cluster: curl could not be started: install curl")?);
        let lines = sh::lines(&mut watch.0)?;
        while Instant::now() < until {
            match lines.recv_timeout(POLL_INTERVAL) {
                Ok(line) => {
                    let event: Value = serde_json::from_str(&line).unwrap_or_default();
                    if event["type"] != "ERROR" && wanted(&event["object"]) {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => healthy()?,
                // The API server may still be loading the roles. The next watch starts from the current state.
                Err(RecvTimeoutError::Disconnected) => {
                    healthy()?;
                    std::thread::sleep(POLL_INTERVAL);
                    break;
                }
            }
        }
    }
    bail!("not seen within {} s", limit.as_secs())
}
