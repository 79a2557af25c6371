//! Access to files, environment variables and sockets. Tests replace all three.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// File tree and environment variables of a process.
pub(in crate::cli) struct View {
    root: PathBuf,
    variable: Box<Variables>,
}

/// Returns the value of a variable by its name.
type Variables = dyn Fn(&str) -> Option<String>;

// === impl View ===

impl View {
    pub(in crate::cli) fn of_this_process() -> Self {
        Self::new("/", |name| std::env::var(name).ok())
    }

    /// Creates a view of the tree below `root`, with the variables that `variable` returns.
    pub(in crate::cli) fn new(
        root: impl Into<PathBuf>,
        variable: impl Fn(&str) -> Option<String> + 'static,
    ) -> Self {
        Self { root: root.into(), variable: Box::new(variable) }
    }

    /// Returns the value of a variable. `None` if it is not set or empty.
    pub(in crate::cli) fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    pub(in crate::cli) fn exists(&self, path: &str) -> bool {
        self.at(path).exists()
    }

    pub(in crate::cli) fn read(&self, path: &str) -> io::Result<String> {
        std::fs::read_to_string(self.at(path))
    }

    pub(in crate::cli) fn link(&self, path: &str) -> Option<PathBuf> {
        std::fs::read_link(self.at(path)).ok()
    }

    /// Connects to a Unix socket, to check that a process listens there and accepts this one.
    pub(in crate::cli) fn connects(&self, path: &str) -> io::Result<()> {
        UnixStream::connect(self.at(path)).map(drop)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(Path::new(path).strip_prefix("/").unwrap_or(Path::new(path)))
    }
}
