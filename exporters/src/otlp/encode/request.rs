//! A metrics request under construction. A window has its points by series and OTLP groups them by metric, so each metric has a buffer.

use longwave_pipeline::component::Payload;
use longwave_pipeline::model::Level;
use longwave_pipeline::model::metric::{Id, Kind, METRICS};

use super::envelope::Envelope;
use super::protobuf::{message_len, put_message, put_str, varint_key};
use crate::otlp::Temporality;

/// `AGGREGATION_TEMPORALITY_DELTA`.
const DELTA: u8 = 1;
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u8 = 2;

/// The points of one metric.
#[derive(Debug)]
struct Stream {
    /// Name, description and unit: the first fields of `Metric`.
    head: Vec<u8>,
    /// Field of `Metric` that contains the points: 5 gauge, 7 sum, 9 histogram.
    field: u8,
    /// The fields after the points: temporality and monotonicity.
    tail: Vec<u8>,
    points: Vec<u8>,
}

/// Points of the next payload. The buffers are reused.
#[derive(Debug)]
pub(crate) struct Request {
    streams: Vec<Stream>,
    /// Length of the points and of the metrics that contain them.
    bytes: usize,
    /// Number of points, with those that are not counted as items.
    pub points: u64,
    pub items: u64,
    pub traffic_bytes: u64,
}

// === impl Request ===

impl Request {
    pub(crate) fn new(temporality: Temporality) -> Self {
        let streams = Level::ALL.into_iter().flat_map(|level| {
            METRICS.iter().map(move |metric| {
                let mut head = Vec::new();
                put_str(&mut head, 1, metric.names[level as usize]);
                put_str(&mut head, 2, metric.description);
                put_str(&mut head, 3, metric.unit);
                let temporality_of_sums = match temporality {
                    Temporality::Delta => DELTA,
                    Temporality::Cumulative => CUMULATIVE,
                };
                let (field, tail) = match metric.kind {
                    Kind::Gauge => (5, Vec::new()),
                    Kind::Counter => (7, vec![varint_key(2), temporality_of_sums, varint_key(3), 1]),
                    Kind::UpDown => (7, vec![varint_key(2), CUMULATIVE]),
                    Kind::Histogram => (9, vec![varint_key(2), temporality_of_sums]),
                };
                Stream { head, field, tail, points: Vec::new() }
            })
        });
        Self { streams: streams.collect(), bytes: 0, points: 0, items: 0, traffic_bytes: 0 }
    }

    /// Returns whether there are no points.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Returns whether `more` bytes of points would exceed `limit`.
    pub(crate) fn is_full(&self, more: usize, limit: usize) -> bool {
        !self.is_empty() && self.bytes + more > limit
    }

    /// Calls `write` to append one point of the metric.
    pub(crate) fn put(&mut self, level: Level, id: Id, write: impl FnOnce(&mut Vec<u8>)) {
        let stream = &mut self.streams[level as usize * METRICS.len() + id as usize];
        let before = stream.points.len();
        if before == 0 {
            // An upper bound for two keys with their lengths.
            self.bytes += stream.head.len() + stream.tail.len() + 12;
        }
        self.points += 1;
        write(&mut stream.points);
        self.bytes += stream.points.len() - before;
    }

    /// Returns the payload and starts the next request.
    pub(crate) fn take(&mut self, envelope: &Envelope) -> Payload {
        let len = self.streams.iter().map(Stream::encoded_len).sum();
        let bytes =
            envelope.wrap(len, |out| self.streams.iter_mut().for_each(|stream| stream.drain_into(out)));
        self.bytes = 0;
        self.points = 0;
        Payload {
            bytes,
            items: std::mem::take(&mut self.items),
            traffic_bytes: std::mem::take(&mut self.traffic_bytes),
        }
    }
}

// === impl Stream ===

impl Stream {
    fn data_len(&self) -> usize {
        self.points.len() + self.tail.len()
    }

    fn encoded_len(&self) -> usize {
        if self.points.is_empty() { 0 } else { message_len(self.head.len() + message_len(self.data_len())) }
    }

    fn drain_into(&mut self, out: &mut Vec<u8>) {
        if self.points.is_empty() {
            return;
        }
        let data_len = self.data_len();
        put_message(out, 2, self.head.len() + message_len(data_len));
        out.extend_from_slice(&self.head);
        put_message(out, self.field, data_len);
        out.append(&mut self.points);
        out.extend_from_slice(&self.tail);
    }
}
