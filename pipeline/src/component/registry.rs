//! [`Registry`]: the component types of this build.

use longwave_config::{ConfigError, near_miss};

use crate::component::factory::{
    ExporterFactory, ExtensionFactory, Factory, ProcessorFactory, ReceiverFactory,
};

/// The factories of all component types.
#[derive(Default)]
pub struct Registry {
    /// Factories of extensions.
    pub extensions: Vec<ExtensionFactory>,
    /// Factories of receivers.
    pub receivers: Vec<ReceiverFactory>,
    /// Factories of processors.
    pub processors: Vec<ProcessorFactory>,
    /// Factories of exporters.
    pub exporters: Vec<ExporterFactory>,
}

/// Returns the factory of a type or of its alias.
///
/// # Errors
/// The type is unknown. The error names the valid types and the most similar one.
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
