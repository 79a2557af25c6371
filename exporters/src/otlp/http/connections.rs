//! [`ConnectionConfig`]: settings of HTTP connections, with the Collector's names.

use std::time::Duration;

use longwave_config::GoDuration;
use longwave_pipeline::component::Problems;
use schemars::JsonSchema;
use serde::de::MapAccess;
use serde::{Deserialize, Serialize};

/// Settings of connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(default)]
pub struct ConnectionConfig {
    /// Use of connections for several requests. Default: the defaults of the settings below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<HttpKeepaliveConfig>,
    /// As `keepalive::idle_conn_timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"90s")]
    pub idle_conn_timeout: Option<GoDuration>,
    /// As `keepalive::max_idle_conns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 100)]
    pub max_idle_conns: Option<u64>,
    /// As `keepalive::max_idle_conns_per_host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 10)]
    pub max_idle_conns_per_host: Option<u64>,
    /// The opposite of `keepalive::enabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = true)]
    pub disable_keep_alives: Option<bool>,
    /// Maximum number of connections; no limit if zero.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(example = 10)]
    pub max_conns_per_host: u64,
    /// Settings that are not supported, each with the remedy.
    #[serde(skip)]
    unsupported: Vec<(&'static str, &'static str)>,
}

/// Use of connections for several requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpKeepaliveConfig {
    /// Whether a connection is used for several requests.
    pub enabled: bool,
    /// Time after which an idle connection is closed; never if zero.
    pub idle_conn_timeout: GoDuration,
    /// Maximum number of idle connections; no limit if zero.
    pub max_idle_conns: u64,
    /// Maximum number of idle connections to one host; no limit if zero. In the Collector zero means 2.
    pub max_idle_conns_per_host: u64,
}

/// `cookies`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
struct CookiesConfig {
    enabled: bool,
}

/// Longest `idle_conn_timeout`.
const MAX_IDLE: GoDuration = GoDuration::from_secs(24 * 3600);
/// Largest limit on connections.
const MAX_CONNECTIONS: u64 = 1_000_000;
/// Remedy for settings of HTTP/2.
const HTTP2: &str = "otlp_http uses HTTP/1.1: remove the setting (otlp_grpc uses HTTP/2, and has keepalive)";
/// Remedy for sizes of buffers.
const BUFFERS: &str = "the HTTP client has no such buffer: remove the setting (otlp_grpc has it)";

fn is_zero(number: &u64) -> bool {
    *number == 0
}

// === impl ConnectionConfig ===

impl ConnectionConfig {
    /// Keys of the section.
    pub(super) const KEYS: [&'static str; 12] = [
        "keepalive",
        "idle_conn_timeout",
        "max_idle_conns",
        "max_idle_conns_per_host",
        "disable_keep_alives",
        "max_conns_per_host",
        "http2_read_idle_timeout",
        "http2_ping_timeout",
        "force_attempt_http2",
        "read_buffer_size",
        "write_buffer_size",
        "cookies",
    ];

    /// Reads the value of a key that is one of [`Self::KEYS`]. Returns false, and reads nothing, if the key is not.
    pub(super) fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "keepalive" => self.keepalive = map.next_value()?,
            "idle_conn_timeout" => self.idle_conn_timeout = map.next_value()?,
            "max_idle_conns" => self.max_idle_conns = map.next_value()?,
            "max_idle_conns_per_host" => self.max_idle_conns_per_host = map.next_value()?,
            "disable_keep_alives" => self.disable_keep_alives = map.next_value()?,
            "max_conns_per_host" => self.max_conns_per_host = map.next_value()?,
            "http2_read_idle_timeout" => {
                let is_set = !map.next_value::<GoDuration>()?.get().is_zero();
                self.refuse_if(is_set, "http2_read_idle_timeout", HTTP2);
            }
            "http2_ping_timeout" => {
                let is_set = !map.next_value::<GoDuration>()?.get().is_zero();
                self.refuse_if(is_set, "http2_ping_timeout", HTTP2);
            }
            "force_attempt_http2" => {
                let is_set = map.next_value()?;
                self.refuse_if(is_set, "force_attempt_http2", HTTP2);
            }
            "read_buffer_size" => {
                let is_set = map.next_value::<u64>()? > 0;
                self.refuse_if(is_set, "read_buffer_size", BUFFERS);
            }
            "write_buffer_size" => {
                let is_set = map.next_value::<u64>()? > 0;
                self.refuse_if(is_set, "write_buffer_size", BUFFERS);
            }
            "cookies" => {
                let is_set = map.next_value::<CookiesConfig>()?.enabled;
                self.refuse_if(
                    is_set,
                    "cookies",
                    "cookies of the server are not supported: remove the setting, or set enabled: false",
                );
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn refuse_if(&mut self, is_set: bool, key: &'static str, remedy: &'static str) {
        if is_set {
            self.unsupported.push((key, remedy));
        }
    }

    /// Reports what is not supported, too large, or set twice.
    pub(super) fn validate(&self, problems: &mut Problems) {
        for (key, remedy) in &self.unsupported {
            problems.at(*key, *remedy);
        }
        let old = [
            ("idle_conn_timeout", self.idle_conn_timeout.is_some()),
            ("max_idle_conns", self.max_idle_conns.is_some()),
            ("max_idle_conns_per_host", self.max_idle_conns_per_host.is_some()),
            ("disable_keep_alives", self.disable_keep_alives.is_some()),
        ];
        for (key, is_set) in old {
            if is_set && self.keepalive.is_some() {
                problems.at(key, "cannot be combined with keepalive: move it there");
            }
        }
        let keepalive = self.keepalive();
        let (path, separator) = if self.keepalive.is_some() { ("keepalive", "::") } else { ("", "") };
        let key = |name: &str| format!("{path}{separator}{name}");
        problems.at_most(&key("idle_conn_timeout"), keepalive.idle_conn_timeout, MAX_IDLE);
        problems.at_most(&key("max_idle_conns"), keepalive.max_idle_conns, MAX_CONNECTIONS);
        problems.at_most(&key("max_idle_conns_per_host"), keepalive.max_idle_conns_per_host, MAX_CONNECTIONS);
        problems.at_most("max_conns_per_host", self.max_conns_per_host, MAX_CONNECTIONS);
    }

    /// Returns `keepalive`, or what the older settings say instead.
    fn keepalive(&self) -> HttpKeepaliveConfig {
        let default = HttpKeepaliveConfig::default();
        self.keepalive.clone().unwrap_or(HttpKeepaliveConfig {
            enabled: self.disable_keep_alives != Some(true),
            idle_conn_timeout: self.idle_conn_timeout.unwrap_or(default.idle_conn_timeout),
            max_idle_conns: self.max_idle_conns.unwrap_or(default.max_idle_conns),
            max_idle_conns_per_host: self.max_idle_conns_per_host.unwrap_or(default.max_idle_conns_per_host),
        })
    }

    /// Returns whether a connection is used for several requests.
    pub(super) fn is_kept_alive(&self) -> bool {
        self.keepalive().enabled
    }

    /// Returns the maximum number of idle connections.
    pub(super) fn max_idle(&self) -> usize {
        let keepalive = self.keepalive();
        if !keepalive.enabled {
            return 0;
        }
        let limits = [keepalive.max_idle_conns, keepalive.max_idle_conns_per_host];
        let smallest = limits.into_iter().filter(|limit| *limit > 0).min();
        smallest.map_or(usize::MAX, |limit| limit as usize)
    }

    /// Returns the time after which an idle connection is closed; `None`: never.
    pub(super) fn idle_limit(&self) -> Option<Duration> {
        Some(self.keepalive().idle_conn_timeout.get()).filter(|limit| !limit.is_zero())
    }
}

// === impl HttpKeepaliveConfig ===

impl Default for HttpKeepaliveConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            idle_conn_timeout: GoDuration::from_secs(90),
            max_idle_conns: 100,
            max_idle_conns_per_host: 0,
        }
    }
}

// === impl CookiesConfig ===

impl Default for CookiesConfig {
    fn default() -> Self {
        // As in the Collector, the section alone enables them.
        Self { enabled: true }
    }
}
