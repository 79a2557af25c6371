//! Extensions `bearertokenauth` and `basicauth`: credentials for the requests of exporters, in the Collector's grammar.
//!
//! Files are read at each request, because requests are few and files small. So a changed file is used from the next request on, whichever
//! way it was replaced. If a file cannot be used, the last credentials stay in use.

mod basic_config;
mod bearer_config;
mod extension;
mod file;

#[cfg(test)]
mod tests;

use longwave_pipeline::component::{
    About, ComponentConfig, ComponentError, Extension, ExtensionContext, ExtensionFactory, Factory, Stability,
};

use basic_config::BasicConfig;
use bearer_config::BearerConfig;
use extension::ClientAuth;

/// Returns the factory of `bearertokenauth`.
pub fn bearer_factory() -> ExtensionFactory {
    make_factory(
        "bearertokenauth",
        "Authenticates the requests of exporters by a token",
        |config: &BearerConfig, context| ClientAuth::bearer(config, &context.id),
    )
}

/// Returns the factory of `basicauth`.
pub fn basic_factory() -> ExtensionFactory {
    make_factory(
        "basicauth",
        "Authenticates the requests of exporters by a user name and a password",
        |config: &BasicConfig, context| ClientAuth::basic(config, &context.id),
    )
}

fn make_factory<C: ComponentConfig>(
    component_type: &'static str,
    description: &'static str,
    create: fn(&C, &ExtensionContext) -> Result<ClientAuth, ComponentError>,
) -> ExtensionFactory {
    let about = About {
        component_type,
        aliases: &[],
        stability: Stability::Alpha,
        description,
        signals: &[],
        flow: None,
    };
    Factory::new(about, move |config: &C, context: ExtensionContext| {
        Ok(Box::new(create(config, &context)?) as Box<dyn Extension>)
    })
}
