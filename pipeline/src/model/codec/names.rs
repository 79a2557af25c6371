//! The names of one block. Each is written once, and records refer to it by a number. Numbers begin with 1; 0 means no name.

use std::cell::RefCell;
use std::sync::Arc;

use hashbrown::HashMap;

use super::error::Fault;
use super::fields::Reader;
use crate::model::names::{Handle, Interner, Label, LabelKey, Service, Workload};
use crate::model::record::Names;

/// Collects the names of a block.
#[derive(Default)]
pub(super) struct NameWriter {
    workloads: Numbers,
    services: Numbers,
    workload_bytes: Vec<u8>,
    service_bytes: Vec<u8>,
}

/// The names of a block, as handles.
pub(super) struct NameReader {
    workloads: Vec<Handle<Workload>>,
    services: Vec<Handle<Service>>,
}

/// Interns the names of all blocks of a reader, so that equal names share a handle.
#[derive(Default)]
pub(super) struct Interners {
    workloads: Interner<Workload>,
    services: Interner<Service>,
    label_keys: RefCell<HashMap<Arc<str>, Arc<LabelKey>, foldhash::fast::FixedState>>,
}

/// First version of the format with labels.
const LABELS_SINCE: u16 = 2;
/// Maximum number of label keys that are stored. A configuration usually selects only a few.
const MAX_LABEL_KEYS: usize = 1024;

/// Maximum number of labels of one workload in a file.
const MAX_LABELS: usize = 1024;

/// Numbers of handles, by their address. An address is not reused while a batch is encoded, because the batch owns the handles.
#[derive(Default)]
struct Numbers {
    by_address: HashMap<usize, u32, foldhash::fast::FixedState>,
    last: (usize, u32),
}

impl NameWriter {
    pub(super) fn clear(&mut self) {
        self.workloads.clear();
        self.services.clear();
        self.workload_bytes.clear();
        self.service_bytes.clear();
    }

    /// Returns the encoded size of the names in bytes.
    pub(super) fn len(&self) -> usize {
        8 + self.workload_bytes.len() + self.service_bytes.len()
    }

    /// Appends the names.
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.workloads.count().to_le_bytes());
        out.extend_from_slice(&self.services.count().to_le_bytes());
        out.extend_from_slice(&self.workload_bytes);
        out.extend_from_slice(&self.service_bytes);
    }

    #[inline]
    pub(super) fn workload(&mut self, handle: Option<&Handle<Workload>>) -> u32 {
        let Some(handle) = handle else { return 0 };
        self.workloads.of(handle.address(), || {
            let Workload { name, kind, namespace, pod, node, container, container_id, labels } = &**handle;
            for text in [name, kind, namespace, pod, node, container, container_id] {
                put_text(text, &mut self.workload_bytes);
            }
            self.workload_bytes.extend_from_slice(&(labels.len().min(MAX_LABELS) as u32).to_le_bytes());
            for label in labels.iter().take(MAX_LABELS) {
                put_text(label.key.name(), &mut self.workload_bytes);
                put_text(&label.value, &mut self.workload_bytes);
            }
        })
    }

    #[inline]
    pub(super) fn service(&mut self, handle: Option<&Handle<Service>>) -> u32 {
        let Some(handle) = handle else { return 0 };
        self.services.of(handle.address(), || {
            let Service { name, namespace, ambiguous } = &**handle;
            put_text(name, &mut self.service_bytes);
            put_text(namespace, &mut self.service_bytes);
            self.service_bytes.push(u8::from(*ambiguous));
        })
    }
}

impl NameReader {
    /// Reads the names of a block with `records` records. Each record refers to at most two workloads and one service, so that a file with
    /// more is damaged or crafted: without the limit, a file of a few megabytes could take gigabytes of memory.
    pub(super) fn read(
        from: &mut Reader<'_>,
        version: u16,
        interners: &Interners,
        records: usize,
    ) -> Result<Self, Fault> {
        let (workload_count, service_count) = (from.u32()?, from.u32()?);
        if workload_count as usize > 2 * records || service_count as usize > records {
            return Err(Fault::Damaged("a block has more names than its records can refer to"));
        }
        let mut names = Self { workloads: Vec::new(), services: Vec::new() };
        for _ in 0..workload_count {
            let [name, kind, namespace, pod, node, container, container_id] = texts(from)?;
            let labels = if version < LABELS_SINCE { Arc::default() } else { labels(from, interners)? };
            let workload = Workload { name, kind, namespace, pod, node, container, container_id, labels };
            names.workloads.push(interners.workloads.intern(workload));
        }
        for _ in 0..service_count {
            let [name, namespace] = texts(from)?;
            let ambiguous = super::record::boolean(from.u8()?)?;
            names.services.push(interners.services.intern(Service { name, namespace, ambiguous }));
        }
        Ok(names)
    }

    pub(super) fn names(&self, local: u32, peer: u32, service: u32) -> Result<Names, Fault> {
        Ok(Names {
            local: numbered(&self.workloads, local)?,
            peer: numbered(&self.workloads, peer)?,
            service: numbered(&self.services, service)?,
        })
    }
}

impl Interners {
    fn label_key(&self, name: Arc<str>) -> Arc<LabelKey> {
        let mut keys = self.label_keys.borrow_mut();
        if keys.len() >= MAX_LABEL_KEYS {
            keys.clear();
        }
        let key = keys.entry(name);
        Arc::clone(key.or_insert_with_key(|name| Arc::new(LabelKey::new(name))))
    }
}

impl Numbers {
    fn clear(&mut self) {
        self.by_address.clear();
        self.last = (0, 0);
    }

    fn count(&self) -> u32 {
        self.by_address.len() as u32
    }

    #[inline]
    fn of(&mut self, address: usize, put: impl FnOnce()) -> u32 {
        if self.last.0 == address {
            return self.last.1;
        }
        let next = self.count() + 1;
        let number = *self.by_address.entry(address).or_insert_with(|| {
            put();
            next
        });
        self.last = (address, number);
        number
    }
}

fn numbered<T>(names: &[Handle<T>], number: u32) -> Result<Option<Handle<T>>, Fault> {
    match (number as usize).checked_sub(1) {
        None => Ok(None),
        Some(index) => names
            .get(index)
            .cloned()
            .map(Some)
            .ok_or(Fault::Damaged("a record refers to a name that does not exist")),
    }
}

fn labels(from: &mut Reader<'_>, interners: &Interners) -> Result<Arc<[Label]>, Fault> {
    let count = from.u32()?;
    if count as usize > MAX_LABELS {
        return Err(Fault::Damaged("a workload has an impossible number of labels"));
    }
    let mut labels = Vec::new();
    for _ in 0..count {
        let [name, value] = texts(from)?;
        labels.push(Label { key: interners.label_key(name), value });
    }
    Ok(labels.into())
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn texts<const N: usize>(from: &mut Reader<'_>) -> Result<[Arc<str>; N], Fault> {
    let mut texts = std::array::from_fn(|_| Arc::<str>::default());
    for text in &mut texts {
        let len = from.u32()? as usize;
        let bytes = from.bytes(len)?;
        *text = std::str::from_utf8(bytes).map_err(|_| Fault::Damaged("a name is not UTF-8"))?.into();
    }
    Ok(texts)
}
