//! [`ComponentMeters`]: meters for components that a reload may replace while the process runs.
//!
//! The SDK never forgets a callback. Without this module, each reload would add callbacks that keep the replaced component in memory. Here,
//! the SDK has one callback for each instrument, and callbacks end with their component. Its counters go on: the last values remain, and
//! those of a component with the same attributes are added to them. Its gauges end.
//!
//! Instruments without callbacks are the SDK's: it identifies them by name and attributes, so that they go on by themselves.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{
    AsyncInstrument, AsyncInstrumentBuilder, Callback, Counter, Gauge, Histogram, HistogramBuilder,
    InstrumentBuilder, InstrumentProvider, Meter, ObservableCounter, ObservableGauge,
};

/// Makes the meters of components.
#[derive(Clone)]
pub(crate) struct ComponentMeters {
    instruments: Arc<Instruments>,
    /// Number of the next meter.
    next: Arc<AtomicU64>,
}

/// Ends the callbacks of one component's meter when it is dropped.
pub(crate) struct MeterScope {
    owner: u64,
    instruments: Arc<Instruments>,
}

/// The observable instruments of all components, and the meter with which they are registered.
struct Instruments {
    meter: Meter,
    integers: InstrumentTable<u64>,
    floats: InstrumentTable<f64>,
}

/// Instruments by name, and whether they are counters.
type InstrumentTable<T> = Mutex<HashMap<(Cow<'static, str>, bool), Arc<Mutex<Observations<T>>>>>;

/// What one instrument observes.
struct Observations<T> {
    /// With the numbers of their meters.
    callbacks: Vec<(u64, Arc<Callback<T>>)>,
    /// Last values of the components that have ended, by attributes. Empty for a gauge.
    ended: Vec<(Vec<KeyValue>, T)>,
}

/// Collects what callbacks observe.
struct Collected<T>(Mutex<Vec<(Vec<KeyValue>, T)>>);

/// The meter of one component.
struct ScopedMeter {
    owner: u64,
    instruments: Arc<Instruments>,
}

/// Description of an observable instrument.
struct Description<T> {
    name: Cow<'static, str>,
    unit: Option<Cow<'static, str>>,
    text: Option<Cow<'static, str>>,
    callbacks: Vec<Callback<T>>,
}

/// Type of the data points of an observable instrument.
trait Point: Copy + Send + Sync + std::ops::AddAssign + 'static {
    fn table(instruments: &Instruments) -> &InstrumentTable<Self>;

    /// Registers the one callback of an instrument.
    fn register(
        meter: &Meter,
        is_counter: bool,
        description: &Description<Self>,
        observations: Arc<Mutex<Observations<Self>>>,
    );
}

// === impl ComponentMeters ===

impl ComponentMeters {
    /// Makes meters whose instruments are registered with `meter`.
    pub(crate) fn new(meter: Meter) -> Self {
        let instruments = Instruments { meter, integers: Mutex::default(), floats: Mutex::default() };
        Self { instruments: Arc::new(instruments), next: Arc::default() }
    }

    /// Makes the meter of a component. Its callbacks end with the scope.
    pub(crate) fn make(&self) -> (Meter, MeterScope) {
        let owner = self.next.fetch_add(1, Ordering::Relaxed);
        let meter = ScopedMeter { owner, instruments: Arc::clone(&self.instruments) };
        (Meter::new(Arc::new(meter)), MeterScope { owner, instruments: Arc::clone(&self.instruments) })
    }
}

// === impl MeterScope ===

impl Drop for MeterScope {
    fn drop(&mut self) {
        end::<u64>(&self.instruments, self.owner);
        end::<f64>(&self.instruments, self.owner);
    }
}

/// Ends the callbacks of a component.
fn end<T: Point>(instruments: &Instruments, owner: u64) {
    let all: Vec<_> = lock(T::table(instruments))
        .iter()
        .map(|((_, is_counter), observations)| (*is_counter, Arc::clone(observations)))
        .collect();
    for (is_counter, observations) in all {
        let mut observations = lock(&observations);
        let ended: Vec<_> = observations.callbacks.extract_if(.., |(of, _)| *of == owner).collect();
        if is_counter && !ended.is_empty() {
            let collected = Collected::default();
            ended.iter().for_each(|(_, callback)| callback(&collected));
            add_all(&mut observations.ended, collected.take());
        }
        // A component may end with its last callback. That must not happen under the lock.
        drop(observations);
        drop(ended);
    }
}

// === impl ScopedMeter ===

impl ScopedMeter {
    fn add<T: Point>(&self, is_counter: bool, mut description: Description<T>) {
        let callbacks = std::mem::take(&mut description.callbacks);
        let mut table = lock(T::table(&self.instruments));
        let key = (description.name.clone(), is_counter);
        let known = table.entry(key).or_insert_with(|| {
            let observations =
                Arc::new(Mutex::new(Observations { callbacks: Vec::new(), ended: Vec::new() }));
            T::register(&self.instruments.meter, is_counter, &description, Arc::clone(&observations));
            observations
        });
        let callbacks = callbacks.into_iter().map(|callback| (self.owner, Arc::new(callback)));
        lock(known).callbacks.extend(callbacks);
    }
}

/// Makes an instrument without a callback with the SDK's meter.
macro_rules! pass_on {
    ($($name:ident: $builder:ident<$type:ty>),*) => {
        $(fn $name(&self, builder: $builder<'_, $type>) -> $type {
            let mut made = self.instruments.meter.$name(builder.name);
            made.unit = builder.unit;
            made.description = builder.description;
            made.build()
        })*
    };
}

macro_rules! observable {
    ($($name:ident: $type:ident<$point:ty>, $is_counter:expr;)*) => {
        $(fn $name(&self, builder: AsyncInstrumentBuilder<'_, $type<$point>, $point>) -> $type<$point> {
            let AsyncInstrumentBuilder { name, unit, description: text, callbacks, .. } = builder;
            self.add($is_counter, Description { name, unit, text, callbacks });
            $type::new()
        })*
    };
}

impl InstrumentProvider for ScopedMeter {
    pass_on!(
        u64_counter: InstrumentBuilder<Counter<u64>>,
        f64_counter: InstrumentBuilder<Counter<f64>>,
        u64_gauge: InstrumentBuilder<Gauge<u64>>,
        f64_gauge: InstrumentBuilder<Gauge<f64>>
    );

    fn f64_histogram(&self, builder: HistogramBuilder<'_, Histogram<f64>>) -> Histogram<f64> {
        let mut made = self.instruments.meter.f64_histogram(builder.name);
        made.unit = builder.unit;
        made.description = builder.description;
        made.boundaries = builder.boundaries;
        made.build()
    }

    observable!(
        u64_observable_counter: ObservableCounter<u64>, true;
        f64_observable_counter: ObservableCounter<f64>, true;
        u64_observable_gauge: ObservableGauge<u64>, false;
        f64_observable_gauge: ObservableGauge<f64>, false;
    );
}

// === impl Point ===

macro_rules! point {
    ($type:ty, $table:ident, $counter:ident, $gauge:ident) => {
        impl Point for $type {
            fn table(instruments: &Instruments) -> &InstrumentTable<Self> {
                &instruments.$table
            }

            fn register(
                meter: &Meter,
                is_counter: bool,
                description: &Description<Self>,
                observations: Arc<Mutex<Observations<Self>>>,
            ) {
                let Description { name, unit, text, .. } = description;
                if is_counter {
                    let mut builder = meter.$counter(name.clone());
                    builder.unit = unit.clone();
                    builder.description = text.clone();
                    let observe = move |observer: &dyn AsyncInstrument<Self>| sum(&observations, observer);
                    builder.with_callback(observe).build();
                } else {
                    let mut builder = meter.$gauge(name.clone());
                    builder.unit = unit.clone();
                    builder.description = text.clone();
                    let observe = move |observer: &dyn AsyncInstrument<Self>| {
                        callbacks(&observations).iter().for_each(|callback| callback(observer));
                    };
                    builder.with_callback(observe).build();
                }
            }
        }
    };
}

point!(u64, integers, u64_observable_counter, u64_observable_gauge);
point!(f64, floats, f64_observable_counter, f64_observable_gauge);

fn callbacks<T>(observations: &Mutex<Observations<T>>) -> Vec<Arc<Callback<T>>> {
    lock(observations).callbacks.iter().map(|(_, callback)| Arc::clone(callback)).collect()
}

/// Observes a counter: the values of all components with the same attributes together.
fn sum<T: Point>(observations: &Mutex<Observations<T>>, observer: &dyn AsyncInstrument<T>) {
    let (mut sums, callbacks) = {
        // Both of the same moment, so that a component that ends meanwhile is not counted twice.
        let observations = lock(observations);
        let callbacks: Vec<_> = observations.callbacks.iter().map(|(_, read)| Arc::clone(read)).collect();
        (observations.ended.clone(), callbacks)
    };
    let collected = Collected::default();
    callbacks.iter().for_each(|callback| callback(&collected));
    add_all(&mut sums, collected.take());
    sums.iter().for_each(|(attributes, sum)| observer.observe(*sum, attributes));
}

fn add_all<T: Point>(sums: &mut Vec<(Vec<KeyValue>, T)>, values: Vec<(Vec<KeyValue>, T)>) {
    for (attributes, value) in values {
        match sums.iter_mut().find(|(known, _)| *known == attributes) {
            Some((_, sum)) => *sum += value,
            None => sums.push((attributes, value)),
        }
    }
}

// === impl Collected ===

impl<T> Default for Collected<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T> Collected<T> {
    fn take(self) -> Vec<(Vec<KeyValue>, T)> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send> AsyncInstrument<T> for Collected<T> {
    fn observe(&self, value: T, attributes: &[KeyValue]) {
        lock(&self.0).push((attributes.to_vec(), value));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
