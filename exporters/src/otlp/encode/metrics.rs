//! [`MetricsEncoder`] encodes windows as `ExportMetricsServiceRequest`s.

use longwave_pipeline::component::Payload;
use longwave_pipeline::model::metric::{Id, Kind, PointValue, for_each_point, optional_sum};
use longwave_pipeline::model::{Measures, Series, UnixNanos, Window, key, micros_to_seconds};

use super::MAX_REQUEST_BYTES;
use super::cumulative::CumulativeState;
use super::envelope::Envelope;
use super::points::{EncodedAttributes, Number, Span, put_extra, put_histogram, put_number};
use super::request::Request;
use crate::otlp::Temporality;

/// Encodes windows, in their order.
///
/// - A delta point has the start and the end of the window.
/// - A cumulative point starts at the series' creation, or at that of the exporter if the series is older ([`Self::observed_since`]). A point
///   that a series has reported once is reported in every window until the series ends. Then its sums are removed, and a series that returns
///   starts again.
/// - `connections.active` is the current number, not a sum of events. It is cumulative with either temporality.
#[derive(Debug)]
pub struct MetricsEncoder {
    envelope: Envelope,
    limit: usize,
    /// Maximum number of points of a request.
    max_points: u64,
    request: Request,
    attributes: EncodedAttributes,
    extra: Vec<u8>,
    scratch: String,
    cumulative: Option<CumulativeState>,
    /// Windows and series do not start before this time. 0 if that is true for all of them.
    not_before: UnixNanos,
    /// Whether no window has been encoded.
    is_first: bool,
}

impl MetricsEncoder {
    /// Creates an encoder. `resource` contains the attributes of the reporting process, in this order.
    pub fn new(resource: &[(String, String)], temporality: Temporality) -> Self {
        Self::with_limit(resource, temporality, MAX_REQUEST_BYTES)
    }

    /// Does what [`Self::new`] does, with requests of at most `limit` bytes.
    pub(crate) fn with_limit(resource: &[(String, String)], temporality: Temporality, limit: usize) -> Self {
        let envelope = Envelope::new(resource);
        Self {
            limit: limit.saturating_sub(envelope.overhead()),
            envelope,
            max_points: u64::MAX,
            request: Request::new(temporality),
            attributes: EncodedAttributes::default(),
            extra: Vec::new(),
            scratch: String::new(),
            cumulative: (temporality == Temporality::Cumulative).then(CumulativeState::default),
            not_before: UnixNanos(0),
            is_first: true,
        }
    }

    /// Sets the maximum number of points of a request; at least 1.
    pub(crate) fn with_max_points(self, max_points: u64) -> Self {
        Self { max_points, ..self }
    }

    /// Sets the time since which the exporter exists. Windows and series that are older start at that time. A Longwave that ran before, or an
    /// exporter that a reload has replaced, may have exported the same series. With the same start, a receiver would take the new sums for
    /// changes of the old ones.
    pub fn observed_since(mut self, time: UnixNanos) -> Self {
        self.not_before = time;
        self
    }

    /// Encodes one window. Without series there is no payload.
    ///
    /// `Payload::items` counts the points that the window has. A cumulative point that the window does not have is sent again, but not
    /// counted: it belongs to an earlier window.
    pub fn encode(&mut self, window: &Window) -> Vec<Payload> {
        if std::mem::take(&mut self.is_first) && window.end <= self.not_before {
            // A replayed file, for example, has windows of another time.
            self.not_before = UnixNanos(0);
        }
        let mut payloads = Vec::new();
        let coarsest = window.series.iter().map(|series| series.level).min();
        for series in &window.series {
            self.attributes.set(&series.key);
            let carries_traffic = Some(series.level) == coarsest;
            match self.cumulative.take() {
                None => self.put_series(window, series, None, carries_traffic, &mut payloads),
                Some(mut state) => {
                    self.put_series(window, series, Some(state.add(series)), carries_traffic, &mut payloads);
                    state.remove_if_ended(series);
                    self.cumulative = Some(state);
                }
            }
        }
        if let Some(state) = &mut self.cumulative {
            state.shrink();
        }
        if !self.request.is_empty() {
            payloads.push(self.request.take(&self.envelope));
        }
        payloads
    }

    /// Returns the number of series with cumulative sums; 0 with delta temporality.
    pub fn series_count(&self) -> usize {
        self.cumulative.as_ref().map_or(0, CumulativeState::len)
    }

    /// Writes the points of `sums`, which start at the series' creation, or those of the window if there are no sums.
    fn put_series(
        &mut self,
        window: &Window,
        series: &Series,
        sums: Option<&Measures>,
        carries_traffic: bool,
        payloads: &mut Vec<Payload>,
    ) {
        let span = |start: UnixNanos| Span { start: start.max(self.not_before).0, end: window.end.0 };
        let (since_creation, of_window) = (span(series.created), span(window.start));
        let of_sums = if sums.is_some() { since_creation } else { of_window };
        let Self { envelope, limit, max_points, request, attributes, extra, scratch, .. } = self;
        for_each_point(sums.unwrap_or(&series.measures), &mut |id, value| {
            extra.clear();
            match value {
                PointValue::Closed(reason, _) => {
                    put_extra(extra, key::CLOSE_REASON, &reason.as_str(), scratch)
                }
                PointValue::Failed(reason, _) => put_extra(extra, key::ERROR_TYPE, &reason, scratch),
                PointValue::Int(_)
                | PointValue::Micros(_)
                | PointValue::Float(_)
                | PointValue::Histogram(_) => {}
            }
            if request.points >= *max_points || request.is_full(attributes.longest_point(extra), *limit) {
                payloads.push(request.take(envelope));
            }
            let span = match id.metric().kind {
                Kind::UpDown => since_creation,
                Kind::Gauge => of_window,
                Kind::Counter | Kind::Histogram => of_sums,
            };
            request.put(series.level, id, |out| match value {
                PointValue::Int(count) | PointValue::Closed(_, count) | PointValue::Failed(_, count) => {
                    put_number(out, attributes, extra, span, Number::Int(count));
                }
                PointValue::Micros(time) => {
                    put_number(out, attributes, extra, span, Number::Double(micros_to_seconds(time)));
                }
                PointValue::Float(number) => put_number(out, attributes, extra, span, Number::Double(number)),
                PointValue::Histogram(histogram) => put_histogram(out, attributes, span, histogram),
            });
            request.items += u64::from(is_in_window(&series.measures, id, value));
            if carries_traffic {
                request.traffic_bytes += traffic(&series.measures, id);
            }
        });
    }
}

/// Returns whether the window has this point, so that it is not only a repeated sum.
fn is_in_window(window: &Measures, id: Id, value: PointValue<'_>) -> bool {
    match value {
        PointValue::Closed(reason, _) => window.closed[reason as usize - 1] > 0,
        PointValue::Failed(reason, _) => window.failed.iter().any(|(seen, _)| *seen == reason),
        PointValue::Histogram(_) => {
            let histogram = match id {
                Id::Rtt => &window.rtt,
                Id::ConnectDuration => &window.connect_duration,
                _ => &window.connection_duration,
            };
            histogram.count() > 0
        }
        PointValue::Int(_) | PointValue::Micros(_) => {
            optional_sum(id, window).is_none_or(|sum| sum.get().is_some())
        }
        PointValue::Float(_) => true,
    }
}

/// Returns the bytes that the point reports. A window's traffic is the sum over its coarsest level.
fn traffic(window: &Measures, id: Id) -> u64 {
    match id {
        Id::SentBytes => window.totals.sent_bytes,
        Id::ReceivedBytes => window.totals.received_bytes,
        _ => 0,
    }
}
