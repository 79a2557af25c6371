//! Settings of fictitious components, and helpers to load and decode.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use longwave_config::{
    ByteSize, ComponentId, ConfigErrors, ConfigPath, GoDuration, Loaded, Secret, Sources, Value, decode, load,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Window {
    pub interval: GoDuration,
    pub levels: Vec<Level>,
    pub min_age: Option<GoDuration>,
    pub max_series: u32,
    pub ports: Vec<u16>,
    pub idle_records: bool,
    pub ratio: f64,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            interval: GoDuration::from_secs(5),
            levels: vec![Level::Service, Level::Workload],
            min_age: None,
            max_series: 10_000,
            ports: Vec::new(),
            idle_records: true,
            ratio: 0.5,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Service,
    Workload,
    Connection,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Otlp {
    pub endpoint: String,
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    #[serde(default)]
    pub tls: Tls,
    #[serde(default)]
    pub sending_queue: Queue,
    #[serde(default)]
    pub extra: Value,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tls {
    pub insecure: bool,
    pub ca_file: Option<String>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue {
    pub size: ByteSize,
    pub num_consumers: Option<NonZeroU32>,
    pub storage: Option<ComponentId>,
}

/// Environment variables of all tests.
pub fn environment(name: &str) -> Option<String> {
    let value = match name {
        "NUMBER" => "0123",
        "PLAIN" => "42",
        "EMPTY" => "",
        "TOKEN" => "s3cr3t-t0k3n",
        "HOST" => "collector",
        "DURATION" => "10s",
        "BAD_DURATION" => "5sec",
        "INJECTION" => "x\n- y: {z: 1}\n# ",
        "PORTS" => "80,443",
        "PORT" => "80",
        "LOOP" => "${env:LOOP}",
        "SPIRAL" => "a${env:SPIRAL}",
        "TWICE" => "${env:HOST}:${env:PLAIN}",
        "MAP" => "{interval: 7s}",
        "QUOTED" => "\"5\"",
        "DOLLARS" => "pa$$word",
        _ => return None,
    };
    Some(value.to_owned())
}

pub fn sources(configs: &[&str]) -> Sources {
    Sources::new(configs.iter().map(|text| (*text).to_owned()).collect(), Vec::new())
        .with_environment(environment)
}

/// Loads YAML texts in order, as if they were files.
pub fn load_yaml(texts: &[&str]) -> Result<Loaded, ConfigErrors> {
    let inline: Vec<String> = texts.iter().map(|text| format!("yaml:{text}")).collect();
    load(&sources(&inline.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// Loads `settings` as the section `processors::window` and decodes them.
pub fn settings<T: DeserializeOwned>(settings: &str) -> Result<T, String> {
    let indented = settings.replace('\n', "\n    ");
    let loaded =
        load_yaml(&[&format!("processors:\n  window:\n    {indented}")]).map_err(|e| e.to_string())?;
    let (_, value) = loaded.document.processors.iter().next().ok_or("no processor")?;
    decode(value, &ConfigPath::from("processors::window")).map_err(|errors| ConfigErrors(errors).to_string())
}
