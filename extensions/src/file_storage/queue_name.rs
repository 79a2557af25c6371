//! Names of the directories of queues: `queue-otlp_grpc~2Fbackend.metrics`.

use longwave_pipeline::component::Signal;

const PREFIX: &str = "queue-";
const SIGNALS: [(Signal, &str); 2] = [(Signal::Metrics, ".metrics"), (Signal::Logs, ".logs")];

/// Returns the name of the queue of an exporter for one signal. Letters, digits, `_` and `-` stay, other bytes become `~` and two hexadecimal
/// digits.
pub(super) fn make(exporter: &str, signal: Signal) -> String {
    let mut name = PREFIX.to_owned();
    for byte in exporter.bytes() {
        if byte.is_ascii_alphanumeric() || b"_-".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("~{byte:02X}"));
        }
    }
    let suffix = SIGNALS.iter().find(|(of, _)| *of == signal).map_or("", |(_, suffix)| suffix);
    name + suffix
}

/// Returns the exporter and the signal, or `None` if this is not the name of a queue.
pub(super) fn parse(name: &str) -> Option<(String, Signal)> {
    let escaped = name.strip_prefix(PREFIX)?;
    let (escaped, signal) =
        SIGNALS.iter().find_map(|(signal, suffix)| Some((escaped.strip_suffix(suffix)?, *signal)))?;
    let mut parts = escaped.split('~');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    let exporter = String::from_utf8(bytes).ok()?;
    (make(&exporter, signal) == name).then_some((exporter, signal))
}
