//! [`ComponentMeters`]: meters for components that a reload may replace while the process runs.
//!
//! The SDK never removes a callback. Without this module, each reload would add callbacks that keep the replaced component in memory. Here,
//! the SDK has one callback for each instrument, and callbacks end with their component. Its counters go on: the last values remain, and
//! those of a component with the same attributes are added to them. Its gauges end.
//!
//! A change of the settings of self-telemetry needs another SDK. All instruments move to it with their values, so that no component has to
//! restart. Only histograms begin again.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{
    AsyncInstrument, AsyncInstrumentBuilder, Callback, Counter, Gauge, Histogram, HistogramBuilder,
    InstrumentBuilder, InstrumentProvider, Meter, ObservableCounter, ObservableGauge, SyncInstrument,
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

/// The instruments of all components, and the meter with which they are registered.
struct Instruments {
    meter: Mutex<Meter>,
    integers: InstrumentTable<u64>,
    floats: InstrumentTable<f64>,
    histograms: Mutex<HashMap<Cow<'static, str>, Arc<MovableHistogram>>>,
}

/// Instruments by name, and whether they are counters.
type InstrumentTable<T> = Mutex<HashMap<(Cow<'static, str>, bool), RegisteredInstrument<T>>>;

struct RegisteredInstrument<T> {
    description: Description,
    observations: Arc<Mutex<Observations<T>>>,
}

/// What one instrument observes.
struct Observations<T> {
    /// With the numbers of their meters.
    callbacks: Vec<(u64, Arc<Callback<T>>)>,
    /// Last values of the components that have ended, by attributes. Empty for a gauge.
    ended: Vec<(Vec<KeyValue>, T)>,
    /// Values that components have added or set, by attributes.
    stored: Vec<(Vec<KeyValue>, T)>,
}

/// Collects what callbacks observe.
struct Collected<T>(Mutex<Vec<(Vec<KeyValue>, T)>>);

/// The meter of one component.
struct ScopedMeter {
    owner: u64,
    instruments: Arc<Instruments>,
}

/// Unit and text of an instrument.
#[derive(Clone)]
struct Description {
    unit: Option<Cow<'static, str>>,
    text: Option<Cow<'static, str>>,
}

/// A counter or gauge that a component changes itself.
struct StoredInstrument<T> {
    is_counter: bool,
    observations: Arc<Mutex<Observations<T>>>,
}

/// A histogram of the current SDK.
struct MovableHistogram {
    description: Description,
    boundaries: Option<Vec<f64>>,
    current: Mutex<Histogram<f64>>,
}

/// Type of the data points of an observable instrument.
trait Point: Copy + Send + Sync + std::ops::AddAssign + 'static {
    fn table(instruments: &Instruments) -> &InstrumentTable<Self>;

    /// Registers the one callback of an instrument.
    fn register(
        meter: &Meter,
        key: (Cow<'static, str>, bool),
        description: &Description,
        observations: Arc<Mutex<Observations<Self>>>,
    );
}

// === impl ComponentMeters ===

impl ComponentMeters {
    /// Makes meters whose instruments are registered with `meter`.
    pub(crate) fn new(meter: Meter) -> Self {
        let instruments = Instruments {
            meter: Mutex::new(meter),
            integers: Mutex::default(),
            floats: Mutex::default(),
            histograms: Mutex::default(),
        };
        Self { instruments: Arc::new(instruments), next: Arc::default() }
    }

    /// Registers all instruments with another meter.
    pub(crate) fn move_to(&self, meter: &Meter) {
        let mut current = lock(&self.instruments.meter);
        *current = meter.clone();
        register_all::<u64>(&self.instruments, meter);
        register_all::<f64>(&self.instruments, meter);
        for (name, histogram) in lock(&self.instruments.histograms).iter() {
            *lock(&histogram.current) =
                make_histogram(meter, name, &histogram.description, &histogram.boundaries);
        }
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
        .map(|((_, is_counter), registered)| (*is_counter, Arc::clone(&registered.observations)))
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

fn register_all<T: Point>(instruments: &Instruments, meter: &Meter) {
    for (key, RegisteredInstrument { description, observations }) in lock(T::table(instruments)).iter() {
        T::register(meter, key.clone(), description, Arc::clone(observations));
    }
}

fn make_histogram(
    meter: &Meter,
    name: &str,
    description: &Description,
    boundaries: &Option<Vec<f64>>,
) -> Histogram<f64> {
    let mut made = meter.f64_histogram(name.to_owned());
    made.unit = description.unit.clone();
    made.description = description.text.clone();
    made.boundaries = boundaries.clone();
    made.build()
}

// === impl ScopedMeter ===

impl ScopedMeter {
    /// Returns what an instrument observes. The first call for a name registers it.
    fn observations<T: Point>(
        &self,
        key: (Cow<'static, str>, bool),
        description: Description,
    ) -> Arc<Mutex<Observations<T>>> {
        // Locked first, as in `ComponentMeters::move_to`.
        let meter = lock(&self.instruments.meter);
        let mut table = lock(T::table(&self.instruments));
        let known = table.entry(key).or_insert_with_key(|key| {
            let observations = Arc::new(Mutex::new(Observations::default()));
            T::register(&meter, key.clone(), &description, Arc::clone(&observations));
            RegisteredInstrument { description, observations }
        });
        Arc::clone(&known.observations)
    }

    fn observe<T: Point>(
        &self,
        key: (Cow<'static, str>, bool),
        description: Description,
        callbacks: Vec<Callback<T>>,
    ) {
        let observations = self.observations(key, description);
        let callbacks = callbacks.into_iter().map(|callback| (self.owner, Arc::new(callback)));
        lock(&observations).callbacks.extend(callbacks);
    }

    fn store<T: Point>(
        &self,
        (name, is_counter): (Cow<'static, str>, bool),
        description: Description,
    ) -> Arc<StoredInstrument<T>> {
        let observations = self.observations((name, is_counter), description);
        Arc::new(StoredInstrument { is_counter, observations })
    }
}

macro_rules! stored {
    ($($name:ident: $type:ident<$point:ty>, $is_counter:expr;)*) => {
        $(fn $name(&self, builder: InstrumentBuilder<'_, $type<$point>>) -> $type<$point> {
            let description = Description { unit: builder.unit, text: builder.description };
            $type::new(self.store::<$point>((builder.name, $is_counter), description))
        })*
    };
}

macro_rules! observable {
    ($($name:ident: $type:ident<$point:ty>, $is_counter:expr;)*) => {
        $(fn $name(&self, builder: AsyncInstrumentBuilder<'_, $type<$point>, $point>) -> $type<$point> {
            let AsyncInstrumentBuilder { name, unit, description: text, callbacks, .. } = builder;
            self.observe((name, $is_counter), Description { unit, text }, callbacks);
            $type::new()
        })*
    };
}

impl InstrumentProvider for ScopedMeter {
    stored!(
        u64_counter: Counter<u64>, true;
        f64_counter: Counter<f64>, true;
        u64_gauge: Gauge<u64>, false;
        f64_gauge: Gauge<f64>, false;
    );

    fn f64_histogram(&self, builder: HistogramBuilder<'_, Histogram<f64>>) -> Histogram<f64> {
        let meter = lock(&self.instruments.meter);
        let mut table = lock(&self.instruments.histograms);
        let known = table.entry(builder.name).or_insert_with_key(|name| {
            let description = Description { unit: builder.unit, text: builder.description };
            let current = Mutex::new(make_histogram(&meter, name, &description, &builder.boundaries));
            Arc::new(MovableHistogram { description, boundaries: builder.boundaries, current })
        });
        Histogram::new(Arc::clone(known) as Arc<dyn SyncInstrument<f64> + Send + Sync>)
    }

    observable!(
        u64_observable_counter: ObservableCounter<u64>, true;
        f64_observable_counter: ObservableCounter<f64>, true;
        u64_observable_gauge: ObservableGauge<u64>, false;
        f64_observable_gauge: ObservableGauge<f64>, false;
    );
}

// === impl StoredInstrument ===

impl<T: Point> SyncInstrument<T> for StoredInstrument<T> {
    fn measure(&self, measurement: T, attributes: &[KeyValue]) {
        let mut observations = lock(&self.observations);
        match observations.stored.iter_mut().find(|(known, _)| known == attributes) {
            Some((_, sum)) if self.is_counter => *sum += measurement,
            Some((_, value)) => *value = measurement,
            None => observations.stored.push((attributes.to_vec(), measurement)),
        }
    }
}

// === impl MovableHistogram ===

impl SyncInstrument<f64> for MovableHistogram {
    fn measure(&self, measurement: f64, attributes: &[KeyValue]) {
        lock(&self.current).record(measurement, attributes);
    }
}

// === impl Observations ===

impl<T> Default for Observations<T> {
    fn default() -> Self {
        Self { callbacks: Vec::new(), ended: Vec::new(), stored: Vec::new() }
    }
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
                (name, is_counter): (Cow<'static, str>, bool),
                description: &Description,
                observations: Arc<Mutex<Observations<Self>>>,
            ) {
                let Description { unit, text } = description;
                if is_counter {
                    let mut builder = meter.$counter(name);
                    builder.unit = unit.clone();
                    builder.description = text.clone();
                    let observe = move |observer: &dyn AsyncInstrument<Self>| sum(&observations, observer);
                    builder.with_callback(observe).build();
                } else {
                    let mut builder = meter.$gauge(name);
                    builder.unit = unit.clone();
                    builder.description = text.clone();
                    let observe = move |observer: &dyn AsyncInstrument<Self>| last(&observations, observer);
                    builder.with_callback(observe).build();
                }
            }
        }
    };
}

point!(u64, integers, u64_observable_counter, u64_observable_gauge);
point!(f64, floats, f64_observable_counter, f64_observable_gauge);

/// Observes a gauge.
fn last<T: Point>(observations: &Mutex<Observations<T>>, observer: &dyn AsyncInstrument<T>) {
    let (stored, callbacks) = {
        let observations = lock(observations);
        let callbacks: Vec<_> = observations.callbacks.iter().map(|(_, read)| Arc::clone(read)).collect();
        (observations.stored.clone(), callbacks)
    };
    stored.iter().for_each(|(attributes, value)| observer.observe(*value, attributes));
    callbacks.iter().for_each(|callback| callback(observer));
}

/// Observes a counter: the values of all components with the same attributes together.
fn sum<T: Point>(observations: &Mutex<Observations<T>>, observer: &dyn AsyncInstrument<T>) {
    let (mut sums, callbacks) = {
        // Both of the same moment, so that a component that ends meanwhile is not counted twice.
        let observations = lock(observations);
        let callbacks: Vec<_> = observations.callbacks.iter().map(|(_, read)| Arc::clone(read)).collect();
        let mut sums = observations.ended.clone();
        add_all(&mut sums, observations.stored.clone());
        (sums, callbacks)
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
