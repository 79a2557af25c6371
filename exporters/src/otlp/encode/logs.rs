//! [`LogsEncoder`] encodes connection records as `ExportLogsServiceRequest`s, with one log record for each.

use std::fmt::Write;
use std::sync::Arc;

use longwave_pipeline::component::{AttributeEdits, Payload};
use longwave_pipeline::model::{
    AttributeValue, ConnectionRecord, Event, LogRecordUid, for_each_attribute, key,
};

use super::MAX_REQUEST_BYTES;
use super::envelope::Envelope;
use super::protobuf::{message_len, put_attribute, put_fixed64, put_message, put_str, varint_key};
use super::sentence::Sentence;

/// Encodes records, in their order.
#[derive(Debug)]
pub struct LogsEncoder {
    envelope: Envelope,
    limit: usize,
    /// Maximum number of records of a request.
    max_items: u64,
    edits: Arc<AttributeEdits>,
    /// Encoded `log_records` of the next payload.
    log_records: Vec<u8>,
    record: Vec<u8>,
    scratch: String,
}

impl LogsEncoder {
    /// Creates an encoder. `resource` contains the attributes of the reporting process, in this order.
    pub fn new(resource: &[(String, String)]) -> Self {
        Self::with_limit(resource, MAX_REQUEST_BYTES)
    }

    /// Does what [`Self::new`] does, with requests of at most `limit` bytes.
    pub(crate) fn with_limit(resource: &[(String, String)], limit: usize) -> Self {
        let envelope = Envelope::new(resource);
        Self {
            limit: limit.saturating_sub(envelope.overhead()),
            envelope,
            max_items: u64::MAX,
            edits: Arc::default(),
            log_records: Vec::new(),
            record: Vec::new(),
            scratch: String::new(),
        }
    }

    /// Sets the maximum number of records of a request; at least 1.
    pub(crate) fn with_max_items(self, max_items: u64) -> Self {
        Self { max_items, ..self }
    }

    /// Sets the changes to the attributes of all records.
    pub fn with_edits(mut self, edits: Arc<AttributeEdits>) -> Self {
        self.edits = edits;
        self
    }

    /// Encodes records. Without records there is no payload.
    pub fn encode(&mut self, records: &[ConnectionRecord]) -> Vec<Payload> {
        let mut payloads = Vec::new();
        let (mut items, mut traffic_bytes) = (0, 0);
        for record in records {
            self.put_record(record);
            let is_full = items >= self.max_items
                || self.log_records.len() + message_len(self.record.len()) > self.limit;
            if is_full && !self.log_records.is_empty() {
                payloads.push(self.take(std::mem::take(&mut items), std::mem::take(&mut traffic_bytes)));
            }
            put_message(&mut self.log_records, 2, self.record.len());
            self.log_records.append(&mut self.record);
            items += 1;
            traffic_bytes = record.delta.traffic_bytes().saturating_add(traffic_bytes);
        }
        if items > 0 {
            payloads.push(self.take(items, traffic_bytes));
        }
        payloads
    }

    fn take(&mut self, items: u64, traffic_bytes: u64) -> Payload {
        let bytes = self.envelope.wrap(self.log_records.len(), |out| out.append(&mut self.log_records));
        Payload { bytes, items, traffic_bytes }
    }

    /// Writes the fields of one `LogRecord` to `self.record`.
    fn put_record(&mut self, record: &ConnectionRecord) {
        let Self { record: out, scratch, edits, .. } = self;
        out.clear();
        let (severity, text) = match record.event {
            Event::Fail => (13, "WARN"),
            Event::Open | Event::Update | Event::Close | Event::Vanished => (9, "INFO"),
        };
        put_fixed64(out, 1, record.observed.0);
        out.extend_from_slice(&[varint_key(2), severity]);
        put_str(out, 3, text);
        scratch.clear();
        // Writing to a string cannot fail.
        let _ = write!(scratch, "{}", Sentence(record));
        put_message(out, 5, message_len(scratch.len()));
        put_str(out, 1, scratch);
        edits.for_each(&|visit| for_each_attribute(record, visit), &mut |key, value| {
            put_attribute(out, 6, key, value, scratch);
        });
        let uid = LogRecordUid(record);
        put_attribute(out, 6, key::LOG_RECORD_UID, AttributeValue::Text(&uid), scratch);
        put_fixed64(out, 11, record.observed.0);
        put_str(out, 12, record.event.event_name());
    }
}
