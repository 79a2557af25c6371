//! Self-telemetry: publishes the counters of every stage and the components' own metrics through the OpenTelemetry SDK.

mod config;
mod logs;
mod otlp_reader;
mod page;
mod process;
mod readers;
mod resource;
mod stages;

#[cfg(test)]
mod tests;

use opentelemetry::metrics::{Meter, MeterProvider, NoopMeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use crate::component::{Accounting, ComponentError, SdkReader, exclusive_port};
pub use config::{MetricConfig, MetricLevel, OtlpConfig, OtlpProtocol, PageAddress, TelemetryConfig};
pub use logs::{LogConfig, LogEncoding, LogLevel, LogLoss, LogOutput, LogSampler, count_lost_message};
use page::PageServer;
pub use readers::ReaderConfig;
pub use resource::ResourceChanges;

/// Running self-telemetry. Dropping it closes the Prometheus page.
pub struct Telemetry {
    /// `None` if self-telemetry is off, because the SDK logs an error for instruments without a reader.
    provider: Option<SdkMeterProvider>,
    page: Option<PageServer>,
    /// The setting of the page's address. `None` if there is no page.
    setting: Option<PageAddress>,
    /// Address of the Prometheus page. `None` if there is none.
    pub address: Option<std::net::SocketAddr>,
}

/// Self-telemetry with other settings, before it replaces the running one.
pub struct NextTelemetry {
    next: Telemetry,
    /// Reader for the page of the running self-telemetry, if that page stays.
    reader: Option<SdkReader>,
    /// Reader of the page that had the port before.
    former: Option<SdkReader>,
}

// === impl Telemetry ===

impl Telemetry {
    /// Starts the Prometheus page and the periodic exports by OTLP, as configured.
    ///
    /// # Errors
    /// The address is not the default and cannot be bound, or an OTLP endpoint is invalid.
    pub async fn start(
        config: &MetricConfig,
        resource: &[(String, String)],
        accounting: &Accounting,
    ) -> Result<Self, ComponentError> {
        let (mut telemetry, reader) = Self::without_page(config, resource, accounting)?;
        if let Some(reader) = reader {
            telemetry.start_page(reader).await?;
        }
        Ok(telemetry)
    }

    /// Prepares self-telemetry with other settings. A page with another address is started, and a page with the same one stays. A page with
    /// another host and the same port is replaced.
    ///
    /// # Errors
    /// As for [`Self::start`]. Nothing has changed.
    pub async fn prepare(
        &mut self,
        config: &MetricConfig,
        resource: &[(String, String)],
        accounting: &Accounting,
    ) -> Result<NextTelemetry, ComponentError> {
        let (mut next, reader) = Self::without_page(config, resource, accounting)?;
        let Some(reader) = reader else { return Ok(NextTelemetry { next, reader: None, former: None }) };
        if self.page.is_some() && self.setting == next.setting {
            return Ok(NextTelemetry { next, reader: Some(reader), former: None });
        }
        let port_of = |setting: &Option<PageAddress>| {
            setting.as_ref().map(|address| exclusive_port(address.as_str()).to_owned()).unwrap_or_default()
        };
        let port = port_of(&next.setting);
        let same_port = !port.is_empty() && port_of(&self.setting) == port;
        let former = match self.page.take_if(|_| same_port) {
            Some(page) => {
                let reader = page.reader();
                page.shutdown().await;
                Some(reader)
            }
            None => None,
        };
        let started = next.start_page(reader).await;
        let next = NextTelemetry { next, reader: None, former };
        match started {
            Ok(()) => Ok(next),
            Err(error) => {
                self.discard(next).await;
                Err(error)
            }
        }
    }

    /// Closes what was prepared. A page that had to be replaced starts again.
    pub async fn discard(&mut self, next: NextTelemetry) {
        let NextTelemetry { next, former, .. } = next;
        next.shutdown().await;
        if let Some(reader) = former
            && let Err(error) = self.start_page(reader).await
        {
            tracing::error!("the page of self-telemetry does not start again: {error}");
        }
    }

    /// Replaces the running self-telemetry. Returns the former one, which has to be shut down.
    pub fn replace(&mut self, next: NextTelemetry) -> Self {
        let NextTelemetry { mut next, reader, .. } = next;
        if let Some(reader) = reader
            && let Some(page) = self.page.take()
        {
            page.show(reader);
            next.address = Some(page.address);
            next.page = Some(page);
        }
        std::mem::replace(self, next)
    }

    /// Returns the reader of its page, or `None` if there is no page.
    fn without_page(
        config: &MetricConfig,
        resource: &[(String, String)],
        accounting: &Accounting,
    ) -> Result<(Self, Option<SdkReader>), ComponentError> {
        if config.level == MetricLevel::None {
            return Ok((Self { provider: None, page: None, setting: None, address: None }, None));
        }
        let setting = config.page();
        let attributes =
            resource.iter().map(|(key, value)| opentelemetry::KeyValue::new(key.clone(), value.clone()));
        let mut provider = SdkMeterProvider::builder()
            .with_resource(Resource::builder_empty().with_attributes(attributes).build());
        let reader = SdkReader::default();
        provider = provider.with_reader(reader.clone());
        for (section, export) in config.exports() {
            if let Some(otlp) = &export.exporter.otlp {
                provider = provider.with_reader(otlp_reader::create(&section, &export, otlp)?);
            }
        }
        let provider = provider.build();
        let meter = provider.meter("longwave");
        process::observe(&meter);
        logs::observe(&meter);
        stages::observe(&meter, accounting, config.level);
        let reader = setting.is_some().then_some(reader);
        Ok((Self { provider: Some(provider), page: None, setting, address: None }, reader))
    }

    async fn start_page(&mut self, reader: SdkReader) -> Result<(), ComponentError> {
        let Some(setting) = &self.setting else { return Ok(()) };
        let page = match PageServer::start(setting, reader).await {
            Ok(page) => page,
            Err(error) if setting.is_default() => {
                tracing::warn!("{error}; continuing without the page, since the address is the default");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.address = Some(page.address);
        self.page = Some(page);
        Ok(())
    }

    /// Returns the meter with which components register their instruments.
    pub fn meter(&self) -> Meter {
        match &self.provider {
            Some(provider) => provider.meter("longwave"),
            None => NoopMeterProvider::new().meter("longwave"),
        }
    }

    /// Exports a last time and closes the Prometheus page.
    pub async fn shutdown(mut self) {
        if let Some(page) = self.page.take() {
            page.shutdown().await;
        }
        let Some(provider) = self.provider.take() else { return };
        let ended = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "self-telemetry did not shut down cleanly: metrics since its last export may be missing");
        }
    }
}

// === impl NextTelemetry ===

impl NextTelemetry {
    /// Returns the meter with which components register their instruments.
    pub fn meter(&self) -> Meter {
        self.next.meter()
    }
}
