//! [`Factory`]: makes components of one type from their configuration.

use std::fmt;

use longwave_config::{ConfigError, ConfigErrors, ConfigPath, Signal, Value};

use crate::component::config::{ComponentConfig, Problems};
use crate::component::context::{ExporterContext, ExtensionContext, ProcessorContext, ReceiverContext};
use crate::component::error::ComponentError;
use crate::component::traits::{Exporter, Extension, Processor, Receiver};

/// What a channel between two components carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// Connection records.
    Records,
    /// Windows.
    Windows,
}

/// How settled a component is; the Collector's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// May change in any release.
    Alpha,
    /// Configuration is settled, short of mistakes.
    Beta,
    /// Settled.
    Stable,
}

/// What every factory says about its component.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The type in ids (`bpf` in `bpf/2`).
    pub component_type: &'static str,
    /// Other types that mean the same.
    pub aliases: &'static [&'static str],
    /// Stability.
    pub stability: Stability,
    /// One line for `components`.
    pub description: &'static str,
    /// In which pipelines it may stand; none for an extension.
    pub signals: &'static [Signal],
    /// For processors: what goes in and what comes out. Receivers produce records; exporters take what their signal carries.
    pub flow: Option<(DataKind, DataKind)>,
}

type Prepare<X, T> = Box<dyn Fn(&Value, &ConfigPath) -> Result<Prepared<X, T>, ConfigErrors> + Send + Sync>;

/// Makes components of one type. `X` is what the runtime gives to a new component, `T` the component's trait.
pub struct Factory<X, T: ?Sized> {
    /// Type, stability, where it fits.
    pub about: About,
    prepare: Prepare<X, T>,
}

/// A checked configuration that is ready to make components.
pub struct Prepared<X, T: ?Sized> {
    /// All settings with defaults filled in and secrets redacted, for `print-config`.
    pub effective: Value,
    /// Extensions that it uses, as (key path below its section, id).
    pub extensions: Vec<(&'static str, String)>,
    /// What may be named instead of those, see [`ComponentConfig::built_in`].
    pub built_in: &'static [&'static str],
    /// Makes one instance.
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
    /// What a signal's exporters take.
    pub fn exported(signal: Signal) -> Self {
        match signal {
            Signal::Metrics => Self::Windows,
            Signal::Logs => Self::Records,
        }
    }
}

impl fmt::Display for DataKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Records => "connection records",
            Self::Windows => "windows",
        })
    }
}

// === impl Stability ===

impl Stability {
    /// The Collector's word.
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
    /// The type and its aliases.
    pub fn types(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.component_type).chain(self.aliases.iter().copied())
    }

    pub(super) fn is_named(&self, component_type: &str) -> bool {
        self.types().any(|known| known == component_type)
    }
}

// === impl Factory ===

impl<X: 'static, T: ?Sized + 'static> Factory<X, T> {
    /// A factory whose components have the settings `C`.
    pub fn new<C: ComponentConfig>(
        about: About,
        create: impl Fn(&C, X) -> Result<Box<T>, ComponentError> + Clone + Send + Sync + 'static,
    ) -> Self {
        let prepare = move |value: &Value, path: &ConfigPath| {
            let config = longwave_config::decode_and_check(value, path, |config: &C| {
                let mut problems = Problems::default();
                config.validate(&mut problems);
                let found = problems.found.into_iter();
                found.map(|(key, text)| ConfigError::new(path.clone(), text).field(key.as_str())).collect()
            })?;
            let effective = Value::from_serialize(&config)?;
            let (extensions, built_in) = (config.extensions(), config.built_in());
            let create = create.clone();
            Ok(Prepared {
                effective,
                extensions,
                built_in,
                create: Box::new(move |context| create(&config, context)),
            })
        };
        Self { about, prepare: Box::new(prepare) }
    }

    /// Reads and checks a section; all its errors at once.
    pub fn prepare(&self, section: &Value, path: &ConfigPath) -> Result<Prepared<X, T>, ConfigErrors> {
        (self.prepare)(section, path)
    }
}
