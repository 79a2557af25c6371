//! One line per record or series, for people and `grep`: `key=value`, as in ztunnel's access log. Names are quoted, other values are not.
//! Unknown values are left out.

use std::fmt::{self, Display, Write as _};
use std::sync::Arc;
use std::time::Duration;

use longwave_pipeline::model::{
    ConnectionRecord, End, Event, FlowKey, Limit, ObservedLimits, Rfc3339, Series, Service, UNKNOWN,
    UnixNanos, Window, Workload,
};

use crate::units;
use longwave_pipeline::component::visible;

/// Appends the line of a record.
pub(super) fn log(record: &ConnectionRecord, out: &mut Vec<u8>) {
    let mut line = Line(String::with_capacity(512));
    line.start(record.observed, record.event.as_str());
    line.bare("role", record.role.as_str());
    let (source, destination) = (record.source_workload(), record.destination_workload());
    line.bare("src.addr", record.source());
    line.workload("src", source.map(|handle| &**handle));
    line.bare("dst.addr", record.destination());
    if let Some(Service { name, namespace, ambiguous }) = record.names.service.as_deref() {
        line.quoted("dst.service", name);
        line.quoted("dst.service.namespace", namespace);
        if *ambiguous {
            line.bare("dst.service.ambiguous", true);
        }
    }
    line.workload("dst", destination.map(|handle| &**handle));
    if let Some(name) = record.owner.executable() {
        line.quoted("process", &name);
    }
    if record.owner.pid != 0 {
        line.bare("pid", record.owner.pid);
    }
    if !matches!(record.event, Event::Open | Event::Fail) {
        line.bare("bytes_sent", record.totals.sent_bytes);
        line.bare("bytes_recv", record.totals.received_bytes);
        if record.event == Event::Update {
            line.bare("sent_delta", record.delta.sent_bytes);
            line.bare("recv_delta", record.delta.received_bytes);
        }
        line.bare("retransmits", record.totals.retransmits);
        line.bare("lost", record.totals.lost);
        line.limit(ObservedLimits::of_deltas(record).dominant());
    }
    for (key, nanos) in [("srtt", record.round_trip.smoothed), ("min_rtt", record.round_trip.minimum)] {
        if let Some(nanos) = nanos {
            line.duration(key, Duration::from_nanos(nanos.get()));
        }
    }
    match record.duration() {
        Some(duration) if record.event != Event::Open => line.duration("duration", duration),
        Some(_) => {
            if let Some(nanos) = record.connect_duration {
                line.duration("connect", Duration::from_nanos(nanos.get()));
            }
        }
        None => line.bare("start_known", false),
    }
    if !record.exact {
        line.bare("exact", false);
    }
    match record.end {
        Some(End::Closed(reason)) => line.bare("reason", reason.as_str()),
        Some(End::Failed(reason)) => line.bare("error", reason),
        None => {}
    }
    line.bare("id", record.id);
    line.finish(out);
}

/// Appends the line of a series.
pub(super) fn series(window: &Window, series: &Series, out: &mut Vec<u8>) {
    let mut line = Line(String::with_capacity(512));
    line.start(window.end, series.level.as_str());
    match series.key.flow() {
        None => line.bare("overflow", true),
        Some(flow) => line.flow(flow),
    }
    let measures = &series.measures;
    line.bare("bytes_sent", measures.totals.sent_bytes);
    line.bare("bytes_recv", measures.totals.received_bytes);
    line.bare("retransmits", measures.totals.retransmits);
    line.bare("lost", measures.totals.lost);
    line.limit(measures.observed_limits().dominant());
    line.bare("active", measures.active);
    line.bare("opened", measures.opened);
    line.bare("closed", measures.closed_total());
    line.bare("failed", measures.failed_total());
    if measures.rtt.count() > 0 {
        line.bare("rtt_mean", units::seconds(measures.rtt.sum() / measures.rtt.count() as f64));
    }
    if let Some(seconds) = measures.min_rtt {
        line.bare("min_rtt", units::seconds(seconds));
    }
    line.finish(out);
}

/// Writes one line. Writing to a String cannot fail.
struct Line(String);

impl Line {
    fn start(&mut self, time: UnixNanos, what: &str) {
        let time = Rfc3339(time).to_string();
        // Microseconds are enough for people.
        let micros = time.get(..26).unwrap_or(&time);
        let _ = write!(self.0, "{micros}Z {what:<8}");
    }

    fn bare(&mut self, key: &str, value: impl Display) {
        let _ = write!(self.0, " {key}={value}");
    }

    fn quoted(&mut self, key: &str, text: &str) {
        if !text.is_empty() && text != UNKNOWN {
            let _ = write!(self.0, " {key}={}", Quoted(text));
        }
    }

    fn limit(&mut self, limit: Option<Limit>) {
        self.quoted("limit", limit.map_or("", Limit::as_str));
    }

    fn optional(&mut self, key: &str, text: &Option<Arc<str>>) {
        self.quoted(key, text.as_deref().unwrap_or_default());
    }

    fn duration(&mut self, key: &str, duration: Duration) {
        self.bare(key, units::seconds(duration.as_secs_f64()));
    }

    fn workload(&mut self, end: &str, workload: Option<&Workload>) {
        let Some(workload) = workload else { return };
        self.quoted(&format!("{end}.workload"), &workload.name);
        self.quoted(&format!("{end}.namespace"), &workload.namespace);
        self.quoted(&format!("{end}.pod"), &workload.pod);
    }

    fn flow(&mut self, flow: &FlowKey) {
        let FlowKey { reporter, source, service, destination, connection, folded } = flow;
        self.bare("reporter", reporter.as_str());
        self.optional("src.workload", &source.name);
        self.optional("src.namespace", &source.namespace);
        self.optional("dst.service", &service.name);
        self.optional("dst.service.namespace", &service.namespace);
        self.optional("dst.workload", &destination.name);
        self.optional("dst.namespace", &destination.namespace);
        if let Some(connection) = connection {
            for (key, end) in [("src.addr", connection.source), ("dst.addr", connection.destination)] {
                if !end.is_empty() {
                    self.bare(key, end);
                }
            }
        }
        if let Some(rung) = folded {
            self.bare("folded", rung.as_str());
        }
    }

    fn finish(mut self, out: &mut Vec<u8>) {
        self.0.push('\n');
        out.extend_from_slice(self.0.as_bytes());
    }
}

/// Shows a text in double quotes. Quotes, backslashes, control and format characters are escaped, so that a name cannot break or reverse
/// the line, or change the terminal's state.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                other => visible::put(other, f)?,
            }
        }
        f.write_char('"')
    }
}
