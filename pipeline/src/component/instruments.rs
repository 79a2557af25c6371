//! [`ComponentMeter`]: makes the instruments of a component's self-telemetry.
//!
//! Units are UCUM's (`s`, `By`, `{record}`); `text` is the description, one sentence.

use std::sync::Arc;

use opentelemetry::metrics::{Callback, Counter, Gauge, Histogram, Meter};
use opentelemetry::{KeyValue, Value};

/// A meter, and the attributes that every data point of the component has, such as its id.
#[derive(Clone, Debug)]
pub struct ComponentMeter {
    meter: Meter,
    attributes: Vec<KeyValue>,
}

/// Registers observable instruments, which read `S` at each collection.
pub struct ObservedSource<'a, S: ?Sized> {
    meter: &'a ComponentMeter,
    source: Arc<S>,
}

/// The type of an instrument's data points: `u64` or `f64`.
pub trait Number: Copy + 'static {
    /// Registers an observable counter.
    fn counter(
        meter: &Meter,
        name: &'static str,
        unit: &'static str,
        text: &'static str,
        read: Callback<Self>,
    );
    /// Registers an observable gauge.
    fn gauge(meter: &Meter, name: &'static str, unit: &'static str, text: &'static str, read: Callback<Self>);
}

// === impl Number ===

macro_rules! number {
    ($type:ty, $($kind:ident: $make:ident),*) => {
        impl Number for $type {
            $(fn $kind(meter: &Meter, name: &'static str, unit: &'static str, text: &'static str, read: Callback<Self>) {
                meter.$make(name).with_unit(unit).with_description(text).with_callback(read).build();
            })*
        }
    };
}

number!(u64, counter: u64_observable_counter, gauge: u64_observable_gauge);
number!(f64, counter: f64_observable_counter, gauge: f64_observable_gauge);

// === impl ComponentMeter ===

impl ComponentMeter {
    /// Makes the meter of a component from the process's meter and the attributes of the component's data points.
    pub fn new<const N: usize>(meter: &Meter, attributes: [(&'static str, &str); N]) -> Self {
        let attributes = attributes.map(|(key, value)| KeyValue::new(key, value.to_owned())).to_vec();
        Self { meter: meter.clone(), attributes }
    }

    /// Returns the component's attributes.
    pub fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    /// Returns the component's attributes and one more.
    pub fn attributes_with(&self, key: &'static str, value: impl Into<Value>) -> Vec<KeyValue> {
        let mut attributes = self.attributes.clone();
        attributes.push(KeyValue::new(key, value));
        attributes
    }

    /// Registers a counter that the component increments. The caller passes [`Self::attributes`] with each value, and first adds 0 to each
    /// series, so that it exists from the start.
    pub fn counter(&self, name: &'static str, unit: &'static str, text: &'static str) -> Counter<u64> {
        self.meter.u64_counter(name).with_unit(unit).with_description(text).build()
    }

    /// Registers a gauge that the component sets. The caller passes [`Self::attributes`] with each value.
    pub fn gauge(&self, name: &'static str, unit: &'static str, text: &'static str) -> Gauge<u64> {
        self.meter.u64_gauge(name).with_unit(unit).with_description(text).build()
    }

    /// Registers a histogram. `bounds` are the upper bounds of its buckets. The caller passes [`Self::attributes`] with each value.
    pub fn histogram(
        &self,
        name: &'static str,
        unit: &'static str,
        text: &'static str,
        bounds: Vec<f64>,
    ) -> Histogram<f64> {
        let histogram = self.meter.f64_histogram(name).with_unit(unit).with_description(text);
        histogram.with_boundaries(bounds).build()
    }

    /// Returns a builder of instruments that read `source` at each collection.
    pub fn observe<S: ?Sized>(&self, source: &Arc<S>) -> ObservedSource<'_, S> {
        ObservedSource { meter: self, source: Arc::clone(source) }
    }
}

// === impl ObservedSource ===

impl<S: Send + Sync + ?Sized + 'static> ObservedSource<'_, S> {
    /// Registers a counter with one data point.
    pub fn counter<N: Number>(
        &self,
        name: &'static str,
        unit: &'static str,
        text: &'static str,
        read: fn(&S) -> N,
    ) {
        N::counter(&self.meter.meter, name, unit, text, self.one_point(read));
    }

    /// Registers a gauge with one data point.
    pub fn gauge<N: Number>(
        &self,
        name: &'static str,
        unit: &'static str,
        text: &'static str,
        read: fn(&S) -> N,
    ) {
        N::gauge(&self.meter.meter, name, unit, text, self.one_point(read));
    }

    /// Registers a counter with a data point for each value of the attribute `key`.
    pub fn counter_by<N: Number, V: Into<Value> + 'static, I: IntoIterator<Item = (V, N)> + 'static>(
        &self,
        name: &'static str,
        unit: &'static str,
        text: &'static str,
        key: &'static str,
        read: fn(&S) -> I,
    ) {
        let read = self.points_by(key, read);
        N::counter(&self.meter.meter, name, unit, text, read);
    }

    /// Registers a gauge with a data point for each value of the attribute `key`.
    pub fn gauge_by<N: Number, V: Into<Value> + 'static, I: IntoIterator<Item = (V, N)> + 'static>(
        &self,
        name: &'static str,
        unit: &'static str,
        text: &'static str,
        key: &'static str,
        read: fn(&S) -> I,
    ) {
        let read = self.points_by(key, read);
        N::gauge(&self.meter.meter, name, unit, text, read);
    }

    fn one_point<N: Number>(&self, read: fn(&S) -> N) -> Callback<N> {
        let (source, attributes) = (Arc::clone(&self.source), self.meter.attributes.clone());
        Box::new(move |observer| observer.observe(read(&source), &attributes))
    }

    fn points_by<N: Number, V: Into<Value> + 'static, I: IntoIterator<Item = (V, N)> + 'static>(
        &self,
        key: &'static str,
        read: fn(&S) -> I,
    ) -> Callback<N> {
        let (source, meter) = (Arc::clone(&self.source), self.meter.clone());
        Box::new(move |observer| {
            for (value, number) in read(&source) {
                observer.observe(number, &meter.attributes_with(key, value));
            }
        })
    }
}

#[cfg(test)]
mod tests;
