//! A real browser: Debian's Chromium without a screen, controlled by ChromeDriver with the WebDriver protocol
//! (<https://www.w3.org/TR/webdriver2/>).

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use longwave_testing::gate;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http;

/// A running Chromium with one window. It is closed when dropped.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    /// Path of the WebDriver session.
    session: String,
    _profile: TempDir,
}

/// Arguments of Chromium: nothing is looked up outside the machine, and root needs no sandbox.
const ARGUMENTS: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

// === impl Browser ===

impl Browser {
    /// Starts Chromium with a window of this size in pixels. Skips the test if it is not installed.
    ///
    /// # Panics
    /// If it is missing and `LONGWAVE_REQUIRE_PEERS` is `1`, or if it does not start.
    pub fn start(width: u32, height: u32) -> Self {
        let driver = Command::new("chromedriver")
            .args(["--port=0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut driver) = driver else {
            gate::missing("no chromedriver (Debian: chromium-driver)", "LONGWAVE_REQUIRE_PEERS")
        };
        let output = driver.stdout.take().expect("its output is a pipe");
        let mut lines = BufReader::new(output).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let port = line.strip_prefix("ChromeDriver was started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let port = port.expect("chromedriver prints its port");
        // So that it never waits for a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let profile = TempDir::new().expect("a directory for its profile");
        let mut arguments: Vec<String> = ARGUMENTS.map(str::to_owned).into();
        arguments.push(format!("--window-size={width},{height}"));
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut browser = Self { driver, address, session: "/session".to_owned(), _profile: profile };
        let capabilities = json!({"alwaysMatch": {"goog:chromeOptions": {"args": arguments}, "timeouts": {"script": 60_000}}});
        let started = browser.post("", json!({"capabilities": capabilities}));
        browser.session += &format!("/{}", started["sessionId"].as_str().expect("a session"));
        browser
    }

    /// Opens a page and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.post("/url", json!({"url": url}));
    }

    /// Runs the body of a script's function in the page, and returns what it returns. It waits for a promise.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": []}))
    }

    /// Sends a command.
    ///
    /// # Panics
    /// If it fails, with the error of the browser.
    fn post(&self, command: &str, body: Value) -> Value {
        let path = format!("{}{command}", self.session);
        let (status, response) =
            http::post(self.address, &path, &body.to_string()).expect("chromedriver responds");
        assert_eq!(status, 200, "{command}: {response}");
        let mut response: Value = serde_json::from_str(&response).expect("JSON");
        response["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium ends with its session. The driver is killed in any case.
        let _ = http::delete(self.address, &self.session);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
