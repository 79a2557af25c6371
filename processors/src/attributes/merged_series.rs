//! [`MergedSeries`]: the series of changed attributes, each of which consists of one or more series of the input.
//!
//! A series of the output lives as long as any of its series. Its creation does not change when one of them ends: exporters with cumulative
//! sums start again if it does.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use longwave_pipeline::component::AttributeEdits;
use longwave_pipeline::model::{EditedKey, Level, OwnedValue, Series, SeriesKey, UnixNanos, Window};

use crate::slab::Slab;

/// Changes windows in their order.
pub(super) struct MergedSeries {
    edits: AttributeEdits,
    /// Live series of the input, by the address of their keys.
    inputs: HashMap<(usize, Level), InputSeries, RandomState>,
    by_key: HashMap<(Level, Arc<SeriesKey>), u32, RandomState>,
    outputs: Slab<OutputSeries>,
}

struct InputSeries {
    /// Kept so that the address is not reused.
    _key: Arc<SeriesKey>,
    output: u32,
}

struct OutputSeries {
    key: Arc<SeriesKey>,
    created: UnixNanos,
    /// Number of live series of the input.
    inputs: u32,
    /// Index in the window that is being changed.
    position: Option<usize>,
    is_new: bool,
}

// === impl MergedSeries ===

impl MergedSeries {
    pub(super) fn new(edits: AttributeEdits) -> Self {
        Self { edits, inputs: HashMap::default(), by_key: HashMap::default(), outputs: Slab::default() }
    }

    /// Returns the window with changed series, of which no two of a level have the same attributes.
    pub(super) fn edit(&mut self, window: Window) -> Window {
        let mut series: Vec<Series> = Vec::with_capacity(window.series.len());
        let mut used = Vec::with_capacity(window.series.len());
        for input in window.series {
            let index = self.output_of(&input);
            let Some(output) = self.outputs.get_mut(index) else { continue };
            output.inputs -= u32::from(input.ended);
            if input.ended {
                self.inputs.remove(&identity(&input));
            }
            if output.is_new {
                output.created = output.created.min(input.created);
            }
            match output.position {
                Some(position) => series[position].measures.merge(&input.measures),
                None => {
                    output.position = Some(series.len());
                    used.push(index);
                    series.push(Series { key: Arc::clone(&output.key), ended: false, ..input });
                }
            }
        }
        for (index, series) in used.into_iter().zip(&mut series) {
            let Some(output) = self.outputs.get_mut(index) else { continue };
            output.position = None;
            output.is_new = false;
            series.created = output.created;
            series.ended = output.inputs == 0;
            if series.ended {
                self.by_key.remove(&(series.level, Arc::clone(&series.key)));
                self.outputs.remove(index);
            }
        }
        self.shrink();
        Window { start: window.start, end: window.end, series }
    }

    /// Returns the index of the output that a series of the input belongs to.
    fn output_of(&mut self, input: &Series) -> u32 {
        if let Some(known) = self.inputs.get(&identity(input)) {
            return known.output;
        }
        let key = Arc::new(self.edited(&input.key));
        let outputs = &mut self.outputs;
        let index = *self.by_key.entry((input.level, key)).or_insert_with_key(|(_, key)| {
            outputs.insert(OutputSeries {
                key: Arc::clone(key),
                created: input.created,
                inputs: 0,
                position: None,
                is_new: true,
            })
        });
        if let Some(output) = self.outputs.get_mut(index) {
            output.inputs += 1;
        }
        self.inputs.insert(identity(input), InputSeries { _key: Arc::clone(&input.key), output: index });
        index
    }

    fn edited(&self, key: &SeriesKey) -> SeriesKey {
        let mut attributes = Vec::new();
        self.edits.for_each(&|visit| key.for_each_attribute(visit), &mut |key, value| {
            attributes.push((key.to_owned(), OwnedValue::from(value)));
        });
        SeriesKey::Edited(Box::new(EditedKey::new(key, attributes)))
    }

    /// Releases memory if few series remain.
    fn shrink(&mut self) {
        if self.inputs.capacity() / 4 > self.inputs.len() {
            self.inputs.shrink_to(self.inputs.len() * 2);
            self.by_key.shrink_to(self.by_key.len() * 2);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.by_key.is_empty() && self.outputs.iter().next().is_none()
    }
}

fn identity(series: &Series) -> (usize, Level) {
    (Arc::as_ptr(&series.key) as usize, series.level)
}
