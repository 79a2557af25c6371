//! The real Prometheus, from Debian's package, and its `promtool`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longwave_testing::gate;
use serde_json::Value;
use tempfile::TempDir;

use crate::longwave::free_address;
use crate::{cache, cgroup, http};

/// A running Prometheus. It is killed when dropped.
pub struct Prometheus {
    child: Child,
    folder: TempDir,
    /// Address of its API.
    pub address: SocketAddr,
}

/// A series of the result of a query, with its last value.
#[derive(Clone, Debug)]
pub struct Series {
    /// Labels, including `__name__` if there is one.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

/// Range of the samples that are read: all, since recorded connections are old.
const RANGE: &str = "100y";

/// Time limit of a start.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Skips the test if Prometheus is not installed.
///
/// # Panics
/// If it is missing and `LONGWAVE_REQUIRE_PEERS` is `1`.
pub fn require() {
    for program in ["prometheus", "promtool"] {
        let version =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if version.is_err() {
            gate::missing(&format!("no {program} (Debian: prometheus)"), "LONGWAVE_REQUIRE_PEERS");
        }
    }
}

/// Runs `promtool`.
///
/// # Panics
/// If it fails, with its output.
pub fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool {arguments:?}: {}", String::from_utf8_lossy(&text));
}

// === impl Prometheus ===

impl Prometheus {
    /// Starts Prometheus with a configuration and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready, with its log.
    pub fn start(config: &Value) -> Self {
        Self::start_program(Path::new("prometheus"), &[], config)
    }

    /// Starts the Prometheus that `cargo xtask peers` builds, with more arguments. Skips the test if it is missing.
    ///
    /// # Panics
    /// If it is missing and `LONGWAVE_REQUIRE_PEERS` is `1`, or if it does not become ready, with its log.
    pub fn start_current(arguments: &[&str], config: &Value) -> Self {
        let program = cache::peers().join("prometheus-0.310.0/prometheus");
        if !program.is_file() {
            let missing = format!("no Prometheus at {} (build it: cargo xtask peers)", program.display());
            gate::missing(&missing, "LONGWAVE_REQUIRE_PEERS");
        }
        Self::start_program(&program, arguments, config)
    }

    fn start_program(program: &Path, arguments: &[&str], config: &Value) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("prometheus.yaml");
        std::fs::write(&path, config.to_string()).unwrap();
        let address = free_address();
        let _lock = cgroup::lock_original();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(arguments)
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut prometheus = Self { child, folder, address };
        prometheus.await_ready();
        prometheus
    }

    fn await_ready(&mut self) {
        let end = Instant::now() + START_LIMIT;
        while !self.get("/-/ready").is_ok_and(|(status, _)| status == 200) {
            let ended = self.child.try_wait().unwrap();
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < end, "Prometheus is not ready: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Evaluates an expression now.
    ///
    /// # Errors
    /// If Prometheus refuses the expression, with its message.
    pub fn query(&self, expression: &str) -> Result<Vec<Series>, String> {
        let data = self.evaluate(expression)?;
        let vector = match data["resultType"].as_str() {
            Some("vector") => data["result"].as_array().cloned().unwrap_or_default(),
            other => return Err(format!("no vector but {other:?}")),
        };
        Ok(vector.iter().map(Series::parse).collect())
    }

    fn evaluate(&self, expression: &str) -> Result<Value, String> {
        let path = format!("/api/v1/query?query={}", percent_encoded(expression));
        let (_, body) = self.get(&path).map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        Ok(answer["data"].clone())
    }

    /// Returns how much the counters that `selector` matches were increased. A counter begins at zero. A decrease is a
    /// reset to zero, as in Prometheus.
    ///
    /// # Errors
    /// If Prometheus refuses the selector, with its message.
    pub fn increase(&self, selector: &str) -> Result<u64, String> {
        let steps = self.steps(selector)?;
        let increase = |(before, value): &(f64, f64)| if value < before { *value } else { value - before };
        Ok(steps.iter().flatten().map(increase).sum::<f64>() as u64)
    }

    /// Waits until the counters that `selector` matches were increased by `expected`. The samples of a scrape appear after its response.
    ///
    /// # Panics
    /// If that takes too long, with `what` and the increase.
    pub fn assert_increase(&self, what: &str, selector: &str, expected: u64) {
        let end = Instant::now() + START_LIMIT;
        let mut found = self.increase(selector).unwrap();
        while found < expected && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
            found = self.increase(selector).unwrap();
        }
        assert_eq!(found, expected, "{what}: {selector}");
    }

    /// Returns the largest number of decreases of a series that `selector` matches.
    ///
    /// # Errors
    /// If Prometheus refuses the selector, with its message.
    pub fn resets(&self, selector: &str) -> Result<usize, String> {
        let steps = self.steps(selector)?;
        let resets = steps.iter().map(|steps| steps.iter().filter(|(before, value)| value < before).count());
        Ok(resets.max().unwrap_or(0))
    }

    /// Returns each sample after the one before it, by series. The first is after zero.
    fn steps(&self, selector: &str) -> Result<Vec<Vec<(f64, f64)>>, String> {
        let data = self.evaluate(&format!("{selector}[{RANGE}]"))?;
        let series = data["result"].as_array().cloned().unwrap_or_default();
        let steps = series.iter().map(|series| {
            let samples = series["values"].as_array().into_iter().flatten();
            let values: Vec<f64> = samples.filter_map(|sample| sample[1].as_str()?.parse().ok()).collect();
            std::iter::once(0.0).chain(values.iter().copied()).zip(values.iter().copied()).collect()
        });
        Ok(steps.collect())
    }

    /// Waits until `number` targets have been scraped.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn await_targets(&self, number: usize) {
        let end = Instant::now() + START_LIMIT;
        while self.query("up == 1").map_or(0, |up| up.len()) < number {
            assert!(Instant::now() < end, "fewer than {number} targets are up");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Returns all rules with their state.
    pub fn rules(&self) -> Vec<Value> {
        let (_, body) = self.get("/api/v1/rules").unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap();
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
    }

    fn get(&self, path: &str) -> io::Result<(u16, String)> {
        http::get(self.address, path, "*/*")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Series ===

impl Series {
    fn parse(series: &Value) -> Self {
        let value = series["value"][1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
        Self { labels: labels(series), value }
    }
}

fn labels(series: &Value) -> BTreeMap<String, String> {
    let labels = series["metric"].as_object().into_iter().flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Fails if `promtool check metrics` has a complaint about the page `/metrics` at `address`.
///
/// # Panics
/// If it has one, with its text.
pub fn check_page(address: SocketAddr) {
    let (status, page) = http::get(address, "/metrics", "text/plain").unwrap();
    assert_eq!(status, 200);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && text.is_empty(), "{}", String::from_utf8_lossy(&text));
}
