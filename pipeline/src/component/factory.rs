//! [`Factory`]: makes components of one type from their configuration.

use std::fmt;

use longwave_config::{ConfigErrors, ConfigPath, Signal, Value};

use crate::component::config::{ComponentConfig, Problems};
use crate::component::context::{ExporterContext, ExtensionContext, ProcessorContext, ReceiverContext};
use crate::component::error::ComponentError;
use crate::component::exporter_changes::ExporterChanges;
use crate::component::setting::Setting;
use crate::component::traits::{Exporter, Extension, Processor, Receiver};

/// What a channel between two components carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// Connection records.
    Records,
    /// Windows.
    Windows,
    /// Either: what goes in comes out.
    Any,
    /// Records in a logs pipeline, windows in a metrics pipeline.
    Exported,
}

/// Stability of a component, with the levels of the Collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// Any release may change it.
    Alpha,
    /// The configuration is stable, apart from corrections.
    Beta,
    /// Behaviour and configuration are stable.
    Stable,
}

/// Describes a component type: its name, its stability, and which pipelines may contain it.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Name of the type, as in ids (`bpf` in `bpf/2`).
    pub component_type: &'static str,
    /// Other names of the type.
    pub aliases: &'static [&'static str],
    /// Level of stability.
    pub stability: Stability,
    /// One line for the command `components`.
    pub description: &'static str,
    /// Signals of the pipelines that it may be part of. Empty for an extension.
    pub signals: &'static [Signal],
    /// Input and output of a processor. `None` for other components: receivers produce records, exporters take the data of their signal.
    pub flow: Option<(DataKind, DataKind)>,
}

type Prepare<X, T> = Box<dyn Fn(&Value, &ConfigPath) -> Result<Prepared<X, T>, ConfigErrors> + Send + Sync>;

/// Makes components of one type. `X` is the context of a new component, `T` the component's trait.
pub struct Factory<X, T: ?Sized> {
    /// What the component is.
    pub about: About,
    /// Describes its settings.
    pub settings: fn() -> Vec<Setting>,
    prepare: Prepare<X, T>,
}

/// A valid configuration, which can make components.
pub struct Prepared<X, T: ?Sized> {
    /// The whole configuration with defaults and with redacted secrets, for `print-config`.
    pub effective: Value,
    /// Extensions that the component uses, as (key path below its section, id).
    pub extensions: Vec<(&'static str, String)>,
    /// See [`ComponentConfig::reads_from`].
    pub reads_from: Vec<(&'static str, &'static str)>,
    /// See [`ComponentConfig::is_first`].
    pub is_first: bool,
    /// See [`ComponentConfig::exporter_changes`].
    pub exporter_changes: ExporterChanges,
    /// See [`ComponentConfig::exclusive`].
    pub exclusive: Vec<String>,
    /// See [`ComponentConfig::unshared`].
    pub unshared: Vec<(&'static str, String)>,
    /// See [`ComponentConfig::built_in`].
    pub built_in: &'static [&'static str],
    /// Makes one component.
    pub create: Box<dyn Fn(X) -> Result<Box<T>, ComponentError> + Send + Sync>,
}

/// Makes extensions.
pub type ExtensionFactory = Factory<ExtensionContext, dyn Extension>;
/// Makes receivers.
pub type ReceiverFactory = Factory<ReceiverContext, dyn Receiver>;
/// Makes processors.
pub type ProcessorFactory = Factory<ProcessorContext, dyn Processor>;
/// Makes exporters.
pub type ExporterFactory = Factory<ExporterContext, dyn Exporter>;

// === impl DataKind ===

impl DataKind {
    /// Returns the data that exporters of a signal take.
    pub fn exported(signal: Signal) -> Self {
        match signal {
            Signal::Metrics => Self::Windows,
            Signal::Logs => Self::Records,
        }
    }

    /// Returns the kind in a pipeline of this signal, at a position where its batches are of the kind `carried`.
    pub(crate) fn at(self, signal: Signal, carried: Self) -> Self {
        match self {
            Self::Records | Self::Windows => self,
            Self::Any => carried,
            Self::Exported => Self::exported(signal),
        }
    }
}

impl fmt::Display for DataKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Records => "connection records",
            Self::Windows => "windows",
            Self::Any | Self::Exported => "connection records or windows",
        })
    }
}

// === impl Stability ===

impl Stability {
    /// Returns the Collector's name of the level.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alpha => "Alpha",
            Self::Beta => "Beta",
            Self::Stable => "Stable",
        }
    }
}

// === impl About ===

impl About {
    /// Returns the type and its aliases.
    pub fn types(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.component_type).chain(self.aliases.iter().copied())
    }

    pub(super) fn is_named(&self, component_type: &str) -> bool {
        self.types().any(|known| known == component_type)
    }
}

// === impl Factory ===

impl<X: 'static, T: ?Sized + 'static> Factory<X, T> {
    /// Makes a factory of components with the configuration `C`.
    pub fn new<C: ComponentConfig>(
        about: About,
        create: impl Fn(&C, X) -> Result<Box<T>, ComponentError> + Clone + Send + Sync + 'static,
    ) -> Self {
        let prepare = move |value: &Value, path: &ConfigPath| {
            let config = longwave_config::decode_and_check(value, path, |config: &C| {
                let mut problems = Problems::default();
                config.validate(&mut problems);
                problems.into_errors(path).collect()
            })?;
            let effective = Value::from_serialize(&config)?;
            let (extensions, built_in) = (config.extensions(), config.built_in());
            let (exclusive, unshared) = (config.exclusive(), config.unshared());
            let (reads_from, exporter_changes) = (config.reads_from(), config.exporter_changes());
            let is_first = config.is_first();
            let create = create.clone();
            Ok(Prepared {
                effective,
                extensions,
                reads_from,
                is_first,
                exporter_changes,
                exclusive,
                unshared,
                built_in,
                create: Box::new(move |context| create(&config, context)),
            })
        };
        Self { about, settings: Setting::of::<C>, prepare: Box::new(prepare) }
    }

    /// Parses and checks a section.
    ///
    /// # Errors
    /// All problems of the section.
    pub fn prepare(&self, section: &Value, path: &ConfigPath) -> Result<Prepared<X, T>, ConfigErrors> {
        (self.prepare)(section, path)
    }
}
