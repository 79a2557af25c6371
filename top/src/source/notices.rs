//! [`Notices`]: the last line of the log, which the screen shows instead of stderr.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// Maximum length of a line that is kept, in bytes.
const MAX_LENGTH: usize = 1_000;

/// Takes log lines, and keeps the last one.
#[derive(Clone, Debug, Default)]
pub struct Notices(Arc<Mutex<Option<String>>>);

// === impl Notices ===

impl Notices {
    /// Keeps a line.
    pub fn show(&self, line: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(line.to_owned());
    }

    /// Returns the last line since the last call.
    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Write for Notices {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_LENGTH)]);
        if !text.trim().is_empty() {
            self.show(text.trim());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Notices {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
