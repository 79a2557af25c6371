//! [`LogWriter`]: writes each line to all outputs.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};

use anyhow::{Context, anyhow};
use longwave_pipeline::runtime::{LogConfig, LogEncoding, LogLoss, LogOutput, count_lost_message};
use serde_json::{Map, Value};
use tracing_subscriber::fmt::MakeWriter;

/// The outputs of the log, and what each line ends with.
pub(super) struct LogWriter {
    outputs: Vec<OpenOutput>,
    /// Where failures to write are reported.
    error_outputs: Vec<OpenOutput>,
    encoding: LogEncoding,
    /// Fields of each line, in its encoding. Empty if there are none.
    fields: String,
}

enum OpenOutput {
    Stdout,
    Stderr,
    File(File),
}

// === impl LogWriter ===

impl LogWriter {
    /// # Errors
    /// A file cannot be opened.
    pub(super) fn open(settings: &LogConfig, fields: &Map<String, Value>) -> anyhow::Result<Self> {
        let open = |key: &str, paths: &[String]| -> anyhow::Result<Vec<OpenOutput>> {
            let opened = paths.iter().enumerate().map(|(index, path)| {
                let place = || format!("service::telemetry::logs::{key}::{index}");
                let output = LogOutput::parse(path).map_err(|error| anyhow!("{}: {error}", place()))?;
                OpenOutput::open(output).with_context(|| {
                    format!("{}: cannot open {path:?} (does the folder exist, and is it writable?)", place())
                })
            });
            opened.collect()
        };
        let fields = match settings.encoding {
            LogEncoding::Console => fields.iter().map(|(key, value)| format!(" {key}={value}")).collect(),
            LogEncoding::Json => {
                fields.iter().map(|(key, value)| format!(",{}:{value}", Value::from(key.as_str()))).collect()
            }
        };
        Ok(Self {
            outputs: open("output_paths", &settings.output_paths)?,
            error_outputs: open("error_output_paths", &settings.error_output_paths)?,
            encoding: settings.encoding,
            fields,
        })
    }

    /// Writes a line, which the formatter passes as a whole.
    fn write_line(&self, line: &[u8]) {
        let mut result = Ok(());
        let whole;
        let line = match self.with_fields(line) {
            Some(text) => {
                whole = text;
                whole.as_slice()
            }
            None => line,
        };
        for output in &self.outputs {
            result = result.and(output.write(line));
        }
        if let Err(error) = result {
            count_lost_message(LogLoss::WriteFailed);
            for output in &self.error_outputs {
                // If these fail too, there is only the counter.
                let _ =
                    output.write(format!("longwave: a log message was not written: {error}\n").as_bytes());
            }
        }
    }

    /// Returns the line with the fields at its end. `None` if there are none.
    fn with_fields(&self, line: &[u8]) -> Option<Vec<u8>> {
        let end: &[u8] = match self.encoding {
            LogEncoding::Console => b"\n",
            LogEncoding::Json => b"}\n",
        };
        let start = line.strip_suffix(end).filter(|_| !self.fields.is_empty())?;
        Some([start, self.fields.as_bytes(), end].concat())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl OpenOutput ===

impl OpenOutput {
    fn open(output: LogOutput) -> io::Result<Self> {
        Ok(match output {
            LogOutput::Stdout => Self::Stdout,
            LogOutput::Stderr => Self::Stderr,
            LogOutput::File(path) => Self::File(OpenOptions::new().append(true).create(true).open(path)?),
        })
    }

    fn write(&self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(line)?;
                stdout.flush()
            }
            Self::Stderr => io::stderr().lock().write_all(line),
            Self::File(file) => {
                let mut file = file;
                file.write_all(line)
            }
        }
    }
}

#[cfg(test)]
mod tests;
