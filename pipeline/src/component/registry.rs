//! Which component types exist: what the binary was built with.

use longwave_config::{ConfigError, near_miss};

use crate::component::factory::{
    ExporterFactory, ExtensionFactory, Factory, ProcessorFactory, ReceiverFactory,
};

/// All factories.
#[derive(Default)]
pub struct Registry {
    /// Extensions.
    pub extensions: Vec<ExtensionFactory>,
    /// Receivers.
    pub receivers: Vec<ReceiverFactory>,
    /// Processors.
    pub processors: Vec<ProcessorFactory>,
    /// Exporters.
    pub exporters: Vec<ExporterFactory>,
}

/// The factory of a type, also by an alias.
///
/// # Errors
/// Names the valid types, and the one that was probably meant.
pub(crate) fn find_factory<'a, X, T: ?Sized>(
    factories: &'a [Factory<X, T>],
    section: &str,
    component_type: &str,
    id: &str,
) -> Result<&'a Factory<X, T>, ConfigError> {
    factories.iter().find(|factory| factory.about.is_named(component_type)).ok_or_else(|| {
        let mut valid: Vec<_> = factories.iter().flat_map(|factory| factory.about.types()).collect();
        valid.sort_unstable();
        let message =
            format!("unknown type: {component_type:?} for id: {id:?} (valid values: [{}])", valid.join(" "));
        let error = ConfigError::new(section, message);
        match near_miss(component_type, valid.iter().copied()) {
            Some(meant) => error.hint(format!("did you mean {meant:?}?")),
            None => error,
        }
    })
}
